"""The tools of the `files` plugin.

No path is judged here: the host has checked each against the policy, and what the policy does not grant is not there
inside the sandbox. What is left to do well is size, kind and wording.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO, TypedDict

from toolhost import ReadPath, ToolContext, ToolError, ToolOutput, WritePath, hookimpl, tool

__all__ = ["list_folder", "read", "register_tools", "search", "stat_path", "write"]

_HERE = ReadPath(".")
_MAX_ENTRIES = 1_000
_MAX_READ = 512 << 10  # bytes of one `read`
_MAX_SEARCHED = 10 << 20  # bytes of a file that `search` looks into
_MAX_LINE = 400  # characters of a found line that are shown


class Entry(TypedDict):
    """A file or folder."""

    name: str
    type: str
    size: int
    modified: str


class Match(TypedDict):
    """A line that matches."""

    path: str
    line: int
    text: str


@tool(name="list")
def list_folder(path: ReadPath = _HERE, hidden: bool = False) -> ToolOutput:
    """List the files and folders in a folder.

    Args:
        path: The folder.
        hidden: Also list names that begin with a dot.
    """
    with _explained(path):
        names = sorted(item.name for item in Path(path).iterdir() if hidden or not item.name.startswith("."))
    entries = [_entry(Path(path) / name) for name in names[:_MAX_ENTRIES]]
    lines = [f"{entry['modified']}  {_size(entry):>10}  {_shown(entry)}" for entry in entries]
    if len(names) > _MAX_ENTRIES:
        lines.append(f"... and {len(names) - _MAX_ENTRIES} more")
    return ToolOutput(text="\n".join(lines) or f"{path} is empty.", data=entries)


@tool
def read(path: ReadPath, offset: int = 1, limit: int = 2000) -> ToolOutput:
    """Read a text file, or some lines of it.

    Args:
        path: The file.
        offset: The first line to read, from 1.
        limit: How many lines at most.
    """
    if offset < 1 or limit < 1:
        raise ToolError("offset and limit are at least 1.", "invalid_arguments")
    lines: list[bytes] = []
    size = 0
    number = 0
    more = False
    with _regular_file(path) as file:
        _refuse_binary(path, file)
        for number, line in enumerate(file, 1):
            if number < offset:
                continue
            if len(lines) == limit or size + len(line) > _MAX_READ:
                more = True
                break
            lines.append(line)
            size += len(line)
    if more and not lines:
        raise ToolError(f"Line {offset} of {path} is longer than {_MAX_READ} bytes.", "too_large")
    if offset > max(number, 1):
        raise ToolError(f"{path} has {number} lines.", "invalid_arguments")
    text = b"".join(lines).decode(errors="replace")
    last = offset + len(lines) - 1
    facts = {"path": path, "first_line": offset, "last_line": last, "more": more}
    return ToolOutput(text=text + (f"\n[more from line {last + 1}]" if more else ""), data=facts)


@tool
def write(path: WritePath, content: str, append: bool = False, folders: bool = False) -> str:
    """Write a text file; what it held is replaced.

    Args:
        path: The file.
        content: What it shall hold.
        append: Add to the end of the file and keep what it holds.
        folders: Make the folders it lies in where they are missing.
    """
    data = content.encode(errors="replace")
    with _explained(path):
        if folders:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        # O_NONBLOCK: a FIFO without a reader is an error, not a wait.
        mode = os.O_APPEND if append else os.O_TRUNC
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | mode, 0o666)
        with os.fdopen(fd, "wb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ToolError(f"{path} is not a regular file.", "not_a_file")
            file.write(data)
    return f"{'Added' if append else 'Wrote'} {len(data)} bytes to {path}."


@tool
def search(
    ctx: ToolContext,
    pattern: str,
    path: ReadPath = _HERE,
    regex: bool = False,
    ignore_case: bool = False,
    names: str = "*",
    limit: int = 100,
) -> ToolOutput:
    """Find the lines of text files that contain a text or match a regular expression.

    Args:
        pattern: The text, or the regular expression.
        path: A file, or a folder to search with everything below it.
        regex: The pattern is a regular expression (Python's).
        ignore_case: Take capital and small letters for the same.
        names: Only files whose name matches this, such as *.py.
        limit: How many lines at most, up to 1000.
    """
    if not pattern:
        raise ToolError("The pattern is empty.", "invalid_arguments")
    if not 1 <= limit <= _MAX_ENTRIES:
        raise ToolError(f"limit is between 1 and {_MAX_ENTRIES}.", "invalid_arguments")
    matches = _matcher(pattern, regex, ignore_case)
    found: list[Match] = []
    searched = 0
    for file in _files(path, names):
        ctx.check()
        searched += 1
        if searched % 500 == 0:
            ctx.progress(searched, None, f"{searched} files searched, {len(found)} lines found")
        for match in _matches(file, matches):
            if len(found) == limit:
                return _found(found, searched, cut=True)
            found.append(match)
    return _found(found, searched, cut=False)


@tool(name="stat")
def stat_path(path: ReadPath) -> dict[str, str | int]:
    """Say what a path is: its type, size, time of change, mode and owner.

    Args:
        path: A file or folder; a link is not followed.
    """
    with _explained(path):
        status = os.lstat(path)
        facts: dict[str, str | int] = {
            "path": path,
            "type": _type(status.st_mode),
            "size": status.st_size,
            "modified": _time(status.st_mtime),
            "mode": stat.filemode(status.st_mode),
            "uid": status.st_uid,
            "gid": status.st_gid,
            "links": status.st_nlink,
        }
        if stat.S_ISLNK(status.st_mode):
            facts["target"] = str(Path(path).readlink())
    return facts


@hookimpl
def register_tools(register: Callable[[Callable[..., object]], None]) -> None:
    """The five tools."""
    for function in (list_folder, read, write, search, stat_path):
        register(function)


# -- shared ------------------------------------------------------------------------------------------------------------

_REASONS: tuple[tuple[type[OSError], str, str], ...] = (
    (FileNotFoundError, "not_found", "does not exist here"),
    (IsADirectoryError, "is_a_folder", "is a folder"),
    (NotADirectoryError, "not_a_folder", "is not a folder"),
    (PermissionError, "not_permitted", "may not be used like this: the policy or the file's mode forbids it"),
)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        for kind, code, reason in _REASONS:
            if isinstance(error, kind):
                raise ToolError(f"{path} {reason}.", code) from error
        raise ToolError(f"{path}: {error.strerror}.", "io_error") from error
    except ValueError as error:  # a NUL character
        raise ToolError(f"{path!r} is not a path.", "invalid_arguments") from error


@contextmanager
def _regular_file(path: str) -> Iterator[BinaryIO]:
    with _explained(path):
        # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise ToolError(f"{path} is a folder.", "is_a_folder")
            if not stat.S_ISREG(mode):
                raise ToolError(f"{path} is not a regular file.", "not_a_file")
            yield file


def _refuse_binary(path: str, file: BinaryIO) -> None:
    if b"\0" in file.read(8192):
        raise ToolError(f"{path} is not a text file.", "not_text")
    file.seek(0)


def _entry(path: Path) -> Entry:
    try:
        status = path.lstat()
    except OSError:
        return Entry(name=path.name, type="unknown", size=0, modified=_time(0))  # gone since the folder was read
    return Entry(name=path.name, type=_type(status.st_mode), size=status.st_size, modified=_time(status.st_mtime))


def _type(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def _size(entry: Entry) -> str:
    return str(entry["size"]) if entry["type"] == "file" else "-"


def _shown(entry: Entry) -> str:
    return entry["name"] + {"folder": "/", "link": "@"}.get(entry["type"], "")


def _matcher(pattern: str, regex: bool, ignore_case: bool) -> Callable[[str], bool]:
    try:
        compiled = re.compile(pattern if regex else re.escape(pattern), re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise ToolError(f"The regular expression is wrong: {error}.", "invalid_arguments") from error
    return lambda line: compiled.search(line) is not None


def _files(path: str, names: str) -> Iterator[Path]:
    with _explained(path):
        if not stat.S_ISDIR(Path(path).stat().st_mode):
            yield Path(path)
            return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(files):
            if fnmatch(name, names):
                yield Path(folder) / name


def _matches(path: Path, matches: Callable[[str], bool]) -> Iterator[Match]:
    try:
        with _regular_file(str(path)) as file:
            _refuse_binary(str(path), file)
            for number, line in enumerate(file.read(_MAX_SEARCHED).decode(errors="replace").splitlines(), 1):
                if matches(line):
                    yield Match(path=str(path), line=number, text=line[:_MAX_LINE])
    except ToolError:
        return  # not text, gone, or not to be read: nothing to find there


def _found(found: list[Match], searched: int, *, cut: bool) -> ToolOutput:
    lines = [f"{match['path']}:{match['line']}: {match['text']}" for match in found]
    lines.append(f"{len(found)} lines in {searched} files" + (", and more" if cut else ""))
    return ToolOutput(text="\n".join(lines), data=found)
