"""Finding the text that an edit replaces, and saying what is there instead where it is not found."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from toolhost import ToolError

__all__ = ["changed_lines", "occurrences", "replaced"]

_MOST_LINES = 20_000  # lines among which the nearest is looked for
_MOST_WORDS = 2_000  # of a text that is looked for with other white space
_AROUND = 2  # lines shown before and after
_MOST_SHOWN = 60  # lines of a result


def replaced(path: str, content: str, old: str, new: str, *, every: bool) -> str:
    """A file's text with one passage, or every occurrence of it, replaced.

    Raises:
        ToolError: `text_not_found`, `text_not_unique`, `invalid_arguments`.
    """
    if not old:
        raise ToolError(
            "`old` is empty: give the text to be replaced, or use `write` for a new file.", "invalid_arguments"
        )
    if old == new:
        raise ToolError("`old` and `new` are the same.", "invalid_arguments")
    places = list(occurrences(content, old))
    if not places:
        raise ToolError(f"{path} does not hold that text. {_nearest(content, old)}", "text_not_found")
    if len(places) > 1 and not every:
        lines = ", ".join(str(_line_of(content, place)) for place in places[:10])
        raise ToolError(
            f"{path} holds that text {len(places)} times, at lines {lines}{', ...' if len(places) > 10 else ''}. "
            "Give more of the lines around the one that is meant, or every=true.",
            "text_not_unique",
        )
    return content.replace(old, new)


def occurrences(content: str, old: str) -> Iterator[int]:
    """The places of a text."""
    place = content.find(old)
    while place >= 0:
        yield place
        place = content.find(old, place + len(old))


def changed_lines(before: str, after: str, path: str) -> str:
    """A unified diff of two texts that differ in few places, cut where it is long."""
    old, new = before.splitlines(), after.splitlines()
    # What is the same at both ends is most of the file, and comparing it is what takes time.
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    low = max(0, start - _AROUND)
    high = max(0, end - _AROUND)
    was, now = old[low : len(old) - high], new[low : len(new) - high]
    lines = list(difflib.unified_diff(was, now, path, path, n=_AROUND, lineterm=""))
    if not lines:
        return f"{path}: only line ends differ"
    shown = [_moved(line, low) if line.startswith("@@") else line for line in lines[:_MOST_SHOWN]]
    if len(lines) > _MOST_SHOWN:
        shown.append(f"[{len(lines) - _MOST_SHOWN} more lines changed]")
    return "\n".join(shown)


def _moved(header: str, by: int) -> str:
    """A hunk's header with line numbers of the whole file."""
    words = header.split()
    for at in (1, 2):
        start, comma, count = words[at][1:].partition(",")
        words[at] = f"{words[at][0]}{int(start) + by}{comma}{count}"
    return " ".join(words)


def _line_of(content: str, place: int) -> int:
    return content.count("\n", 0, place) + 1


def _nearest(content: str, old: str) -> str:
    """Where it almost stands."""
    lines = content.replace("\r\n", "\n").split("\n")[:_MOST_LINES]
    wanted = old.replace("\r\n", "\n").split("\n")
    while wanted and not wanted[0].strip():
        wanted.pop(0)
    while wanted and not wanted[-1].strip():
        wanted.pop()
    if not wanted:
        return "It is nothing but white space."
    text = "\n".join(lines)
    words = old.split()
    spaced = re.search(r"\s+".join(map(re.escape, words)), text) if len(words) <= _MOST_WORDS else None
    if spaced is not None:
        first = text.count("\n", 0, spaced.start())
        count = spaced[0].count("\n") + 1
        return f"These lines differ from it in white space only:\n{_numbered(lines, first, count)}"
    scored = difflib.SequenceMatcher(b=wanted[0].strip(), autojunk=False)
    best, where = 0.5, -1
    for at, line in enumerate(map(str.strip, lines)):
        if not line:
            continue
        scored.set_seq1(line)
        if scored.real_quick_ratio() > best and scored.quick_ratio() > best and (ratio := scored.ratio()) > best:
            best, where = ratio, at
    if where < 0:
        return "No line of it is like the first of the text; read the file again."
    return f"The nearest is:\n{_numbered(lines, where, len(wanted))}"


def _numbered(lines: list[str], at: int, count: int) -> str:
    count = min(count, 12)
    return "\n".join(f"{number + 1:>6}  {lines[number]}" for number in range(at, min(at + count, len(lines))))
