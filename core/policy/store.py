"""The policies folder: reading it as a whole, and what of it is in force.

a file that is valid                  is in force
one that is not, or is being written  leaves its last good version in force, if the host policy still permits that
one that is gone                      grants nothing
host.toml gone                        leaves its last good version in force; at the start the packaged one holds
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path

from toolhost.identifiers import now_ms
from toolhost.policy.config_table import NONE_DECLARED, Declared
from toolhost.policy.courtesy import breathe, courteous
from toolhost.policy.document import DocumentError, read_bytes
from toolhost.policy.host_file import LoadedHost, load_host
from toolhost.policy.load import RESERVED, Loaded, load_policy
from toolhost.policy.patience import is_settled, patiently
from toolhost.policy.places import Places
from toolhost.policy.policy_set import PolicyFile, PolicySet
from toolhost.policy.problems import Problem
from toolhost.policy.uncollected import uncollected
from toolhost.policy.values import HostPolicy, Policy
from toolhost.sandbox.programs import changed

__all__ = ["HOST_FILE", "Objections", "PolicyStore", "policy_files", "read_host", "read_policy"]

HOST_FILE = "host.toml"
"""The file that holds for every plugin."""

_PACKAGED = f"packaged {HOST_FILE}"
_TICK_NS = 100_000_000
"""A file changed less than this before it was read could change again without looking different."""


Objections = Callable[[Policy], Iterable[tuple[str, str, str]]]
"""What there is against a policy: the key it is about, or an empty string; a code; a sentence."""


def _none(policy: Policy) -> Iterable[tuple[str, str, str]]:
    return ()


class PolicyStore:
    """Reads a folder of policies and holds what is in force.

    Attributes:
        current: The policies in force. Whoever needs more than one thing of them takes this once.
        declared: The settings of the plugins there are, by which the next reading checks `[config]`.
        objections: What house rules have against a policy that is valid.
    """

    def __init__(self, folder: Path, *, data: Path, plugins: Path) -> None:
        """Prepare a store in which nothing is granted; `load` reads it.

        Args:
            folder: The policies folder.
            data: The data directory, which no root may touch.
            plugins: The plugins folder, likewise.
        """
        self.folder = folder
        self._data = data
        self._plugins = plugins
        self.declared: Declared = NONE_DECLARED
        self.objections: Objections = _none
        self.current = PolicySet(host=HostPolicy(), places=self._places(), host_file=PolicyFile(name=HOST_FILE))

    def load(self) -> None:
        """Read every file and put what is good in force; a file that is being written is waited for, for a while."""
        self.current = patiently(self.read, lambda policies: all(map(is_settled, policies.problems)))

    @courteous()
    @uncollected()
    def read(self) -> PolicySet:
        """The policies that the files and those in force now lead to; nothing is put in force.

        A file that looks as it did, and a policy that says what it did, is kept as it is.
        """
        before, places, declared = self.current, self._places(), self.declared
        host, host_file = self._read_host(before, places)
        same = host is before.host and places == before.places
        policies: dict[str, Policy] = {}
        files: dict[str, PolicyFile] = {}
        unlisted: list[Problem] = []
        for path in policy_files(self.folder, unlisted):
            if host_file.content is None:
                break  # without the host's denies nothing may be granted
            alike = same and declared.get(path.stem) == before.declared.get(path.stem)
            policy, file = _read_policy(path, before, host, places, declared, self.objections, same=alike)
            files[path.stem] = file
            breathe()
            if policy is not None:
                policies[path.stem] = policy
        return PolicySet(
            host=host,
            places=places,
            declared=declared,
            policies=policies,
            host_file=host_file,
            files=files,
            unlisted=tuple(unlisted),
        )

    def _places(self) -> Places:
        return Places.of(data=self._data, policies=self.folder, plugins=self._plugins)

    def _read_host(self, before: PolicySet, places: Places) -> tuple[HostPolicy, PolicyFile]:
        path, known = self.folder / HOST_FILE, before.host_file
        stamp = _stamp(path)
        if stamp is not None and stamp == known.stamp and not known.problems and places == before.places:
            return before.host, known
        if known.content is not None and before.host.file != _PACKAGED and not os.path.lexists(path):
            message = "The file is gone; what it said holds until it is back, or the host is started again."
            loaded = LoadedHost(
                problems=(Problem(file=HOST_FILE, line=1, column=1, code="host_policy_missing", message=message),)
            )
        else:
            loaded = read_host(path, HOST_FILE, places, in_force=True)
        if loaded.host is None:
            return before.host, PolicyFile(
                name=HOST_FILE, content=known.content, since=known.since, problems=loaded.problems
            )
        if known.content is not None and loaded.host == before.host:
            return before.host, PolicyFile(name=HOST_FILE, content=known.content, since=known.since, stamp=stamp)
        return loaded.host, PolicyFile(name=HOST_FILE, content=loaded.host.content, since=now_ms(), stamp=stamp)


def read_host(path: Path, file: str, places: Places, *, in_force: bool) -> LoadedHost:
    """The host policy of a folder. Where the file is missing the packaged one holds: absence grants nothing."""
    try:
        if not os.path.lexists(path):
            data, file = resources.files("toolhost.policies").joinpath(HOST_FILE).read_bytes(), _PACKAGED
        else:
            data = read_bytes(path, file, in_force=in_force)
    except DocumentError as error:
        return LoadedHost(problems=(error.problem,))
    return load_host(data, file, places)


def _read_policy(
    path: Path,
    before: PolicySet,
    host: HostPolicy,
    places: Places,
    declared: Declared,
    objections: Objections,
    *,
    same: bool,
) -> tuple[Policy | None, PolicyFile]:
    """One plugin's policy and what is known of its file. `same`: all that it is judged by is what it was."""
    policy, known = before.policy(path.stem), before.files.get(path.stem, PolicyFile(name=path.name))
    stamp = _stamp(path)
    unchanged = same and stamp is not None and stamp == known.stamp and not known.problems
    if unchanged and policy is not None and not policy.missing and not any(map(changed, policy.programs.values())):
        return policy, known
    loaded = _unobjectionable(read_policy(path, path.name, host, places, declared, in_force=True), objections)
    if loaded.policy is not None:
        if loaded.policy == policy:
            return policy, PolicyFile(name=path.name, content=known.content, since=known.since, stamp=stamp)
        return loaded.policy, PolicyFile(name=path.name, content=loaded.content, since=now_ms(), stamp=stamp)
    content, since = known.content, known.since
    if content is not None and not same:
        # The last good version was good under another host policy, or plugin: it stays only if it is under this one.
        again = load_policy(content, path.name, path.stem, host=host, places=places, declared=declared)
        policy, since = again.policy, now_ms()
    if policy is None:
        return None, PolicyFile(name=path.name, problems=loaded.problems)
    return policy, PolicyFile(name=path.name, content=content, since=since, problems=loaded.problems)


def _unobjectionable(loaded: Loaded, objections: Objections) -> Loaded:
    """A policy that no house rule is against, or what they have against it."""
    if loaded.policy is None or loaded.document is None:
        return loaded
    problems = []
    for key, code, message in objections(loaded.policy):
        place = loaded.document.key(tuple(key.split(".")) if key else ())
        problems.append(Problem.at(place, code, message))
    return Loaded(problems=tuple(problems)) if problems else loaded


def read_policy(
    path: Path, file: str, host: HostPolicy, places: Places, declared: Declared = NONE_DECLARED, *, in_force: bool
) -> Loaded:
    """Read one plugin's file. `file` is its name in messages; `in_force` as for `read_bytes`, also above."""
    try:
        data = read_bytes(path, file, in_force=in_force)
    except DocumentError as error:
        return Loaded(problems=(error.problem,))
    return load_policy(data, file, path.stem, host=host, places=places, declared=declared)


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None where it changed so lately that it could change again unnoticed.

    Taken before the file is read: then it is at worst that of an older content, which is read once more.
    """
    try:
        facts = path.stat(follow_symlinks=False)
    except OSError:
        return None
    if abs(time.time_ns() - facts.st_ctime_ns) < _TICK_NS:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def policy_files(folder: Path, problems: list[Problem]) -> list[Path]:
    """The files of a folder that grant plugins something, sorted."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.suffix == ".toml" and entry.name[0] != ".")
    except OSError as error:
        problems.append(
            Problem(file=str(folder), line=1, column=1, code="file_unreadable", message=f"{error.strerror}.")
        )
        return []
    return [entry for entry in entries if entry.stem not in RESERVED]
