"""What is mounted beneath a folder. A copy of a mount goes on showing what was there when it was made.

So whoever keeps such a copy for later calls (an armed sandbox, the spawner's roots, a worker) keeps with it what was
mounted in the root then, and uses it only as long as that is so. Nothing that is mounted is touched for it: a file
system whose server does not answer would not answer here either.
"""

from __future__ import annotations

import functools
import os
import select

__all__ = ["MountTable", "Mounted", "host_table", "mounted_in"]

Mounted = tuple[str, ...]
"""The mount points beneath a folder, each with its device and the folder of it that is mounted. For who wants to write,
also whether it is read-only, and the mount that holds the folder itself if that is."""

_CHUNK = 1 << 16
_ESCAPED = str.maketrans({"\\": "\\134", " ": "\\040", "\t": "\\011", "\n": "\\012"})  # as the kernel shows a path


class MountTable:
    """The mounts of the mount namespace in which this is made, wherever the process goes afterwards.

    Attributes:
        fd: Becomes exceptional (`POLLPRI`) when something is mounted or unmounted.
        version: Another number whenever that happened.
    """

    def __init__(self) -> None:
        self.fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self.version = 0
        self._changes = select.poll()
        self._changes.register(self.fd, select.POLLPRI)
        self.read()

    def look(self) -> bool:
        """Read it again if it has changed; whether it has."""
        changed = bool(self._changes.poll(0))
        if changed:
            self.read()
        return changed

    def read(self) -> None:
        """Read it again."""
        said = bytearray()
        os.lseek(self.fd, 0, os.SEEK_SET)
        while piece := os.read(self.fd, _CHUNK):
            said += piece
        self.version += 1
        self._lines = [line.split(" ") for line in os.fsdecode(bytes(said)).split("\n")[:-1]]
        self._found: dict[tuple[str, bool], Mounted] = {}

    def beneath(self, folder: str, *, writable: bool) -> Mounted:
        """What was mounted beneath a folder when the table was read."""
        found = self._found.get((folder, writable))
        if found is None:
            start = folder.translate(_ESCAPED).rstrip("/") + "/"
            inner = [_Mount(line) for line in self._lines if line[4].startswith(start)]
            outer = [_Mount(line) for line in self._lines if start.startswith(line[4].rstrip("/") + "/")]
            held = [max(reversed(outer), key=lambda one: len(one.point))] if outer else []
            if writable:
                found = tuple(f"{one} {one.read_only}" for one in (*inner, *(one for one in held if one.read_only)))
            else:
                found = tuple(map(str, inner))
            self._found[folder, writable] = found
        return found


class _Mount:
    """A line of the table."""

    def __init__(self, line: list[str]) -> None:
        self.point = line[4]
        self.read_only = "ro" in line[5].split(",")
        self._what = f"{line[4]} {line[2]} {line[3]}"

    def __str__(self) -> str:
        return self._what


@functools.cache
def host_table() -> MountTable:
    """The mounts of this process. To be called once before anything runs: later there may be no descriptor for it."""
    return MountTable()


def mounted_in(*folders: tuple[str, bool]) -> tuple[tuple[int, Mounted], ...]:
    """What is mounted beneath folders of the host at one moment, and the table's version then; (0, ()) for nothing.

    Args:
        folders: Absolute paths without a link in any component, each with whether somebody is to write there.
    """
    table = host_table()
    table.look()
    found = (table.beneath(folder, writable=writable) for folder, writable in folders)
    return tuple((table.version, one) if one else (0, ()) for one in found)
