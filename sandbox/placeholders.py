"""What is made in a root of the host so that a path that is not there can be covered, and removed after the call.

Most are empty files nobody may read, all those of one call and folder being links to one: making many files or
folders makes a journalling file system wait for its disk many times, and every call does it. `.git` is an empty
folder, which is invisible to git. A name in `_FILES` is one that a program reads before anything else, and dies of
when it says nothing: it says what would hold without it. What is removed after a call is kept elsewhere for the next
one (`spares.py`), for the same reason. Their modes (sticky, and no right that matters) mark one
that an earlier host left behind when it was killed. What is not the very file that was made is never removed.

They are made and held through the host's own mounts, never through a sandbox's: who closes the last descriptor of a
mount that has ended waits for the kernel, some 20 ms.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field

from toolhost.sandbox.beneath import open_beneath
from toolhost.sandbox.errors import PlanRefused
from toolhost.sandbox.spares import Spare, Spares

__all__ = ["Placeholders", "is_placeholder", "is_readable", "remove_left_behind"]

_MARK = stat.S_ISVTX  # the whole mode of a placeholder
_READABLE = stat.S_ISVTX | 0o444  # of one in _FILES
_FOLDERS = frozenset({".git"})
_FILES = {"commondir": b".\n"}  # git: "the folder with the configuration is this one"
_ANOTHERS = {errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_ELSEWHERE = "Keep the folder on another file system, or make there what the policy protects."
_CANNOT_CREATE = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(slots=True)
class _Placeholder:
    """One file or folder and all its names."""

    lock: int  # under a shared lock, for as long as a call needs one of the names
    calls: set[int] = field(default_factory=set)
    names: dict[tuple[int, int], tuple[int, set[str]]] = field(default_factory=dict)  # by folder, with its descriptor
    spare: Spare | None = None  # what it was before


class Placeholders:
    """Remembers them until nobody needs them.

    Attributes:
        left: Whether one may stand that is remembered no more.

    Args:
        spares: What is kept for later.
    """

    def __init__(self, spares: Spares) -> None:
        self.left = False
        self._spares = spares
        self._placed: dict[tuple[int, int], Spare] = {}  # by device and inode, until held
        self._held: dict[tuple[int, int], _Placeholder] = {}  # by device and inode
        self._ended: list[int] = []
        self._first: tuple[int, tuple[int, int], str] | None = None  # what the next one can be linked to

    def make(self, call: int, name: str, parent: int) -> bool:
        """Make one, unless something stands there already.

        Args:
            call: The call's number.
            name: Its name.
            parent: Descriptor of the folder to make it in.

        Returns:
            Whether something stands there now: what cannot be created here cannot be created inside either, because
            the sandbox has the same user and fewer rights.

        Raises:
            PlanRefused: `mask_failed`.
        """
        try:
            if _kind(name) or not self._link(call, name, parent):
                self._place(name, parent)
                if not _kind(name):
                    self._first = (call, _identity(os.fstat(parent)), name)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno in _CANNOT_CREATE:
                return False
            raise PlanRefused("mask_failed", f"{name} cannot be protected: {error.strerror}.") from error
        return True

    def hold(self, call: int, name: str, parent: int, here: os.stat_result) -> bool:
        """Keep one for a call, whoever made it.

        Args:
            call: The call's number.
            name: Its name.
            parent: Descriptor of the folder that holds it.
            here: Its facts, as it was found.

        Returns:
            Whether it is kept: otherwise it has gone, or is about to go with another host's call.

        Raises:
            PlanRefused: `mask_failed`.
        """
        identity, folder = _identity(here), _identity(os.fstat(parent))
        placeholder = self._held.get(identity)
        spare = self._placed.get(identity)
        if placeholder is None and spare is not None:
            placeholder = _Placeholder(spare.lock, spare=spare)
        if placeholder is None:
            lock = _locked(name, parent, here)
            if lock is None:
                return False
            placeholder = _Placeholder(lock)
        try:
            names = placeholder.names.get(folder) or (os.dup(parent), set())
        except OSError:
            if identity not in self._held and spare is None:
                os.close(placeholder.lock)
            raise
        # Nothing fails from here on: what is held can be let go of again.
        names[1].add(name)
        placeholder.names[folder] = names
        placeholder.calls.add(call)
        self._held[identity] = placeholder
        self._placed.pop(identity, None)
        return True

    def release(self, call: int) -> None:
        """Forget a call, and remove the placeholders that nobody else needs. `tidy` some time after."""
        for identity, placeholder in list(self._held.items()):
            if call not in placeholder.calls:
                continue
            placeholder.calls.discard(call)
            if placeholder.calls:
                continue
            del self._held[identity]
            try:
                fcntl.flock(placeholder.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                kept = self._remove(placeholder)
            except OSError as error:
                # Another host (a `toolhost call` beside the server) needs it: then that one removes it. Or its file
                # system answers no more.
                kept = False
                self.left |= not isinstance(error, BlockingIOError)
                if placeholder.spare is not None:
                    self._spares.forget(placeholder.spare)
            self._ended += (folder for folder, _ in placeholder.names.values())
            if not kept:
                self._ended.append(placeholder.lock)

    def tidy(self) -> None:
        """Close what is not needed any more, which frees what was removed: the disk may be waited for."""
        while self._ended:
            with contextlib.suppress(OSError):  # it is closed all the same
                os.close(self._ended.pop())

    def close(self) -> None:
        """Remove what is kept for later."""
        self._spares.close()

    def needed(self, call: int) -> bool:
        """Whether one stands for this call."""
        return any(call in placeholder.calls for placeholder in self._held.values())

    def _place(self, name: str, parent: int) -> None:
        kind = _kind(name)
        self._spares.open()
        spare = self._spares.place(kind, name, parent)
        if spare is not None:
            self._placed[_identity(os.fstat(spare.lock))] = spare
        elif kind in _FOLDERS:
            os.mkdir(name, _MARK, dir_fd=parent)
            _check_marked(name, parent, _MARK)
        elif kind in _FILES:
            _write(name, _FILES[name], parent)
            _check_marked(name, parent, _READABLE)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _MARK, dir_fd=parent))
            _check_marked(name, parent, _MARK)

    def _remove(self, placeholder: _Placeholder) -> bool:
        """Remove one from where it stands; True where it is kept, and its descriptor with it."""
        lock = placeholder.lock
        folder, names = next(iter(placeholder.names.values()))
        name = next(iter(names))
        kind = _kind(name)
        spare = placeholder.spare
        if spare is None or kind in _FOLDERS:
            spare = self._spares.keep(kind, lock, name, folder)
        if spare is None or kind not in _FOLDERS:
            for parent, each in placeholder.names.values():
                _remove(each, parent, lock)
        mode = _READABLE if kind in _FILES else _MARK
        return spare is not None and self._spares.rest(kind, spare, mode=mode, content=_FILES.get(kind, b""))

    def _link(self, call: int, name: str, parent: int) -> bool:
        """Make one as a link to another of the same call and folder; False where that is not possible."""
        if self._first is None or self._first[:2] != (call, _identity(os.fstat(parent))):
            return False
        try:
            os.link(self._first[2], name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:
            return False  # a file system without links, or the other one has gone
        return True


def is_placeholder(mode: int) -> bool:
    """Whether a file of this mode is one."""
    if stat.S_ISREG(mode):
        return stat.S_IMODE(mode) in (_MARK, _READABLE)
    return stat.S_ISDIR(mode) and mode & 0o1777 == _MARK


def is_readable(mode: int) -> bool:
    """Whether a placeholder of this mode is there to be read."""
    return stat.S_ISREG(mode) and stat.S_IMODE(mode) == _READABLE


def remove_left_behind(root: int, path: str) -> None:
    """Remove the placeholder that a killed host left on the way to a path, if there is one and nobody holds it.

    Args:
        root: Descriptor of a root.
        path: Relative to it, as a policy hides or protects it.

    Raises:
        OSError: It could not be removed.
    """
    parent = os.dup(root)
    try:
        for part in filter(None, path.split("/")):
            here = open_beneath(parent, part, os.O_PATH | os.O_NOFOLLOW)
            mode = os.fstat(here).st_mode
            if is_placeholder(mode):
                try:
                    _remove_unlocked(part, parent, here, mode)
                finally:
                    os.close(here)
                return
            os.close(parent)
            parent = here
    except (FileNotFoundError, NotADirectoryError):
        return
    finally:
        os.close(parent)


def _remove_unlocked(name: str, parent: int, here: int, mode: int) -> None:
    folder = stat.S_ISDIR(mode)
    # A mode without rights keeps its owner out too, and only who can read can lock.
    os.chmod(f"/proc/self/fd/{here}", _MARK | 0o500 if folder else _READABLE)
    lock = open_beneath(parent, name, os.O_RDONLY | os.O_NOFOLLOW | (os.O_DIRECTORY if folder else os.O_NONBLOCK))
    try:
        with contextlib.suppress(BlockingIOError):  # a host that lives holds it, and will remove it
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove((name,), parent, lock)
    finally:
        os.close(lock)


def _locked(name: str, parent: int, here: os.stat_result) -> int | None:
    """Descriptor of a placeholder under a shared lock (whoever holds it needs it); None where it has gone, or will.

    Raises:
        PlanRefused: `mask_failed` where it can have no lock.
    """
    kind = os.O_DIRECTORY if stat.S_ISDIR(here.st_mode) else os.O_NONBLOCK
    try:
        lock = open_beneath(parent, name, os.O_RDONLY | os.O_NOFOLLOW | kind)
    except FileNotFoundError:
        return None
    try:
        # Never wait: a sandboxed process can hold the lock too, and every other launch waits for this one.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        now = os.fstat(lock)
        if now.st_nlink > 0 and os.path.samestat(now, here):
            return lock
    except BlockingIOError:
        pass
    except OSError as error:
        if error.errno in _NO_LOCKS:  # then nobody has one, and it need not stay
            with contextlib.suppress(OSError):
                _remove((name,), parent, lock)
        os.close(lock)
        raise PlanRefused("mask_failed", f"{name} cannot be protected: {error.strerror}.", _ELSEWHERE) from error
    os.close(lock)
    return None


def _check_marked(name: str, parent: int, mode: int) -> None:
    """Make sure that what was just made is known for a placeholder, also by another host; else take it back.

    Raises:
        PlanRefused: `mask_failed`.
    """
    try:
        here = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return  # a host that starts took it for one that a killed host left
    try:
        made = os.fstat(here)
        if is_placeholder(made.st_mode):
            return
        with contextlib.suppress(OSError):
            os.chmod(f"/proc/self/fd/{here}", mode)  # some file systems (FUSE) take the mode of a new file in part
        if is_placeholder(os.fstat(here).st_mode):
            return
        now = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if os.path.samestat(now, made) and now.st_size == made.st_size:
            (os.rmdir if stat.S_ISDIR(made.st_mode) else os.unlink)(name, dir_fd=parent)
    finally:
        os.close(here)
    raise PlanRefused("mask_failed", f"{name} cannot be protected: its file system keeps no modes.", _ELSEWHERE)


def _kind(name: str) -> str:
    """What a placeholder of this name can be used for again."""
    return name if name in _FOLDERS or name in _FILES else ""


def _write(name: str, text: bytes, folder: int) -> None:
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o400, dir_fd=folder)
    try:
        os.write(fd, text)
        os.fchmod(fd, _READABLE)
    finally:
        os.close(fd)


def _remove(names: Collection[str], folder: int, lock: int) -> None:
    """Remove names of a placeholder, unless somebody has filled it or put something else there.

    Raises:
        OSError: One may be left.
    """
    made = os.fstat(lock)
    content = None if stat.S_ISDIR(made.st_mode) else os.pread(lock, 64, 0)
    failure: OSError | None = None
    for name in names:
        try:
            if content is None:
                os.rmdir(name, dir_fd=folder)
                continue
            now = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if os.path.samestat(now, made) and content == _FILES.get(name, b""):
                os.unlink(name, dir_fd=folder)
        except OSError as error:
            if error.errno not in _ANOTHERS:
                failure = error
    if failure is not None:
        raise failure


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino
