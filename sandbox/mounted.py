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
"""The mount points beneath a folder, each with its device and the folder of it that is mounted."""

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
        self._found: dict[str, Mounted] = {}

    def beneath(self, folder: str) -> Mounted:
        """What was mounted beneath a folder when the table was read."""
        found = self._found.get(folder)
        if found is None:
            start = folder.translate(_ESCAPED).rstrip("/") + "/"
            found = tuple(f"{line[4]} {line[2]} {line[3]}" for line in self._lines if line[4].startswith(start))
            self._found[folder] = found
        return found


@functools.cache
def host_table() -> MountTable:
    """The mounts of this process. To be called once before anything runs: later there may be no descriptor for it."""
    return MountTable()


def mounted_in(folder: str) -> tuple[int, Mounted]:
    """What is mounted beneath a folder of the host now, and since which version of the table; (0, ()) for nothing.

    Args:
        folder: Absolute path without a link in any component.
    """
    table = host_table()
    table.look()
    found = table.beneath(folder)
    return (table.version, found) if found else (0, ())
