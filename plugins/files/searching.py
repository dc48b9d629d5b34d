"""Searching: the lines of files that hold a text or match a regular expression."""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict

from toolhost import ReadPath, ToolContext, ToolError, ToolOutput, tool
from toolhost.plugins.files.names import Ignored, pattern_of, walk
from toolhost.plugins.files.opened import explained, refuse_binary, regular_file
from toolhost.plugins.files.ripgrep import likely_files

__all__ = ["search"]

_HERE = ReadPath(".")
_MAX_LINES = 1_000
_MAX_AROUND = 20
_MAX_SEARCHED = 10 << 20  # bytes of a file that are looked into
_MAX_LINE = 400  # characters of a line that are shown
_MAX_TEXT = 400_000  # characters of a whole answer


class Match(TypedDict):
    """A line that matches."""

    path: str
    line: int
    text: str


@tool
def search(
    ctx: ToolContext,
    pattern: str,
    path: ReadPath = _HERE,
    regex: bool = False,
    ignore_case: bool = False,
    names: str = "*",
    around: int = 0,
    hidden: bool = False,
    limit: int = 100,
) -> ToolOutput:
    """Find the lines of text files that contain a text or match a regular expression. Gives path:line: text for each,
    then how many there are. Hidden files, what .gitignore files leave out and binary files are passed over.

    Args:
        pattern: The text, or the regular expression.
        path: A file, or a folder to search with everything below it.
        regex: The pattern is a regular expression (Python's).
        ignore_case: Take capital and small letters for the same.
        names: Only files whose name matches this, such as *.{c,h}; or whose path does, such as src/**/*.py.
        around: Also show this many lines before and after each, up to 20.
        hidden: Also search hidden files and those that .gitignore files leave out.
        limit: How many matching lines at most, up to 1000.
    """
    if not pattern:
        raise ToolError("The pattern is empty.", "invalid_arguments")
    if not 1 <= limit <= _MAX_LINES or not 0 <= around <= _MAX_AROUND:
        raise ToolError(
            f"limit is between 1 and {_MAX_LINES}, around between 0 and {_MAX_AROUND}.", "invalid_arguments"
        )
    answer = _Answer(limit, around)
    matches = _matcher(pattern, regex, ignore_case)
    likely = likely_files(ctx, pattern, path, regex=regex, ignore_case=ignore_case, hidden=hidden)
    searched = 0
    for file in _files(path, names, hidden, likely):
        ctx.check()
        searched += 1
        if searched % 500 == 0:
            ctx.progress(searched, None, f"{searched} files searched, {len(answer.found)} lines found")
        if not answer.look_into(file, matches, named=str(file) == str(path)):
            break
    return answer.output(searched if likely is None else None)


class _Answer:
    """The lines found so far, and the text that shows them."""

    def __init__(self, limit: int, around: int) -> None:
        self.found: list[Match] = []
        self._limit = limit
        self._around = around
        self._shown: list[str] = []
        self._size = 0
        self._in_files = 0
        self._cut = False

    def look_into(self, file: Path, matches: Callable[[str], bool], *, named: bool) -> bool:
        """Add the lines of one file; returns whether there is room for more."""
        before: deque[tuple[int, str]] = deque(maxlen=self._around)
        after = last = 0
        seen = len(self.found)
        for number, line in enumerate(_lines(file, named), 1):
            if matches(line):
                if len(self.found) == self._limit or self._size > _MAX_TEXT:
                    self._cut = True
                    return False
                if len(self.found) == seen:
                    self._in_files += 1
                if self._around and self._shown and last != number - len(before) - 1:
                    self._shown.append("--")
                for earlier, text in before:
                    self._show(file, earlier, "-", text)
                before.clear()
                self._show(file, number, ":", line)
                self.found.append(Match(path=str(file), line=number, text=line[:_MAX_LINE]))
                after, last = self._around, number
            elif after:
                self._show(file, number, "-", line)
                after, last = after - 1, number
            else:
                before.append((number, line))
        return True

    def output(self, searched: int | None) -> ToolOutput:
        """The result; how many files were looked into is not known where ripgrep did it."""
        lines = "1 line" if len(self.found) == 1 else f"{len(self.found)} lines"
        of = "" if searched is None else f" of {searched}"
        where = f"{self._in_files}{of} file{'s' if of or self._in_files != 1 else ''}"
        more = ", and more: raise limit, or narrow pattern, path or names" if self._cut else ""
        self._shown.append(f"[{lines} in {where}{more}]")
        return ToolOutput(text="\n".join(self._shown), data=self.found)

    def _show(self, file: Path, number: int, mark: str, line: str) -> None:
        text = line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]} [line goes on]"
        self._shown.append(f"{file}{mark}{number}{mark} {text}")
        self._size += len(text) + 1


def _lines(path: Path, named: bool) -> Iterator[str]:
    try:
        with regular_file(path) as file:
            refuse_binary(path, file)
            text = file.read(_MAX_SEARCHED).decode(errors="replace")
    except ToolError:
        if named:
            raise
        return  # not text, gone, or not to be read: nothing to find there
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    for line in lines:
        yield line.removesuffix("\r")


def _matcher(pattern: str, regex: bool, ignore_case: bool) -> Callable[[str], bool]:
    try:
        compiled = re.compile(pattern if regex else re.escape(pattern), re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise ToolError(
            f"The regular expression is wrong: {error}. regex=false takes the pattern as plain text.",
            "invalid_arguments",
        ) from error
    return lambda line: compiled.search(line) is not None


def _files(path: str, names: str, hidden: bool, likely: list[Path] | None) -> Iterator[Path]:
    fits = pattern_of(names if "/" in names else f"**/{names}")
    with explained(path):
        if not stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116
            yield Path(path)
            return
    below = (file for file, _ in walk(Path(path), Ignored(everything=hidden))) if likely is None else likely
    for file in below:
        if fits(str(file.relative_to(path))):
            yield file
