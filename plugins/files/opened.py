"""Opening what a tool names, and saying what goes wrong: what each tool of the plugin needs of a file."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from toolhost import ToolError

__all__ = [
    "LARGEST_TEXT",
    "Text",
    "explained",
    "in_bytes",
    "read_text",
    "refuse_binary",
    "regular_file",
    "replace_file",
    "settled",
    "size_of",
    "to_bytes",
]

LARGEST_TEXT = 8 << 20
"""Bytes of a file that is edited, patched or compared as a whole."""

_REASONS: tuple[tuple[type[OSError], str, str], ...] = (
    (FileNotFoundError, "not_found", "does not exist here"),
    (IsADirectoryError, "is_a_folder", "is a folder"),
    (NotADirectoryError, "not_a_folder", "is not a folder, or lies below something that is none"),
    (PermissionError, "not_permitted", "may not be used like this: the policy or the file's mode forbids it"),
)


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Turn what the system says of a path into a ToolError that a person or a model can act on."""
    try:
        yield
    except OSError as error:
        for kind, code, reason in _REASONS:
            if isinstance(error, kind):
                raise ToolError(f"{path} {reason}.", code) from error
        raise ToolError(f"{path}: {error.strerror}.", "io_error") from error
    except ValueError as error:  # a NUL character
        raise ToolError(f"{str(path)!r} is not a path.", "invalid_arguments") from error


@contextmanager
def regular_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Raises:
        ToolError: `is_a_folder`, `not_a_file`, or what `explained` makes of an error.
    """
    with explained(path):
        # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise ToolError(f"{path} is a folder.", "is_a_folder")
            if not stat.S_ISREG(mode):
                raise ToolError(f"{path} is not a regular file.", "not_a_file")
            yield file


def refuse_binary(path: str | Path, file: BinaryIO) -> None:
    """Refuse what is no text by its first 8 KiB, and go back to the file's start.

    Raises:
        ToolError: `not_text`.
    """
    if b"\0" in file.read(8192):
        raise ToolError(f"{path} is not a text file: it holds NUL bytes.", "not_text")
    file.seek(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text file as a whole.

    Attributes:
        content: Its text; bytes that are no UTF-8 stand there as lone surrogates and are written back as they were.
        crlf: Whether its lines end with CR LF.
    """

    content: str
    crlf: bool

    def encoded(self) -> bytes:
        """The bytes of the file."""
        return to_bytes(self.content)


def to_bytes(text: str) -> bytes:
    """Bytes of a text; half a surrogate pair that is no byte of `read_text` becomes a question mark."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def read_text(path: str | Path) -> Text:
    """Read a whole text file.

    Raises:
        ToolError: `not_text`, `too_large`, and as `regular_file`.
    """
    with regular_file(path) as file:
        refuse_binary(path, file)
        data = file.read(LARGEST_TEXT + 1)
    if len(data) > LARGEST_TEXT:
        raise ToolError(f"{path} is larger than {in_bytes(LARGEST_TEXT)}, the most this tool handles.", "too_large")
    content = data.decode("utf-8", "surrogateescape")
    ends = content.count("\n")
    return Text(content=content, crlf=ends > 0 and content.count("\r\n") * 2 > ends)


def replace_file(path: str, data: bytes, *, append: bool = False) -> None:
    """Give a file new content in one step: whoever reads it meanwhile sees the old or the new, never a part.

    A file with several names, or in a folder that takes no new file, is written in place instead.

    Raises:
        ToolError: As `explained`, and `not_a_file`.
    """
    with explained(path):
        target = os.path.realpath(path)  # through a link, what it leads to is written, not the link
        try:
            facts = os.stat(target)  # noqa: PTH116 - beside the descriptors below
        except FileNotFoundError:
            facts = None
        if facts is not None and not os.access(target, os.W_OK) and not stat.S_ISDIR(facts.st_mode):
            raise PermissionError
        if append or (facts is not None and (facts.st_nlink > 1 or not stat.S_ISREG(facts.st_mode))):
            _write_in_place(target, path, data, append=append)
            return
        try:
            fd, temporary = tempfile.mkstemp(prefix=".toolhost-", dir=os.path.dirname(target))  # noqa: PTH120
        except PermissionError:
            _write_in_place(target, path, data, append=False)
            return
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                os.fchmod(fd, stat.S_IMODE(facts.st_mode) if facts else 0o666 & ~_umask())
            os.replace(temporary, target)  # noqa: PTH105
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            raise


def _write_in_place(target: str, shown: str, data: bytes, *, append: bool) -> None:
    # O_NONBLOCK: a FIFO without a reader is an error, not a wait.
    mode = os.O_APPEND if append else os.O_TRUNC
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | mode, 0o666)
    with os.fdopen(fd, "wb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ToolError(f"{shown} is not a regular file.", "not_a_file")
        file.write(data)


def _umask() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def settled(path: str, *, through: bool = True) -> str:
    """The one name of what is to be changed: relative where it lies below the working folder, without `..` and links.

    Args:
        path: As the caller named it.
        through: Also follow a link that stands at its end.

    Raises:
        ToolError: `not_permitted` for the working folder itself, and for what is kept for undoing.
    """
    with explained(path):
        head, tail = os.path.split(os.path.normpath(path))
        through = through or tail in ("", ".", "..")
        real = os.path.realpath(path) if through else os.path.join(os.path.realpath(head or "."), tail)  # noqa: PTH118
    here = os.path.realpath(".")
    if real == here:
        raise ToolError(f"{path} is the workspace itself: name something in it.", "not_permitted")
    name = os.path.relpath(real, here) if real.startswith(here + "/") else real
    if ".toolhost" in name.split("/"):
        raise ToolError(f"{path} holds what can be undone, and only this plugin's tools write there.", "not_permitted")
    return name


def in_bytes(size: int) -> str:
    """A number of bytes for people."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}".replace(".0 ", " ")
    return f"{size} bytes" if size != 1 else "1 byte"


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += (Path(folder) / name).lstat().st_size
    return total
