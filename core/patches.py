"""Unified diffs: reading one, and applying its hunks to a file's lines. All or nothing, and no guessing.

A plugin that patches files and the host that shows a person what a patch would do both use this: what is shown is what
happens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from toolhost.authoring import ToolError

__all__ = ["FilePatch", "apply_patch", "parse_patch"]

_HUNK = re.compile(r"@@ -([0-9]{1,9})(?:,[0-9]{1,9})? \+[0-9]{1,9}(?:,[0-9]{1,9})? @@")
_OCTAL = re.compile(r"\\([0-7]{3}|.)")
_ESCAPES = {"n": "\n", "t": "\t"}
_MOST_SHOWN = 200  # characters of a line in an error


@dataclass(slots=True, kw_only=True)
class Hunk:
    """One hunk.

    Attributes:
        start: The line it claims to begin at, from 1.
        lines: Its lines with their mark: ` `, `-` or `+`.
        ends_bare: The marks of lines after which the file ends without a line end.
    """

    start: int
    lines: list[str]
    ends_bare: set[str]

    @property
    def old(self) -> list[str]:
        """What must be there."""
        return [line[1:] for line in self.lines if line[0] != "+"]


@dataclass(slots=True, kw_only=True)
class FilePatch:
    """What a patch does to one file; `old` is None for a new one, `new` for one that is deleted."""

    old: str | None
    new: str | None
    hunks: list[Hunk]

    @property
    def name(self) -> str:
        """The file's name, to be shown."""
        return self.new or self.old or ""

    def tried(self, lines: int) -> int:
        """How often a line of it is compared at most, in a file of so many lines: each hunk may make that longer."""
        count = 0
        for hunk in self.hunks:
            count += lines * len(hunk.old)
            lines += sum(line[0] == "+" for line in hunk.lines)
        return count


def parse_patch(text: str) -> list[FilePatch]:
    """Read a unified diff, plain or Git's.

    Raises:
        ToolError: `bad_patch`.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    patches: list[FilePatch] = []
    at = 0
    rename: tuple[str, str] | None = None
    renamed_from = ""
    while at < len(lines):
        line = lines[at]
        if line.startswith("rename from "):
            renamed_from = _unquoted(line.removeprefix("rename from "))
        elif line.startswith("rename to "):
            rename = (renamed_from, _unquoted(line.removeprefix("rename to ")))
            if not (at + 1 < len(lines) and _next_is_file(lines, at + 1)):
                patches.append(FilePatch(old=rename[0], new=rename[1], hunks=[]))
        elif line.startswith(("GIT binary patch", "Binary files ")):
            raise ToolError("The patch holds a binary file, which it cannot change.", "bad_patch")
        elif _is_file(lines, at):
            patches.append(_file(lines, at))
            at += 2
            while at < len(lines) and lines[at].startswith("@@"):
                hunk, at = _hunk(lines, at)
                patches[-1].hunks.append(hunk)
            continue
        elif line.startswith("@@"):
            raise ToolError(
                f"Line {at + 1} of the patch begins a hunk, and no `--- a/FILE` and `+++ b/FILE` stand before it.",
                "bad_patch",
            )
        at += 1
    if not patches:
        raise ToolError(
            "That is no unified diff: it has `--- a/FILE`, `+++ b/FILE`, then hunks that begin with `@@ -1,3 +1,4 @@`.",
            "bad_patch",
        )
    for patch in patches:
        if not patch.hunks and patch.old == patch.new:
            raise ToolError(f"The patch names {patch.name} and changes nothing in it.", "bad_patch")
    return patches


def apply_patch(patch: FilePatch, content: str, *, crlf: bool) -> tuple[str, list[str]]:
    """A file's text with the hunks applied, and remarks about hunks found elsewhere than they said.

    Raises:
        ToolError: `patch_does_not_apply`.
    """
    bare = bool(content) and not content.endswith("\n")
    lines = content.split("\n")
    if not bare:
        lines.pop()
    end = "\r" if crlf else ""
    remarks: list[str] = []
    shift = 0
    for number, hunk in enumerate(patch.hunks, 1):
        old = hunk.old
        claimed = max(0, hunk.start - 1 + shift) if old else hunk.start + shift
        at = _find(lines, old, claimed)
        if at is None:
            raise _no_place(patch, number, hunk, lines, min(claimed, len(lines)))
        if at != claimed:
            remarks.append(f"hunk {number} of {patch.name} applies at line {at + 1}, not {claimed + 1}")
        touches_end = at + len(old) == len(lines)
        new = _new_lines(hunk, lines[at : at + len(old)], end)
        lines[at : at + len(old)] = new
        shift += len(new) - len(old) + at - claimed
        if touches_end and hunk.lines and hunk.lines[-1][0] != " ":
            bare = "+" in hunk.ends_bare
    if not lines:
        return "", remarks
    return "\n".join(lines) + ("" if bare else "\n"), remarks


def _new_lines(hunk: Hunk, there: list[str], end: str) -> list[str]:
    """What stands there afterwards; lines that stay keep the line ends they have."""
    new = []
    at = 0
    for line in hunk.lines:
        if line[0] == "+":
            new.append(line[1:] + end)
        else:
            if line[0] == " ":
                new.append(there[at])
            at += 1
    return new


def _find(lines: list[str], old: list[str], claimed: int) -> int | None:
    last = len(lines) - len(old)
    if not old:
        return claimed if claimed <= len(lines) else None
    nearest = max(0, min(claimed, last))
    for distance in range(last + 1):
        for at in {nearest - distance, nearest + distance}:
            if 0 <= at <= last and _same(lines, old, at):
                return at
    return None


def _same(lines: list[str], old: list[str], at: int) -> bool:
    return all(lines[at + number].removesuffix("\r") == line for number, line in enumerate(old))


def _alike(lines: list[str], old: list[str], at: int) -> int:
    return sum(lines[at + number].removesuffix("\r") == line for number, line in enumerate(old[: len(lines) - at]))


def _no_place(patch: FilePatch, number: int, hunk: Hunk, lines: list[str], claimed: int) -> ToolError:
    # Where most of its lines stand is where it was meant for; of two such places, the nearer one.
    places = range(max(1, len(lines) - len(hunk.old) + 1))
    best = max(places, key=lambda at: (_alike(lines, hunk.old, at), -abs(at - claimed)))
    for offset, line in enumerate(hunk.old):
        at = best + offset
        there = lines[at].removesuffix("\r") if at < len(lines) else None
        if there != line:
            found = "the file ends" if there is None else f"there stands {there[:_MOST_SHOWN]!r}"
            return ToolError(
                f"Hunk {number} of {patch.name} does not apply: line {at + 1} should be {line[:_MOST_SHOWN]!r}, and "
                f"{found}. Nothing was changed. Read the file and make the patch anew.",
                "patch_does_not_apply",
            )
    return ToolError(f"Hunk {number} of {patch.name} does not apply. Nothing was changed.", "patch_does_not_apply")


def _is_file(lines: Sequence[str], at: int) -> bool:
    return lines[at].startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ ")


def _next_is_file(lines: Sequence[str], at: int) -> bool:
    while at < len(lines) and lines[at].startswith(("index ", "similarity ", "old mode", "new mode")):
        at += 1
    return at < len(lines) and _is_file(lines, at)


def _file(lines: Sequence[str], at: int) -> FilePatch:
    old = _named(lines[at].removeprefix("--- "))
    new = _named(lines[at + 1].removeprefix("+++ "))
    if old is None and new is None:
        raise ToolError(f"Line {at + 1} of the patch names no file.", "bad_patch")
    if (old or "a/").startswith("a/") and (new or "b/").startswith("b/"):
        old, new = old and old[2:], new and new[2:]
    return FilePatch(old=old, new=new, hunks=[])


def _named(text: str) -> str | None:
    name = _unquoted(text.partition("\t")[0].rstrip())
    return None if name == "/dev/null" else name


def _unquoted(name: str) -> str:
    """A name as Git quotes it where it holds more than plain characters."""
    if not (len(name) > 1 and name[0] == name[-1] == '"'):
        return name

    def plain(match: re.Match[str]) -> str:
        text = match[1]
        return chr(int(text, 8)) if len(text) == 3 else _ESCAPES.get(text, text)

    return _OCTAL.sub(plain, name[1:-1]).encode("latin-1", "replace").decode("utf-8", "replace")


def _hunk(lines: Sequence[str], at: int) -> tuple[Hunk, int]:
    header = _HUNK.match(lines[at])
    if header is None:
        raise ToolError(
            f"Line {at + 1} of the patch, {lines[at][:_MOST_SHOWN]!r}, should look like `@@ -1,3 +1,4 @@`.", "bad_patch"
        )
    hunk = Hunk(start=int(header[1]), lines=[], ends_bare=set())
    at += 1
    while at < len(lines):
        line = lines[at]
        if line.startswith(("@@", "diff --git ", "Index: ")):
            break
        # `--- x` can also be a line `-- x` that goes; a file begins only where its hunk follows.
        if _is_file(lines, at) and at + 2 < len(lines) and lines[at + 2].startswith("@@"):
            break
        if line.startswith("\\"):
            if hunk.lines:
                hunk.ends_bare.add(hunk.lines[-1][0])
        elif line[:1] in (" ", "+", "-"):
            hunk.lines.append(line)
        elif not line:
            hunk.lines.append(" ")  # an empty line whose space was lost on the way
        else:
            raise ToolError(
                f"Line {at + 1} of the patch, {line[:_MOST_SHOWN]!r}, begins with none of space, + and -.", "bad_patch"
            )
        at += 1
    last = at
    while hunk.lines and hunk.lines[-1] == " " and not lines[last - 1]:
        hunk.lines.pop()  # empty lines between files, not a line of this one
        last -= 1
    if not any(line[0] in "+-" for line in hunk.lines):
        raise ToolError("A hunk of the patch changes nothing.", "bad_patch")
    return hunk, at
