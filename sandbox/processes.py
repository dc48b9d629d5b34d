"""What the kernel says of processes that are not children of the one that asks."""

from __future__ import annotations

import fcntl
import os
import struct

__all__ = ["children", "exit_status", "lives", "newest_child", "parent"]


def parent(pid: int) -> int:
    """Process id of its parent; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def lives(pid: int) -> bool:
    """Whether a process is more than an entry that waits to be read."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
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
        fd = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    said = bytearray()
    try:
        while piece := os.read(fd, 4096):
            said += piece
    except OSError:
        return []
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
