"""Hidden and protected paths inside a root: what stands over them.

    hidden, a folder     an empty read-only folder
    hidden, a file       an empty file nobody may read
    protected            itself, read-only
    missing              an empty folder is made in its place (the first missing part of the path), covered read-only,
                         and removed when the last sandbox that needed it has ended
    a link               an empty file nobody may read: where it leads is not what was named, so it is not followed

A mount can be walked around by renaming a folder above it (`mv sub sub2; mkdir sub`), so every folder between the
root and the path is bound on itself: a mount point cannot be renamed from inside.

Placeholders are folders, whatever the name suggests: an empty folder is invisible to git, `rmdir` cannot destroy
content, and nobody reads a folder as configuration. Their mode (sticky and nothing else) marks one that an earlier
host left behind when it was killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from typing import Any

from toolhost.sandbox import kernel
from toolhost.sandbox.beneath import open_beneath
from toolhost.sandbox.errors import PlanRefused

__all__ = ["Masks", "open_inside"]

_MARK = stat.S_ISVTX  # the whole mode of a placeholder
_READ_ONLY = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOEXEC
_CANNOT_CREATE = {errno.EACCES, errno.EPERM, errno.EROFS}


def open_inside(fd: int, path: str) -> int:
    """Open a path beneath `fd`, refusing every link but the last component, which is opened itself."""
    current = os.dup(fd)
    try:
        for part in path.split("/"):
            if part in ("", ".", ".."):
                raise OSError(errno.EINVAL, "not a plain path", path)
            nearer = open_beneath(current, part, os.O_PATH | os.O_NOFOLLOW)
            os.close(current)
            current = nearer
    except BaseException:
        os.close(current)
        raise
    return current


class Masks:
    """Covers paths, and remembers the placeholders until nobody needs them."""

    def __init__(self) -> None:
        # (device and inode of the folder that holds it, name) -> the placeholder
        self._placeholders: dict[tuple[int, int, str], _Placeholder] = {}

    def cover(self, call: int, fd: int, root: dict[str, Any]) -> None:
        """Cover what a root hides and protects.

        Args:
            call: The call's number.
            fd: O_PATH descriptor of the mounted root, in B.
            root: One root of a launch message.

        Raises:
            PlanRefused: A path is not one that can be covered.
        """
        pinned: set[str] = set()
        for path in root["hidden"]:
            self._one(call, fd, path, hidden=True, writable=root["writable"], pinned=pinned)
        if root["writable"]:  # in a read-only root everything is protected
            for path in root["protected"]:
                self._one(call, fd, path, hidden=False, writable=True, pinned=pinned)

    def release(self, call: int) -> None:
        """Forget a call, and remove the placeholders that nobody else needs."""
        for key, placeholder in list(self._placeholders.items()):
            placeholder.calls.discard(call)
            if placeholder.calls:
                continue
            del self._placeholders[key]
            try:
                # Another host (a `toolhost call` beside the server) may need it still: then it removes it.
                fcntl.flock(placeholder.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.rmdir(key[2], dir_fd=placeholder.folder)
            except OSError:
                pass  # needed elsewhere, taken away already, or filled from outside: not ours any more
            finally:
                os.close(placeholder.lock)
                os.close(placeholder.folder)

    def needs(self, call: int) -> bool:
        """Whether a placeholder stands for this call."""
        return any(call in placeholder.calls for placeholder in self._placeholders.values())

    def _one(self, call: int, fd: int, path: str, *, hidden: bool, writable: bool, pinned: set[str]) -> None:
        parts = path.strip("/").split("/")
        if not path.strip("/") or any(part in ("", ".", "..") for part in parts):
            raise PlanRefused(
                "mask_invalid", f"{path!r} is not a path inside a root.", "Write it relative to the root."
            )
        current = os.dup(fd)
        try:
            for depth, part in enumerate(parts):
                last = depth == len(parts) - 1
                try:
                    here = open_beneath(current, part, os.O_PATH | os.O_NOFOLLOW)
                except FileNotFoundError:
                    if writable:
                        self._placeholder(call, current, part)
                    return
                except NotADirectoryError:
                    return  # a file stands where a folder would have to
                try:
                    mode = os.fstat(here).st_mode
                    if last or stat.S_ISLNK(mode):
                        self._cover_leaf(call, current, part, here, mode, hidden=hidden)
                        return
                    above = "/".join(parts[: depth + 1])
                    if writable and stat.S_ISDIR(mode) and above not in pinned:
                        _mount_on(here, kernel.clone_tree(here, 0, recursive=True))
                        pinned.add(above)
                finally:
                    os.close(here)
                # Opened again by name: the path now leads into the mount that pins it.
                nearer = open_beneath(current, part, os.O_PATH | os.O_NOFOLLOW)
                os.close(current)
                current = nearer
        finally:
            os.close(current)

    def _cover_leaf(self, call: int, parent: int, name: str, here: int, mode: int, *, hidden: bool) -> None:
        if _is_placeholder(mode):
            self._hold(call, parent, name, here)  # from a call that still runs, or a host that was killed
            _cover_empty(here, folder=True)
        elif hidden or not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            _cover_empty(here, folder=stat.S_ISDIR(mode))
        else:
            _mount_on(here, kernel.clone_tree(here, _READ_ONLY, recursive=True))

    def _placeholder(self, call: int, parent: int, name: str) -> None:
        try:
            os.mkdir(name, _MARK, dir_fd=parent)
        except FileExistsError:
            pass
        except OSError as error:
            # Who cannot create it here cannot create it inside: the sandbox has the same user and fewer rights.
            if error.errno in _CANNOT_CREATE:
                return
            raise PlanRefused("mask_failed", f"{name} cannot be protected: {error.strerror}.") from error
        here = open_beneath(parent, name, os.O_PATH | os.O_NOFOLLOW)
        try:
            self._cover_leaf(call, parent, name, here, os.fstat(here).st_mode, hidden=True)
        finally:
            os.close(here)

    def _hold(self, call: int, parent: int, name: str, here: int) -> None:
        facts = os.fstat(parent)
        key = (facts.st_dev, facts.st_ino, name)
        if key not in self._placeholders:
            lock = os.open(f"/proc/self/fd/{here}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if os.fstat(lock).st_nlink == 0:
                os.close(lock)
                raise PlanRefused("mask_failed", f"{name} went away while it was being protected.", "Try again.")
            self._placeholders[key] = _Placeholder(os.dup(parent), lock, set())
        self._placeholders[key].calls.add(call)


@dataclass(slots=True)
class _Placeholder:
    folder: int  # O_PATH descriptor of the folder that holds it
    lock: int  # the placeholder itself, under a shared lock
    calls: set[int]


def _is_placeholder(mode: int) -> bool:
    return stat.S_ISDIR(mode) and mode & 0o1777 == _MARK


def _cover_empty(point: int, *, folder: bool) -> None:
    empty = os.open("/none/folder" if folder else "/none/file", os.O_PATH | os.O_CLOEXEC)
    try:
        _mount_on(point, kernel.clone_tree(empty, _READ_ONLY))
    finally:
        os.close(empty)


def _mount_on(point: int, tree: int) -> None:
    try:
        kernel.attach_tree(tree, point)
    except OSError as error:
        raise PlanRefused("mask_failed", f"A path that must be covered cannot be: {error.strerror}.") from error
    finally:
        os.close(tree)
