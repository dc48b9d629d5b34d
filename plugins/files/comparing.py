"""Comparing: files, and folders with all in them."""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path

from toolhost import ReadPath, ToolContext, ToolError, tool
from toolhost.plugins.files.names import Ignored, walk
from toolhost.plugins.files.opened import explained, in_bytes, regular_file

__all__ = ["diff"]

_LARGEST = 2 << 20  # bytes of a file that is compared line by line
_MOST_LINES = 2_000
_BLOCK = 1 << 20


@tool
def diff(ctx: ToolContext, old: ReadPath, new: ReadPath, context: int = 3, names: bool = False) -> str:
    """Compare two files, or two folders with all in them, and give a unified diff. It knows nothing of Git: for what is
    not committed yet use the diff of the git plugin.

    Args:
        old: A file or folder.
        new: Another of the same kind.
        context: Lines that are the same to show around each change, up to 50.
        names: Only say which files differ.
    """
    if not 0 <= context <= 50:
        raise ToolError("context is between 0 and 50.", "invalid_arguments")
    with explained(old):
        old_is_folder = stat.S_ISDIR(os.stat(old).st_mode)  # noqa: PTH116
    with explained(new):
        new_is_folder = stat.S_ISDIR(os.stat(new).st_mode)  # noqa: PTH116
    if old_is_folder != new_is_folder:
        raise ToolError("One is a file and the other a folder: give two files or two folders.", "invalid_arguments")
    lines: list[str] = []
    if old_is_folder:
        _folders(ctx, Path(old), Path(new), context, names, lines)
    else:
        _files(Path(old), Path(new), context, names, lines)
    if not lines:
        return "No difference."
    if len(lines) > _MOST_LINES:
        rest = len(lines) - _MOST_LINES
        lines[_MOST_LINES:] = [f"[{rest} more lines: names=true lists the files; compare fewer of them, or one]"]
    return "\n".join(lines)


def _folders(ctx: ToolContext, old: Path, new: Path, context: int, names: bool, lines: list[str]) -> None:
    before = {str(file.relative_to(old)) for file, _ in walk(old, Ignored(everything=True))}
    after = {str(file.relative_to(new)) for file, _ in walk(new, Ignored(everything=True))}
    for name in sorted(before | after):
        ctx.check()
        if name not in after:
            lines.append(f"only in {old}: {name}")
        elif name not in before:
            lines.append(f"only in {new}: {name}")
        else:
            _files(old / name, new / name, context, names or len(lines) > _MOST_LINES, lines)


def _files(old: Path, new: Path, context: int, names: bool, lines: list[str]) -> None:
    place = _first_difference(old, new)
    if place is None:
        return
    if names:
        lines.append(f"{old} and {new} differ")
        return
    before, after = _lines(old), _lines(new)
    if before is None or after is None:
        sizes = f"{in_bytes(old.stat().st_size)} and {in_bytes(new.stat().st_size)}"
        lines.append(f"{old} and {new} differ from byte {place + 1} on ({sizes}; not compared line by line)")
        return
    for line in difflib.unified_diff(before, after, str(old), str(new), n=context, lineterm=""):
        lines.append(line.removesuffix("\n"))
        if not line.endswith("\n") and line[:1] in (" ", "+", "-") and not line.startswith(("--- ", "+++ ")):
            lines.append("\\ No newline at end of file")


def _first_difference(old: Path, new: Path) -> int | None:
    with regular_file(old) as before, regular_file(new) as after:
        place = 0
        while True:
            left, right = before.read(_BLOCK), after.read(_BLOCK)
            if left != right:
                same = zip(left, right, strict=False)
                return place + next((at for at, (a, b) in enumerate(same) if a != b), min(len(left), len(right)))
            if not left:
                return None
            place += len(left)


def _lines(path: Path) -> list[str] | None:
    """The lines with their ends, or None for what is no text or too large."""
    with regular_file(path) as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST or b"\0" in data[:8192]:
        return None
    text = data.decode(errors="replace")
    lines = text.split("\n")
    ended = [f"{line}\n" for line in lines[:-1]]
    return [*ended, lines[-1]] if lines[-1] else ended
