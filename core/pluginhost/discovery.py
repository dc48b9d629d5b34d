"""Finding plugins without running any of their code.

Importing a plugin to find out what it is would give it the host's own power. So an installed plugin is found through
the metadata of its distribution, a dropped-in one by its folder, and both are read from their `plugin.toml`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from toolhost.errors import PluginError
from toolhost.pluginhost.manifest import MANIFEST

__all__ = ["GROUP", "Candidate", "candidates", "digest", "left_out", "module_file", "sources"]

GROUP = "toolhost.plugins"
"""Entry-point group of installed plugins."""

_UNREAD = ("__pycache__", ".git")
_MAX_FILES = 5_000
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A place where a plugin seems to be.

    Attributes:
        label: The entry point's name, or the folder's.
        source: How it was found.
        folder: Where its `plugin.toml` is; None where it could not be found.
        packages: For an installed plugin, the packages around it, outermost first, and its own: dotted name and folder.
        distribution: Name of the distribution it is part of, for an installed plugin.
        problem: Why it cannot be used, or None.
    """

    label: str
    source: Literal["entry point", "folder"]
    folder: Path | None
    packages: tuple[tuple[str, Path], ...] = ()
    distribution: str | None = None
    problem: PluginError | None = None


def candidates(plugins: Path, installed: Collection[str] | None = None) -> Iterator[Candidate]:
    """Every place a plugin may be: installed distributions first, then the folders in `plugins`, sorted by name.

    Args:
        plugins: The plugins folder.
        installed: Entry points to which the installed ones are limited; None for all.
    """
    # Once for all plugins of a distribution: it may list thousands of files, and even its name is read from a file.
    known: dict[int, tuple[str, str]] = {}
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        if installed is not None and entry.name not in installed:
            continue
        distribution: str | None = None
        listed = ""
        if (of := entry.dist) is not None:
            if id(of) not in known:
                known[id(of)] = of.name, _listed(of)
            distribution, listed = known[id(of)]
        packages = _installed(entry, listed)
        problem = None
        if not packages:
            problem = PluginError(
                "manifest_missing",
                f"The entry point {entry.name} = {entry.value!r} names no package with a {MANIFEST}.",
                f"Ship {MANIFEST} as package data beside the package's __init__.py.",
            )
        folder = packages[-1][1] if packages else None
        yield Candidate(
            label=entry.name,
            source="entry point",
            folder=folder,
            packages=packages,
            distribution=distribution,
            problem=problem,
        )
    try:
        entries = sorted(os.scandir(plugins), key=lambda entry: entry.name)
    except OSError:
        return  # no folder, no drop-in plugins
    for item in entries:
        if item.name.startswith(".") or (not item.is_symlink() and not item.is_dir()):
            continue
        folder = Path(item.path)
        yield Candidate(label=item.name, source="folder", folder=folder, problem=_untrusted(plugins, folder))


def _listed(distribution: metadata.Distribution) -> str:
    """The files of a distribution, each as a line that begins with its name and a comma.

    Text, because an object for each of thousands of files takes longer to make than the rest of a start.
    """
    record = distribution.read_text("RECORD")
    return "\n" + (record if record is not None else "".join(f"{file},\n" for file in distribution.files or ()))


def _installed(entry: metadata.EntryPoint, listed: str) -> tuple[tuple[str, Path], ...]:
    """The packages an entry point's value names, from the distribution's list of files, else from the import system."""
    parts = entry.module.split(".")
    names = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    manifest = entry.module.replace(".", "/") + "/" + MANIFEST
    if entry.dist is not None and f"\n{manifest}," in listed:
        path = Path(str(entry.dist.locate_file(manifest)))
        if path.is_file():
            above = path.parents  # [0] is the package itself, [1] the one around it
            return tuple((name, above[len(names) - 1 - at]) for at, name in enumerate(names))
    # An editable install lists no such file. `importlib.util.find_spec("a.b")` would import `a`; asking the finders for
    # each part, with the search path that the part before it names, imports nothing.
    found: list[tuple[str, Path]] = []
    search: list[str] | None = None
    for name in names:
        spec = next((spec for finder in sys.meta_path if (spec := finder.find_spec(name, search)) is not None), None)
        if spec is None or not spec.submodule_search_locations:
            return ()
        search = list(spec.submodule_search_locations)
        folder = next((Path(place) for place in search if Path(place).is_dir()), None)
        if folder is None:
            return ()
        found.append((name, folder))
    return tuple(found) if (found[-1][1] / MANIFEST).is_file() else ()


def _untrusted(plugins: Path, folder: Path) -> PluginError | None:
    """Why a dropped-in folder is not used, or None."""
    try:
        return _changeable(plugins, folder)
    except PluginError as error:
        return error
    except OSError as error:
        return PluginError("plugin_not_readable", f"{error.filename} cannot be read: {error.strerror}.")


def _changeable(plugins: Path, folder: Path) -> PluginError | None:
    """How somebody else than the host's administrator could change what is in the folder."""
    if folder.is_symlink():
        return PluginError(
            "plugin_not_trusted",
            f"{folder} is a link.",
            "Move the plugin's folder itself into the plugins directory.",
        )
    for path in (plugins, folder, *sorted(_below(folder))):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return PluginError("plugin_not_trusted", f"{path} is a link.", "Replace the link by the file it points to.")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (0, os.geteuid()):
            return PluginError(
                "plugin_not_trusted",
                f"{path} can be written by others than root and the user of the host.",
                f"Run: chown -R {os.geteuid()} {folder} && chmod -R go-w {folder}",
            )
    return None


def _below(folder: Path) -> Iterator[Path]:
    count = 0
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _UNREAD]
        for name in (*folders, *files):
            count += 1
            if count > _MAX_FILES:
                raise PluginError("plugin_too_large", f"The plugin {folder} has more than {_MAX_FILES} files.")
            yield Path(base) / name


def sources(folder: Path) -> Iterator[Path]:
    """A plugin's files, sorted: all that its digest is over, and all of it that its worker is given.

    Compiled Python is none of them. It comes and goes without a change of the plugin, and what it runs need not be what
    the source beside it says: one that is marked unchecked is never compared with it.

    Raises:
        PluginError: `plugin_too_large`.
    """
    return (path for path in sorted(_below(folder)) if path.suffix != ".pyc" and path.is_file())


def left_out(folder: Path) -> tuple[str, ...]:
    """What of a plugin's folder its digest is not over, relative to the folder: compiled Python, and `.git`."""
    found: list[str] = []
    for base, folders, files in os.walk(folder):
        unread = [name for name in folders if name in _UNREAD] + [name for name in files if name.endswith(".pyc")]
        found += [f"{base}/{name}" for name in unread]
        folders[:] = [name for name in folders if name not in _UNREAD]
    return tuple(sorted(os.path.relpath(path, folder) for path in found))


def digest(folder: Path) -> str:
    """`sha256:` and the digest of a plugin's files: names and contents, without compiled caches.

    Raises:
        PluginError: `plugin_too_large`, or `plugin_not_readable`.
    """
    whole = hashlib.sha256()
    size = 0
    for path in sources(folder):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PluginError("plugin_not_readable", f"{path} cannot be read: {error.strerror}.") from error
        size += len(content)
        if size > _MAX_BYTES:
            raise PluginError("plugin_too_large", f"The plugin {folder} takes more than {_MAX_BYTES >> 20} MB.")
        name = os.fsencode(path.relative_to(folder))
        whole.update(b"%d:%s%d:" % (len(name), name, len(content)))
        whole.update(content)
    return "sha256:" + whole.hexdigest()


def module_file(candidate: Candidate, module: str) -> Path | None:
    """The file of a plugin's module, or None where the plugin does not hold it.

    An installed plugin's module lies in the package its entry point names. A folder's lies in the folder, which may
    itself be the package: `weather.plugin` is `weather/plugin.py` or `weather/weather/plugin.py`.
    """
    if candidate.folder is None:
        return None
    parts = module.split(".")
    if candidate.packages:
        package = candidate.packages[-1][0].split(".")
        places = [candidate.folder.joinpath(*parts[len(package) :])] if parts[: len(package)] == package else []
    else:
        places = [candidate.folder.joinpath(*parts)]
        if parts[0] == candidate.folder.name:
            places.append(candidate.folder.joinpath(*parts[1:]))
    for place in places:
        for file in (place / "__init__.py", place.with_name(place.name + ".py")):
            if file.is_file():
                return file
    return None
