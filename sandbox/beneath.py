"""Opening paths so that no link is followed out: openat2(2), which Python does not offer, by ctypes.

A path that was checked by name can be another file when it is used. So every root is opened once, without following a
link in any component, and everything under it is opened relative to that descriptor, where the kernel itself refuses to
leave (RESOLVE_BENEATH, Linux 5.6).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys

__all__ = ["open_beneath", "open_strictly_beneath", "open_without_links"]

_SYS_OPENAT2 = 437  # the same number on every architecture (added after the tables were unified)
_AT_FDCWD = -100
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_TRIES = 1000
_ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # `os.fsencode` asks each time

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW_SIZE = ctypes.sizeof(_OpenHow)


@functools.lru_cache(maxsize=64)
def _how(flags: int, mode: int, resolve: int) -> ctypes.Array[ctypes.c_char]:
    """What the system call reads of how to open; it writes nothing there."""
    return ctypes.create_string_buffer(bytes(_OpenHow(flags, mode, resolve)), _HOW_SIZE)


def _openat2(dir_fd: int, path: str, flags: int, mode: int, resolve: int) -> int:
    how = _how(flags | os.O_CLOEXEC, mode, resolve)
    left = _TRIES
    while True:
        fd: int = _libc.syscall(_SYS_OPENAT2, dir_fd, path.encode(*_ENCODING), how, _HOW_SIZE)
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        left -= 1
        # EAGAIN: a rename raced with the walk and the kernel could not prove that it stayed beneath. But also: somebody
        # holds a lease on the file and keeps it, for as long as they like.
        if number not in (errno.EINTR, errno.EAGAIN) or not left:
            raise OSError(number, os.strerror(number), path)


def open_without_links(path: str, flags: int = os.O_PATH) -> int:
    """Open an absolute path, refusing a symbolic link in any component.

    Args:
        path: Absolute path.
        flags: As for `os.open`; O_CLOEXEC is added.

    Returns:
        A descriptor the caller closes.

    Raises:
        OSError: ELOOP where a component is a link; otherwise as `os.open`.
    """
    return _openat2(_AT_FDCWD, path, flags, 0, _RESOLVE_NO_SYMLINKS)


def open_beneath(root_fd: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open a path relative to a root's descriptor; links are followed only while they stay beneath it.

    Args:
        root_fd: Descriptor of the root.
        path: Relative path.
        flags: As for `os.open`; O_CLOEXEC is added.
        mode: Permission bits for O_CREAT.

    Returns:
        A descriptor the caller closes.

    Raises:
        OSError: EXDEV where the path leads out of the root, ELOOP for a magic link or a loop of links; otherwise as
            `os.open`.
    """
    return _openat2(root_fd, path, flags, mode, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)


def open_strictly_beneath(root_fd: int, path: str, flags: int = os.O_PATH) -> int:
    """Open what a sandbox may have made: relative to a root, following no link at all and entering no other mount.

    Args:
        root_fd: Descriptor of the root.
        path: Relative path.
        flags: As for `os.open`; O_CLOEXEC is added.

    Returns:
        A descriptor the caller closes.

    Raises:
        OSError: ELOOP where a component is a link, EXDEV where the path leads out of the root or over a mount point;
            otherwise as `os.open`.
    """
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV
    return _openat2(root_fd, path, flags, 0, resolve)
