"""How a worker is started: interpreter, files it reads, command line. Given by the host, not by policy.

A worker sees the standard library, the few modules of the host that it runs, the plugin's files and what its
distribution requires. Other plugins and the rest of the host's environment are not there, and of the plugin nothing
compiled, which its digest is not over.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import toolhost
from toolhost.pluginhost.discovery import Candidate, sources
from toolhost.policy import WorkerRuntime
from toolhost.sandbox import pin

__all__ = ["fetch_runtime", "worker_runtime"]

_FACE = ("__init__.py", "authoring.py", "errands.py", "hookspecs.py", "kept_changes.py", "patches.py", "worker")
_NEEDED = ("pluggy", "pydantic")  # by the face and the worker themselves


def worker_runtime(candidate: Candidate, plugin: str, module: str) -> WorkerRuntime:
    """What it takes to run one plugin's module.

    The interpreter is the one the host runs on, by its real path: a virtual environment's own is a link that says where
    its packages are, and `-I -S` ignores that along with everything else a user or an environment could have set.

    Raises:
        PlanRefused: `program_missing` or `program_not_trusted` for the interpreter.
        PluginError: `plugin_too_large`.
    """
    interpreter = pin(os.path.realpath(sys.executable))
    face = Path(toolhost.__file__).parent
    packages = sorted({Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")})
    paths = list(packages)
    mapped = {"toolhost": face, **dict(candidate.packages)}
    library = Path(os.__file__).parent
    support = {library, *(face / name for name in _FACE), *_distributions(_NEEDED)}
    if candidate.packages and candidate.packages[0][0] != "toolhost":
        support.add(candidate.packages[0][1])
        support.update(_distributions((candidate.distribution,) if candidate.distribution else ()))
    support.update(init for _, folder in candidate.packages if (init := folder / "__init__.py").is_file())
    if candidate.folder is not None:
        support.add(candidate.folder)
        if not candidate.packages:
            # The parent too: inside, it holds nothing but this folder, and the folder may itself be the package.
            paths += [candidate.folder, candidate.folder.parent]
    argv = [interpreter.path, "-I", "-S", "-B", str(face / "worker" / "__main__.py")]
    for path in paths:
        argv += ["--path", str(path)]
    for name, folder in mapped.items():
        if not _within(folder, packages):
            argv += ["--package", f"{name}={folder}"]
    return WorkerRuntime(
        argv=(*argv, plugin, module),
        programs=(interpreter,),
        support=tuple(sorted(map(str, _expanded(support, candidate.folder, library)))),
        env=(("LANG", "C.UTF-8"),),
    )


def fetch_runtime() -> WorkerRuntime:
    """What it takes to fetch something for a worker: the interpreter, its library and one file of the host's own.

    Raises:
        PlanRefused: As for `worker_runtime`.
    """
    interpreter = pin(os.path.realpath(sys.executable))
    program = Path(toolhost.__file__).parent / "worker" / "fetch.py"
    return WorkerRuntime(
        argv=(interpreter.path, "-I", "-S", "-B", str(program)),
        programs=(interpreter,),
        support=(str(Path(os.__file__).parent), str(program)),
        env=(("LANG", "C.UTF-8"),),
    )


def _expanded(support: set[Path], plugin: Path | None, library: Path) -> Iterator[Path]:
    """What a worker is given, no file twice: the plugin's folder, or the one around it, file by file."""
    for path in support:
        if _within(path, support - {path}):
            continue
        if plugin is not None and path.is_dir() and path != library and plugin.is_relative_to(path):
            yield from sources(path)
        else:
            yield path


def _distributions(names: Iterable[str]) -> Iterator[Path]:
    """Files and folders of distributions and of all they require, except the host's own."""
    waiting = list(names)
    seen = {"toolhost"}
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # the plugin's import will say so, in its worker
        yield from _places(distribution)
        for text in distribution.requires or ():
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)


def _places(distribution: metadata.Distribution) -> Iterator[Path]:
    found: set[Path] = set()
    for file in distribution.files or ():
        top = file.parts[0]
        if top == ".." or file.is_absolute():
            continue  # scripts
        # `__pycache__` beside single-file modules is shared by all distributions: only this one's files of it.
        place = Path(str(distribution.locate_file(file if top == "__pycache__" else top)))
        if place not in found and place.exists():
            found.add(place)
            yield place


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
