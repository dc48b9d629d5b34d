"""Looking: list, glob, read, stat."""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path
from typing import BinaryIO, TypedDict

from toolhost import ReadPath, ToolContext, ToolError, ToolOutput, tool
from toolhost.plugins.files.names import Ignored, is_placeholder, on_one_line, pattern_of, walk
from toolhost.plugins.files.opened import explained, in_bytes, refuse_binary, regular_file

__all__ = ["glob", "list_folder", "read", "stat_path"]

_HERE = ReadPath(".")
_MAX_ENTRIES = 1_000
_MAX_READ = 512 << 10  # bytes of one `read`
_IMAGE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP", re.DOTALL)
_MAX_LINE = 20_000  # bytes of a line that are shown


class Entry(TypedDict):
    """A file or folder."""

    name: str
    type: str
    size: int
    modified: str


@tool(name="list")
def list_folder(path: ReadPath = _HERE, hidden: bool = False) -> ToolOutput:
    """List the files and folders directly in one folder, with size and time of change. For names anywhere below a
    folder use `glob`, for what files hold use `search`.

    Args:
        path: The folder.
        hidden: Also list names that begin with a dot.
    """
    with explained(path):
        names = sorted(item.name for item in Path(path).iterdir() if hidden or not item.name.startswith("."))
    entries = [entry for name in names if (entry := _entry(Path(path) / name)) is not None]
    lines = [f"{entry['modified']}  {_size(entry):>10}  {_shown(entry)}" for entry in entries[:_MAX_ENTRIES]]
    if len(entries) > _MAX_ENTRIES:
        lines.append(f"[{len(entries) - _MAX_ENTRIES} more: glob with a pattern such as a*.txt lists some of them]")
    return ToolOutput(text="\n".join(lines) or f"{path} is empty.", data=entries[:_MAX_ENTRIES])


@tool
def glob(
    ctx: ToolContext, pattern: str, path: ReadPath = _HERE, hidden: bool = False, newest: bool = False, limit: int = 200
) -> ToolOutput:
    """Find files and folders by name, at any depth. Gives one path a line, folders with a final slash. Hidden names and
    what .gitignore files leave out are passed over.

    Args:
        pattern: A name such as *.py (found at any depth), or a path such as src/**/test_*.{py,pyi}.
        path: The folder to look below.
        hidden: Also find hidden names and those that .gitignore files leave out.
        newest: Order by time of change, the newest first, instead of by name.
        limit: How many at most, up to 1000.
    """
    if not 1 <= limit <= _MAX_ENTRIES:
        raise ToolError(f"limit is between 1 and {_MAX_ENTRIES}.", "invalid_arguments")
    matches = pattern_of(pattern if "/" in pattern else f"**/{pattern}")
    with explained(path):
        if not stat.S_ISDIR(Path(path).stat().st_mode):
            raise NotADirectoryError
    found: list[tuple[Path, bool]] = []
    for number, (item, is_folder) in enumerate(walk(Path(path), Ignored(everything=hidden), folders=True)):
        if number % 1000 == 999:
            ctx.check()
            ctx.progress(number + 1, None, f"{number + 1} names seen, {len(found)} found")
        if matches(str(item.relative_to(path))):
            found.append((item, is_folder))
    if newest:
        found.sort(key=lambda each: _changed(each[0]), reverse=True)
    lines = [f"{item}/" if is_folder else str(item) for item, is_folder in found[:limit]]
    shown = [on_one_line(line) for line in lines]
    if len(found) > limit:
        shown.append(f"[{len(found) - limit} more: raise limit, or narrow pattern or path]")
    return ToolOutput(text="\n".join(shown) or "Nothing matches.", data=lines)


@tool
def read(path: ReadPath, offset: int = 1, limit: int = 2000, numbers: bool = False) -> ToolOutput:
    """Read a text file, or some lines of it; an image (png, jpeg, gif, webp) is shown. Use it before `edit`. Where the
    file goes on after what is shown, a last line in brackets says from which line.

    Args:
        path: The file.
        offset: The first line to read, from 1; a negative number counts from the end: -50 is the last 50 lines.
        limit: How many lines at most.
        numbers: Put each line's number before it.
    """
    if offset == 0 or limit < 1:
        raise ToolError(
            "offset is a line's number from 1, or negative to count from the end; limit is at least 1.",
            "invalid_arguments",
        )
    with regular_file(path) as file:
        if _IMAGE.match(file.read(16)) and os.path.realpath(path).startswith(f"{os.path.realpath('.')}/"):
            size = in_bytes(os.fstat(file.fileno()).st_size)
            return ToolOutput(text=f"{path} is an image of {size}.", files=[path])
        file.seek(0)
        refuse_binary(path, file)
        if offset < 0:
            offset = max(1, _count(file) + 1 + offset)
        lines, number, more = _lines(file, offset, limit)
    if offset > max(number, 1):
        raise ToolError(f"{path} has {number} lines.", "invalid_arguments")
    last = offset + len(lines) - 1
    raw = b"".join(lines)
    try:
        text = raw.decode()
        notes = []
    except UnicodeDecodeError:
        text = raw.decode(errors="replace")
        notes = ["bytes that are no UTF-8 are shown as \ufffd"]
    if numbers:
        text = "".join(f"{n:>6}  {line}" for n, line in enumerate(text.splitlines(keepends=True), offset))
    if more:
        notes.append(f"more from line {last + 1}")
    facts = {"path": path, "first_line": offset, "last_line": last, "more": more}
    return ToolOutput(text=text + (f"\n[{'; '.join(notes)}]" if notes else ""), data=facts)


@tool(name="stat")
def stat_path(path: ReadPath) -> dict[str, str | int]:
    """Say what a path is: its type, size in bytes, time of change (UTC), mode and owner.

    Args:
        path: A file or folder; a link is not followed.
    """
    with explained(path):
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


def _lines(file: BinaryIO, offset: int, limit: int) -> tuple[list[bytes], int, bool]:
    """Some lines, the number of the last one that was looked at, and whether there are more."""
    lines: list[bytes] = []
    size = number = 0
    while line := file.readline(_MAX_LINE + 1):
        whole = line
        length = len(line)
        while not whole.endswith(b"\n") and (whole := file.readline(1 << 20)):
            length += len(whole)
        number += 1
        if number < offset:
            continue
        if len(lines) == limit or size + len(line) > _MAX_READ:
            return lines, number, True
        if length > _MAX_LINE:
            line = b"%b%b" % (line[:_MAX_LINE], b" [line goes on: %d more bytes]\n" % (length - _MAX_LINE))
        lines.append(line)
        size += len(line)
    return lines, number, False


def _count(file: BinaryIO) -> int:
    count = 0
    last = b"\n"
    while block := file.read(1 << 20):
        count += block.count(b"\n")
        last = block[-1:]
    file.seek(0)
    return count + (last != b"\n")


def _entry(path: Path) -> Entry | None:
    try:
        status = path.lstat()
    except OSError:
        return None  # gone since the folder was read
    if path.name.startswith(".") and is_placeholder(path):
        return None
    return Entry(name=path.name, type=_type(status.st_mode), size=status.st_size, modified=_time(status.st_mtime))


def _type(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0


def _size(entry: Entry) -> str:
    return str(entry["size"]) if entry["type"] == "file" else "-"


def _shown(entry: Entry) -> str:
    return on_one_line(entry["name"]) + {"folder": "/", "link": "@"}.get(entry["type"], "")
