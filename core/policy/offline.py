"""Policy files read beside those in force: what `policy check`, `test` and `lint` look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from toolhost.policy.config_table import NONE_DECLARED, Declared
from toolhost.policy.document import DocumentError, parse_document, read_bytes
from toolhost.policy.host_file import LoadedHost
from toolhost.policy.load import RESERVED, Loaded, load_policy
from toolhost.policy.patience import is_settled, patiently
from toolhost.policy.places import Places
from toolhost.policy.problems import Problem
from toolhost.policy.store import HOST_FILE, policy_files, read_host, read_policy
from toolhost.policy.values import HostPolicy

__all__ = ["Reading", "check", "read_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What files say.

    Attributes:
        host: The host policy beside them; one that denies nothing where it is not valid.
        files: What became of each plugin's file.
        problems: Everything that is wrong with them and with host.toml.
    """

    host: HostPolicy
    files: tuple[Loaded, ...]
    problems: tuple[Problem, ...]


def read_files(
    path: Path,
    *,
    data: Path,
    plugins: Path,
    declared: Declared = NONE_DECLARED,
    copy: bool = False,
    in_force: bool = False,
) -> Reading:
    """Read a policy file, or every file of a folder; one that is being written is waited for, for a while.

    Args:
        path: A file or a folder; host.toml beside a file applies to it.
        data: The data directory.
        plugins: The plugins folder.
        declared: The settings of the plugins there are.
        copy: Whether a file may have another name than that of its plugin, as a copy of it has.
        in_force: Whether they are those in force, which have to be the host's own.
    """
    return patiently(
        lambda: _read_files(path, data, plugins, declared, copy, in_force),
        lambda reading: all(map(is_settled, reading.problems)),
    )


def _read_files(path: Path, data: Path, plugins: Path, declared: Declared, copy: bool, in_force: bool) -> Reading:
    whole = path.is_dir()
    folder = path if whole else path.parent
    places = Places.of(data=data, policies=folder.absolute(), plugins=plugins)
    host_name = HOST_FILE if whole else str(folder / HOST_FILE)
    loaded: LoadedHost = read_host(folder / HOST_FILE, host_name, places, in_force=in_force)
    problems = list(loaded.problems)
    named = policy_files(folder, problems) if whole else [] if path.stem in RESERVED else [path]
    host = loaded.host or HostPolicy()
    read = _read_copy if copy and not whole else partial(read_policy, in_force=in_force)
    files = tuple(read(file, file.name if whole else str(file), host, places, declared) for file in named)
    for file in files:
        problems.extend(file.problems)
    return Reading(host=host, files=files, problems=tuple(problems))


def _read_copy(path: Path, file: str, host: HostPolicy, places: Places, declared: Declared) -> Loaded:
    try:
        content = read_bytes(path, file)
        name = parse_document(content, file).data.get("plugin")
    except DocumentError as error:
        return Loaded(problems=(error.problem,))
    name = name if isinstance(name, str) else path.stem
    return load_policy(content, file, name, host=host, places=places, declared=declared)


def check(path: Path, *, data: Path, plugins: Path, declared: Declared = NONE_DECLARED) -> list[Problem]:
    """Everything that is wrong with a policy file, or with every file of a folder. Arguments as for `read_files`."""
    return list(read_files(path, data=data, plugins=plugins, declared=declared).problems)
