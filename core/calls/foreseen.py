"""What would happen to one file, as a person is shown it, and what is said beside it by a code for every language."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from toolhost.authoring import ToolError
from toolhost.policy.lookup import Lookup
from toolhost.sandbox.collect import CollectRefused

__all__ = [
    "LARGEST",
    "FileChange",
    "Note",
    "as_text",
    "changed",
    "deleted",
    "difference",
    "failing",
    "has_crlf",
    "note",
    "text_of",
    "unshown",
]

LARGEST = 1 << 20
"""Bytes of a file that is looked at."""

Did = Literal["made", "changed", "deleted", "renamed", "unclear"]

_MOST_COMPARED = 2000  # lines that are looked through for what stayed the same between the first and last change
_AROUND = 3  # lines that are the same around each change

_SAID = {
    "changed_since": "The call would fail: {path} was changed since.",
    "exists": "The call would fail: {path} exists already.",
    "folder_moves": "Everything in the folder moves with it.",
    "folder_replaced": "This folder, with all in it, is put out of the way.",
    "folder_restored": "The folder comes back with all that was in it.",
    "gone_since": "The call would fail: {path} is not there any more.",
    "held_times": "The call would fail: the file holds the text {count} times.",
    "into_itself": "The call would fail: nothing can be moved into itself.",
    "missing": "The call would fail: the file does not exist.",
    "not_held": "The call would fail: the file does not hold the text to be replaced.",
    "not_kept": "The call would fail: what was there before was not kept.",
    "nothing": "Nothing would change: the file holds exactly this.",
    "nothing_kept": "The call would fail: there is no such change to be undone.",
    "too_large": "What would change cannot be shown: the file would become too large.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A sentence.

    Attributes:
        code: Which, stable; `unshown_CODE` and `fails_CODE` for what another part of the host says, by its code.
        said: It in English, with the names of values in braces.
        values: What is said, by name.
    """

    code: str
    said: str
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """It in English."""
        return self.said.format(**self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """What would happen to one file.

    Attributes:
        path: The file, as the call names it.
        did: `made`, `changed`, `deleted`, `renamed`; `unclear` where that cannot be told.
        lines: The diff, a line each with its mark: `@`, ` `, `-`, `+`, or `\\` for a missing line end.
        more: How many lines of it are left out.
        note: Why there is no diff, or why the call would fail, or None.
    """

    path: str
    did: Did
    lines: tuple[str, ...] = ()
    more: int = 0
    note: Note | None = None

    def as_json(self) -> dict[str, Any]:
        """The object of the API."""
        return {
            "path": self.path,
            "did": self.did,
            "diff": list(self.lines),
            "more": self.more,
            "note": "" if self.note is None else self.note.text,
            "note_code": "" if self.note is None else self.note.code,
            "note_values": {} if self.note is None else dict(self.note.values),
        }


def note(code: str, **values: object) -> Note:
    """One of the sentences above."""
    return Note(code=code, said=_SAID[code], values=values)


def unshown(path: str, refused: CollectRefused) -> FileChange:
    """A file that the host does not read."""
    said = "What would change cannot be shown: {why}"
    return FileChange(
        path=path,
        did="unclear",
        note=Note(code=f"unshown_{refused.code}", said=said, values={"path": path, "why": refused.message}),
    )


def failing(path: str, error: ToolError) -> FileChange:
    """A file at which the tool would stop."""
    said = "The call would fail: {why}"
    return FileChange(
        path=path, did="unclear", note=Note(code=f"fails_{error.code}", said=said, values={"why": error.message})
    )


def text_of(files: Lookup, path: str) -> str | None:
    """What a file holds as text, or None where there is none.

    Raises:
        CollectRefused: It is none that the host reads.
    """
    data = files.content(path, LARGEST)
    return None if data is None else as_text(data, path)


def as_text(data: bytes, path: str) -> str:
    """What a file holds, as text.

    Raises:
        CollectRefused: It is no text.
    """
    if b"\0" in data[:8192]:
        raise CollectRefused("not_text", f"{path} is no text.")
    return data.decode("utf-8", "surrogateescape")


def has_crlf(text: str) -> bool:
    """Whether most of its lines end as on DOS."""
    ends = text.count("\n")
    return ends > 0 and text.count("\r\n") * 2 > ends


def changed(path: str, before: str | None, after: str) -> FileChange:
    """A file that is written: from what, None where it is new, to what."""
    if before == after:
        return FileChange(path=path, did="changed", note=note("nothing"))
    return FileChange(path=path, did="made" if before is None else "changed", lines=difference(before or "", after))


def deleted(path: str, before: str) -> FileChange:
    """A file that goes."""
    return FileChange(path=path, did="deleted", lines=difference(before, ""))


# -- a difference ------------------------------------------------------------------------------------------------------


def difference(before: str, after: str) -> tuple[str, ...]:
    """A unified diff of two texts, in bounded time: far apart, what stayed the same in between is not looked for."""
    old, new = _lines(before), _lines(after)
    if all(line.endswith("\r\n") or not line.endswith("\n") for line in (*old, *new)):
        old, new = ([line.replace("\r\n", "\n") for line in lines] for lines in (old, new))
    first = _same(old, new)
    last = _same(old[first:][::-1], new[first:][::-1])
    around, behind = min(first, _AROUND), min(last, _AROUND)
    skipped = first - around
    was, now = old[skipped : len(old) - last + behind], new[skipped : len(new) - last + behind]
    if len(was) + len(now) > _MOST_COMPARED:
        ends = len(was) - behind, len(now) - behind
        equal = [("equal", 0, around, 0, around)], [("equal", ends[0], len(was), ends[1], len(now))]
        groups = [[*equal[0], ("replace", around, ends[0], around, ends[1]), *equal[1]]]
    else:
        groups = list(difflib.SequenceMatcher(None, was, now).get_grouped_opcodes(_AROUND))
    return tuple(line for group in groups for line in _hunk(group, was, now, skipped))


def _hunk(
    group: Sequence[tuple[str, int, int, int, int]], was: Sequence[str], now: Sequence[str], skipped: int
) -> Iterator[str]:
    low, high, left, right = group[0][1], group[-1][2], group[0][3], group[-1][4]
    # A hunk without lines of one side begins, by convention, after the line above it.
    yield (f"@@ -{low + skipped + (high > low)},{high - low} +{left + skipped + (right > left)},{right - left} @@")
    for tag, from_old, to_old, from_new, to_new in group:
        if tag == "equal":
            yield from _marked(" ", was[from_old:to_old])
        else:
            yield from _marked("-", was[from_old:to_old])
            yield from _marked("+", now[from_new:to_new])


def _marked(mark: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield mark + line.removesuffix("\n")
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"


def _same(old: Sequence[str], new: Sequence[str]) -> int:
    """How many lines at the beginning are the same."""
    count = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        count += 1
    return count


def _lines(text: str) -> list[str]:
    """The lines with their ends."""
    lines = text.split("\n")
    ended = [f"{line}\n" for line in lines[:-1]]
    return [*ended, lines[-1]] if lines[-1] else ended
