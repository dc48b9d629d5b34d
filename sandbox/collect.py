"""Reading what a sandbox wrote: the host never follows, runs or trusts anything a sandboxed process left behind.

Every host read of a writable root goes through here. A file counts only where it is a regular one, with one name,
without set-id bits, opened beneath the root's descriptor with no link in any component and on the root's own file
system. Opening never blocks (a FIFO would), and nothing is read before its size was looked at.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from toolhost.sandbox.beneath import open_strictly_beneath
from toolhost.sandbox.errors import SandboxError

__all__ = [
    "CollectLimits",
    "CollectRefused",
    "Entry",
    "Kind",
    "open_collected",
    "read_collected",
    "spelled",
    "survey",
]

Kind = Literal["file", "folder", "link", "special", "linked", "set_id", "too_large", "too_deep"]

_BLOCK = 512  # of st_blocks, whatever the file system's own


class CollectRefused(SandboxError):  # noqa: N818
    """Raised for something in a writable root that the host does not touch.

    Codes: `file_not_found`, `file_is_link`, `file_not_regular`, `file_has_links`, `file_has_set_id`, `file_too_large`.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectLimits:
    """How much of a root is looked at: bytes of one file, number of entries, levels of folders."""

    size: int = 64 << 20
    count: int = 10_000
    depth: int = 32


_USUAL = CollectLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing found in a root.

    Attributes:
        path: Relative to the root, as the file system has it; `spelled` makes it fit to be shown.
        kind: `file`, `folder`, or what it is that the host does not touch: `link`, `special` (a FIFO, a socket, a
            device), `linked` (more than one name), `set_id`, `too_large`, `too_deep` (a folder not looked into).
        size: Bytes; 0 for what is no file.
        allocated: Bytes that it really takes: less than `size` for a sparse file.
        modified_ns: Modification time, nanoseconds since the epoch.
    """

    path: str
    kind: Kind
    size: int
    allocated: int
    modified_ns: int


def open_collected(root_fd: int, path: str, max_size: int) -> int:
    """Open a file that a sandbox wrote, for reading.

    Args:
        root_fd: Descriptor of the root.
        path: Relative to it.
        max_size: Bytes it may have.

    Returns:
        A descriptor the caller closes; the file may have grown since, so read at most `max_size`.

    Raises:
        CollectRefused: With the code that says why.
    """
    shown = spelled(path)
    if not path or "\0" in path:
        raise CollectRefused("file_not_found", f"{shown!r} is no path of a file.")
    try:
        fd = open_strictly_beneath(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise _not_opened(error, shown) from None
    try:
        kind = _judge(os.fstat(fd), max_size)
        if kind != "file":
            raise _refused(kind, shown, max_size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_collected(root_fd: int, path: str, max_size: int) -> bytes:
    """The content of a file that a sandbox wrote. See `open_collected`."""
    with os.fdopen(open_collected(root_fd, path, max_size), "rb") as file:
        content = file.read(max_size + 1)
    if len(content) > max_size:
        raise _refused("too_large", spelled(path), max_size)
    return content


def survey(root_fd: int, limits: CollectLimits = _USUAL) -> Iterator[Entry]:
    """Everything in a root, folder by folder, up to the limits; nothing is opened but folders."""
    waiting: deque[tuple[str, int]] = deque([(".", 0)])
    seen = 0
    while waiting:
        folder, depth = waiting.popleft()
        try:
            fd = open_strictly_beneath(root_fd, folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
        except OSError:
            continue  # gone or replaced since it was listed, or closed to its own owner
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if seen == limits.count:
                        return
                    path = entry.name if folder == "." else f"{folder}/{entry.name}"
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    seen += 1
                    kind = _judge(facts, limits.size)
                    if kind == "folder" and depth + 1 >= limits.depth:
                        kind = "too_deep"
                    elif kind == "folder":
                        waiting.append((path, depth + 1))
                    yield _entry(path, kind, facts)
        finally:
            os.close(fd)


def spelled(path: str) -> str:
    """A name as it can be shown and logged: bytes that are no UTF-8, control and direction characters escaped."""
    return "".join(char if char.isprintable() and char != "\\" else _escape(char) for char in path)


def _escape(char: str) -> str:
    number = ord(char)
    if char == "\\":
        return "\\\\"
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _entry(path: str, kind: Kind, facts: os.stat_result) -> Entry:
    regular = stat.S_ISREG(facts.st_mode)
    return Entry(
        path=path,
        kind=kind,
        size=facts.st_size if regular else 0,
        allocated=facts.st_blocks * _BLOCK if regular else 0,
        modified_ns=facts.st_mtime_ns,
    )


def _judge(facts: os.stat_result, max_size: int) -> Kind:
    if stat.S_ISDIR(facts.st_mode):
        return "folder"
    if stat.S_ISLNK(facts.st_mode):
        return "link"
    if not stat.S_ISREG(facts.st_mode):
        return "special"
    if facts.st_nlink != 1:
        return "linked"
    if facts.st_mode & (stat.S_ISUID | stat.S_ISGID):
        return "set_id"
    # Reading a hole costs as much as reading data, so the size counts; the blocks only ever say that there is less.
    return "too_large" if facts.st_size > max_size else "file"


def _not_opened(error: OSError, shown: str) -> CollectRefused:
    if error.errno in (errno.ELOOP, errno.EXDEV):
        return CollectRefused("file_is_link", f"{shown} is a link, or lies behind one; links are not followed.")
    if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a FIFO nobody reads, a device
        return _refused("special", shown, 0)
    if error.errno == errno.EAGAIN:
        return CollectRefused("file_not_found", f"Another program holds {shown} and lets nobody open it.", "Try again.")
    return CollectRefused("file_not_found", f"{shown} cannot be opened: {error.strerror}.")


def _refused(kind: Kind, shown: str, max_size: int) -> CollectRefused:
    code, what = {
        "link": ("file_is_link", "is a link; links are not followed"),
        "linked": ("file_has_links", "has another name somewhere; only files with one name are read"),
        "set_id": ("file_has_set_id", "carries a set-user-id or set-group-id bit"),
        "too_large": ("file_too_large", f"is larger than {max_size} bytes"),
    }.get(kind, ("file_not_regular", "is not a regular file"))
    return CollectRefused(code, f"{shown} {what}.")
