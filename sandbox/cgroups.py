"""Where this host may make control groups: one for each call, so that its limits hold for the whole process tree.

    cgroup v2   a cgroup that was delegated to this process (systemd: `Delegate=yes`), and no other. The process moves
                itself to the leaf `host` first: a cgroup with processes cannot hand controllers to its children.
    cgroup v1   for each controller a folder that belongs to this user: the one the process is in, or `toolhost` at
                the root of the hierarchy, which `prepare` makes while the process is still root

A cgroup that somebody else made and did not delegate is left alone, whatever root could do to it: every part of the
tree has one writer (systemd.io/CGROUP_DELEGATION), and to leave it would be to escape the limits that somebody set on
this process. A controller that cannot be used so is simply not there; the mechanisms without it take over, and a
result says so.

Folders are named `call-PID-START-N` after the process that made them, so that the next start can tell what a killed
host left behind from what another host uses.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from toolhost.sandbox.outcome import Enforcement

__all__ = ["CONTROLLERS", "FOLDER", "Cgroups", "prepare"]

FOLDER = "toolhost"
"""Name of this host's folder at the root of a v1 hierarchy."""

CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
"""Those that a limit needs. v2 has no `cpuacct`: every cgroup counts CPU time."""

_LEAF = "host"
_CALL = re.compile(r"call-(\d+)-(\d+)-\d+")
_SELF = Path("/proc/self")
_V1_SHARES = 1024  # cpu.shares of one process outside every group


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hierarchy:
    """A mounted hierarchy and this process's place in it."""

    mount: str
    own: str
    controllers: frozenset[str]


@dataclass(slots=True, kw_only=True)
class Cgroups:
    """What may be used.

    Attributes:
        version: `cgroup2`, `cgroup1`, or None where nothing can be used.
        bases: The folder in which calls' groups are made, by controller. Controllers of one hierarchy share a folder.
        process: The maker's part of a group's name.
        processors: How many there are.
    """

    version: Literal["cgroup2", "cgroup1"] | None = None
    bases: Mapping[str, str] = field(default_factory=dict)
    process: str = ""
    processors: int = field(default_factory=lambda: os.cpu_count() or 1)
    _next: int = 0
    _bases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._bases = tuple(sorted(set(self.bases.values())))

    @classmethod
    def find(cls, proc: Path = _SELF) -> Cgroups:
        """Look for what this process may use, move it out of the way where v2 wants that, and sweep what is left over.

        Args:
            proc: The process's folder in /proc.
        """
        process = f"{os.getpid()}-{_started(os.getpid())}"
        unified, split = _hierarchies(proc)
        found = cls(process=process)
        bases = _delegated(unified) if unified is not None else {}
        older = _owned(split)
        # On a hybrid host the controllers are in v1; a v2 cgroup without any still counts CPU time.
        if bases and (len(bases) > 1 or not older):
            found = cls(version="cgroup2", bases=bases, process=process)
        elif older:
            found = cls(version="cgroup1", bases=older, process=process)
        found.sweep()
        return found

    def folders(self) -> tuple[str, ...]:
        """A new name for a group in each hierarchy; nothing is made."""
        self._next += 1
        return tuple(f"{base}/call-{self.process}-{self._next}" for base in self._bases)

    def folder_of(self, controller: str, folders: tuple[str, ...]) -> str | None:
        """Which of a group's folders has a controller."""
        base = self.bases.get(controller)
        return folders[self._bases.index(base)] if base is not None and folders else None

    @property
    def holds(self) -> Mapping[str, Enforcement]:
        """What a call's group will enforce for the whole process tree, by the limit's name."""
        by = {"memory": "memory", "processes": "pids", "cpu": "cpuacct"}
        version = self.version
        return {} if version is None else {name: version for name, needed in by.items() if needed in self.bases}

    def sweep(self) -> None:
        """Remove the groups of hosts that are gone. They were killed: nothing else leaves one behind."""
        for base in set(self.bases.values()):
            with contextlib.suppress(OSError):
                for name in os.listdir(base):
                    made = _CALL.fullmatch(name)
                    if made is not None and _is_gone(int(made[1]), made[2]):
                        remove(f"{base}/{name}")


def remove(folder: str) -> bool:
    """Kill what is in a group and remove it; False where something still holds it."""
    for attempt in range(2):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno != errno.EBUSY or attempt:
                return False
            kill(folder)
        else:
            return True
    return False


def kill(folder: str) -> None:
    """Kill every process in a group."""
    try:
        write(folder, "cgroup.kill", "1")  # Linux 5.14, v2
    except OSError:
        with contextlib.suppress(OSError):
            for pid in read(folder, "cgroup.procs").split():
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)


def write(folder: str, name: str, text: str) -> None:
    """Write a group's file.

    Raises:
        OSError: The kernel refused.
    """
    fd = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def read(folder: str, name: str) -> str:
    """Read a group's file.

    Raises:
        OSError: There is none.
    """
    fd = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16).decode()
    finally:
        os.close(fd)


def prepare(uid: int, gid: int, proc: Path = _SELF) -> None:
    """As root: give the service user a folder in each v1 hierarchy whose root this process is in.

    In a v1 group that somebody made, this process has no say (see above), and v2 is delegated by whoever starts it.
    Where it does not work, there is one mechanism less, and every result says so.
    """
    _, split = _hierarchies(proc)
    for hierarchy in split:
        if hierarchy.own != hierarchy.mount:
            continue
        folder = f"{hierarchy.mount}/{FOLDER}"
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o755)
            if "cpu" in hierarchy.controllers:  # all calls together count like one busy process on each processor
                write(folder, "cpu.shares", str(_V1_SHARES * (os.cpu_count() or 1)))
            for name in ("", "/cgroup.procs", "/tasks"):
                os.chown(f"{folder}{name}", uid, gid)


def _hierarchies(proc: Path) -> tuple[_Hierarchy | None, list[_Hierarchy]]:
    """The v2 hierarchy, and the v1 hierarchies of the controllers that matter."""
    try:
        own = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
        mounts = [line.split(" - ", 1) for line in (proc / "mountinfo").read_text().splitlines()]
    except OSError:
        return None, []
    unified: _Hierarchy | None = None
    split: list[_Hierarchy] = []
    for left, right in (pair for pair in mounts if len(pair) == 2):
        kind, _, options = (*right.split(" ", 2), "", "")[:3]
        place = left.split(" ")[3:5]
        if kind not in ("cgroup", "cgroup2") or len(place) != 2:
            continue
        shown, mount = place
        names = set(options.rpartition(" ")[2].split(","))
        for _, controllers, path in (line for line in own if len(line) == 3):
            mine = set(controllers.split(","))
            if (kind == "cgroup2" and controllers) or (kind == "cgroup" and not mine & names & set(CONTROLLERS)):
                continue
            # A container may see only a part of the hierarchy: `shown` is what its mount point is.
            if shown != "/" and path != shown and not path.startswith(shown + "/"):
                continue
            inner = path if shown == "/" else path[len(shown) :]
            found = _Hierarchy(
                mount=mount,
                own=(mount + inner).rstrip("/"),
                controllers=frozenset(mine & set(CONTROLLERS)),
            )
            if kind == "cgroup2":
                unified = unified or found
            else:
                split.append(found)
    return unified, split


def _delegated(unified: _Hierarchy) -> dict[str, str]:
    """The delegated v2 cgroup by controller; empty where there is none that can be used."""
    base = unified.own
    if os.path.basename(base) == _LEAF or not _is_delegated(base):
        base = os.path.dirname(base)  # a host before us, or systemd's DelegateSubgroup=, made a leaf
        if not base.startswith(unified.mount) or not _is_delegated(base):
            return {}
    try:
        there = read(base, "cgroup.controllers").split()
        wanted = [name for name in CONTROLLERS if name in there]
        if base == unified.own:
            with contextlib.suppress(FileExistsError):
                os.mkdir(f"{base}/{_LEAF}", 0o755)
            write(f"{base}/{_LEAF}", "cgroup.procs", "0")
        usable = []
        for name in wanted:
            with contextlib.suppress(OSError):
                write(base, "cgroup.subtree_control", f"+{name}")
                usable.append(name)
        if wanted and not usable and base == unified.own:  # processes of somebody else are in it
            write(base, "cgroup.procs", "0")
            os.rmdir(f"{base}/{_LEAF}")
            return {}
    except OSError:
        return {}
    return dict.fromkeys((*usable, "cpuacct"), base)


def _is_delegated(folder: str) -> bool:
    """Whether a v2 cgroup was given to this user to be written, and this is where that begins."""
    if not all(os.access(f"{folder}/{name}", os.W_OK) for name in ("", "cgroup.procs", "cgroup.subtree_control")):
        return False
    try:
        return os.getxattr(folder, "user.delegate") == b"1"  # systemd 251
    except OSError:
        # Without that mark: the topmost one of this user's. One further down has another writer: who made it.
        return os.stat(folder).st_uid == os.geteuid() != os.stat(os.path.dirname(folder)).st_uid


def _owned(split: list[_Hierarchy]) -> dict[str, str]:
    """This user's v1 folders by controller."""
    found: dict[str, str] = {}
    for hierarchy in split:
        for folder in (hierarchy.own, f"{hierarchy.mount}/{FOLDER}"):
            if folder != hierarchy.own and hierarchy.own != hierarchy.mount:
                continue  # to use it would be to leave the group this process was put in
            try:
                usable = os.stat(folder).st_uid == os.geteuid() and os.access(f"{folder}/cgroup.procs", os.W_OK)
            except OSError:
                continue
            if usable:
                found |= dict.fromkeys(hierarchy.controllers, folder)
                break
    return found


def _is_gone(pid: int, started: str) -> bool:
    """Whether a process has ended. One that /proc does not show, as with `hidepid`, may live: a signal tells."""
    seen = _started(pid)
    if seen:
        return seen != started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _started(pid: int) -> str:
    """When a process started, in the kernel's clock ticks: with its number it names one process for ever."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
