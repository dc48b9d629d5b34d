"""What the kernel says of processes that are not children of the one that asks."""

from __future__ import annotations

import fcntl
import os
import struct

__all__ = ["children", "deserted", "exit_status", "lives", "newest_child", "parent"]


def parent(pid: int) -> int:
    """Process id of its parent; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def lives(pid: int) -> bool:
    """Whether a process is more than an entry that waits to be read. What cannot be told is said to live."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            facts = file.read().rpartition(b")")[2].split()
        # The first thread may have ended before the others: the state is that thread's, the number is of all of them.
        return facts[0] not in (b"Z", b"X") or int(facts[17]) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False
    except (OSError, IndexError, ValueError):
        return True


def deserted(pid: int) -> bool:
    """Whether nothing lives that a single-threaded process that adopts orphans has started. What cannot be told is not.

    Who ends hands its children on before it is seen to have ended: only where the same ones are there afterwards was
    nobody handed on while they were looked at.
    """
    try:
        found = _children(pid)
        return not any(map(lives, found)) and _children(pid) == found
    except (FileNotFoundError, ProcessLookupError):
        return True
    except OSError:
        return False


def newest_child(pid: int) -> int:
    """Pidfd of the process that will be the tool, or -1."""
    try:
        return os.pidfd_open(children(pid)[-1])
    except (OSError, IndexError):
        return -1


def children(pid: int) -> list[int]:
    """Process ids of what a single-threaded process has started, the oldest first; none where it is gone."""
    try:
        return _children(pid)
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    fd = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
    said = bytearray()
    try:
        while piece := os.read(fd, 4096):
            said += piece
    finally:
        os.close(fd)
    return [int(one) for one in said.split()]


def exit_status(pidfd: int) -> int | None:
    """The raw wait status of an ended process (PIDFD_GET_INFO, Linux 6.15), or None."""
    exit_info, size = 1 << 3, 64
    buffer = bytearray(struct.pack("=Q", exit_info).ljust(size, b"\0"))
    request = 3 << 30 | size << 16 | 0xFF << 8 | 11  # _IOWR(0xFF, 11, struct pidfd_info)
    try:
        fcntl.ioctl(pidfd, request, buffer)
    except OSError:
        return None
    if not struct.unpack_from("=Q", buffer)[0] & exit_info:
        return None
    return int(struct.unpack_from("=i", buffer, 60)[0])
