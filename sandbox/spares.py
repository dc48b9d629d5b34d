"""Placeholders that nobody needs at the moment, kept in a folder of the spawner's own for the next call.

To make a file and to free it again takes a journalling file system many times as long as to give one that is there
another name, and every call that may write in a folder needs the same few. So a file that has lost its names in other
people's folders keeps one here, and a folder is moved here. What has been filled, changed or linked meanwhile is not
kept, and where the two folders are not on the same mount nothing is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from dataclasses import dataclass

from toolhost.sandbox import kernel

__all__ = ["Spare", "Spares", "sweep_spares"]

_MOST = 8  # of a kind
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """One of them.

    Attributes:
        name: Its own name among the spares.
        lock: Descriptor of it, under a shared lock.
    """

    name: str
    lock: int


class Spares:
    """Keeps them.

    Args:
        folder: The folder of all spawners' spares, as the host's mounts show it.
    """

    def __init__(self, folder: str) -> None:
        self._above = folder
        self._name = str(os.getpid())
        self._parent = self._folder = -1  # descriptors, made in the host's mounts
        self._idle: dict[str, list[Spare]] = {}
        self._next = 0

    def open(self) -> None:
        """Make the folder, once, through the host's own mounts. Without it nothing is kept."""
        if self._folder >= 0:
            return
        path = f"{self._above}/{self._name}"
        with contextlib.suppress(OSError):
            os.makedirs(path, mode=0o700, exist_ok=True)
            ours = os.open(path, _FOLDER)
            try:
                fcntl.flock(ours, fcntl.LOCK_SH | fcntl.LOCK_NB)
                self._parent = os.open(self._above, _FOLDER)
            except OSError:
                os.close(ours)
                raise
            self._folder = ours

    def place(self, kind: str, name: str, parent: int) -> Spare | None:
        """Put a spare of a kind into a folder; None where there is none that can be.

        Raises:
            FileExistsError: Something stands there already.
        """
        idle = self._idle.get(kind)
        if not idle:
            return None
        spare = idle[-1]
        try:
            if stat.S_ISDIR(os.fstat(spare.lock).st_mode):
                kernel.move(self._folder, spare.name, parent, name)
            else:
                os.link(spare.name, name, src_dir_fd=self._folder, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:
            return None  # on another mount
        return idle.pop()

    def keep(self, kind: str, lock: int, name: str, parent: int) -> Spare | None:
        """Keep a placeholder that nobody needs any more: a file besides its names, a folder instead of its name.

        Args:
            kind: What it can be used for again.
            lock: Descriptor of it.
            name: One of its names.
            parent: Descriptor of the folder of that name.
        """
        if self._folder < 0 or len(self._idle.get(kind, ())) >= _MOST:
            return None
        self._next += 1
        spare = Spare(name=str(self._next), lock=lock)
        try:
            if not stat.S_ISDIR(os.fstat(lock).st_mode):
                os.link(f"/proc/self/fd/{lock}", spare.name, dst_dir_fd=self._folder)
            elif os.listdir(lock) or not _same(name, parent, lock):
                return None
            else:
                kernel.move(parent, name, self._folder, spare.name)
                if os.listdir(lock) or not _same(spare.name, self._folder, lock):
                    kernel.move(self._folder, spare.name, parent, name)  # somebody was quicker: it is theirs
                    return None
        except OSError:
            return None
        return spare

    def rest(self, kind: str, spare: Spare, *, mode: int, content: bytes) -> bool:
        """Let one wait for the next call, if it is what it was made as and has no other name; else it goes.

        Returns:
            Whether it waits; otherwise its descriptor is the caller's to close.
        """
        with contextlib.suppress(OSError):
            facts = os.fstat(spare.lock)
            folder = stat.S_ISDIR(facts.st_mode)
            if stat.S_IMODE(facts.st_mode) == mode and (
                folder or (facts.st_nlink == 1 and os.pread(spare.lock, 64, 0) == content)
            ):
                fcntl.flock(spare.lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                self._idle.setdefault(kind, []).append(spare)
                return True
        self.forget(spare)
        return False

    def forget(self, spare: Spare) -> None:
        """Give up one that cannot be used again."""
        _remove(spare.name, self._folder)

    def close(self) -> None:
        """Remove all of them."""
        if self._folder >= 0:
            _empty(self._folder)
            with contextlib.suppress(OSError):
                os.rmdir(self._name, dir_fd=self._parent)
            os.close(self._folder)
            os.close(self._parent)
            self._parent = self._folder = -1


def sweep_spares(folder: str) -> None:
    """Remove what spawners that were killed have kept."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                fd = os.open(f"{folder}/{name}", _FOLDER)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _empty(fd)
                    os.rmdir(f"{folder}/{name}")
                finally:
                    os.close(fd)


def _empty(folder: int) -> None:
    for name in os.listdir(folder):
        _remove(name, folder)


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _same(name: str, folder: int, fd: int) -> bool:
    return os.path.samestat(os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(fd))
