"""Removing what a sandbox left, however deep, wide or closed it is."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

__all__ = ["remove_tree"]


def remove_tree(parent_fd: int, name: str) -> None:
    """Remove a file, or a folder and everything in it, in time linear in the number of entries; nothing is followed.

    Only one folder is open at a time, whatever the depth: the way down goes by names, the way up by `..`, which must
    lead where the way down came from. No process of the sandbox may be left.

    Args:
        parent_fd: Descriptor of the folder that holds it.
        name: Its name there, one component.

    Raises:
        OSError: Something in it cannot be removed, or was moved meanwhile.
    """
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent_fd)
        return
    current = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        way: list[tuple[str, tuple[int, int], list[str]]] = []  # name, who holds it, what is left in there
        left = [name]
        while True:
            if left:
                holder = _identity(current)
                current = _replaced(current, _down(left[-1], current))
                way.append((left.pop(), holder, left))
                left = _emptied(current)
            elif way:
                gone, holder, left = way.pop()
                current = _replaced(current, os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=current))
                if _identity(current) != holder:
                    raise OSError(errno.EAGAIN, "a folder was moved while it was removed", gone)
                os.rmdir(gone, dir_fd=current)
            else:
                return
    finally:
        os.close(current)


def _emptied(folder: int) -> list[str]:
    """Remove everything in a folder but folders; returns their names."""
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return folders


def _down(name: str, folder: int) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(PermissionError):
        fd = os.open(name, flags, dir_fd=folder)
        if os.fstat(fd).st_mode & stat.S_IRWXU == stat.S_IRWXU:
            return fd
        os.close(fd)
    # Closed by its owner, which is us: what a sandbox makes belongs to the service user.
    path = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{path}", 0o700)
    finally:
        os.close(path)
    return os.open(name, flags, dir_fd=folder)


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new


def _identity(fd: int) -> tuple[int, int]:
    facts = os.fstat(fd)
    return facts.st_dev, facts.st_ino
