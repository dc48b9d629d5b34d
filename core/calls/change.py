"""What a call would change in files, for whoever is asked about it: a diff against what is there now.

Nothing of the plugin runs for it. Its author says *how* a tool changes files (`@tool(change=...)`), the call's own
arguments say what, and the host works it out from the files as they are, read as whatever a sandbox left behind is
read. What it comes to is part of what a yes is a yes to: where a file changed meanwhile in a way that would be seen in
the diff, the yes is worth nothing.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from toolhost.authoring import ToolError
from toolhost.patches import FilePatch, apply_patch, parse_patch
from toolhost.policy.lookup import Lookup
from toolhost.sandbox.collect import CollectRefused
from toolhost.sandbox.plan import SandboxPlan

__all__ = ["Change", "FileChange", "change_lines", "change_of"]

Did = Literal["made", "changed", "deleted", "renamed", "unclear"]

_LARGEST = 1 << 20  # bytes of a file that is looked at
_MOST_FILES = 20
_MOST_SHOWN = 400  # lines of all diffs of a call
_LONGEST = 1000  # characters of a line
_MOST_COMPARED = 2000  # lines that are looked through for what stayed the same between the first and last change
_MOST_TRIED = 2_000_000  # places at which lines of a patch are tried
_AROUND = 3  # lines that are the same around each change


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """What would happen to one file.

    Attributes:
        path: The file, as the call names it.
        did: `made`, `changed`, `deleted`, `renamed`; `unclear` where that cannot be told.
        lines: The diff, a line each with its mark: `@`, ` `, `-`, `+`, or `\\\\` for a missing line end.
        more: How many lines of it are left out.
        note: Why there is no diff, or why the call would fail; a sentence, else empty.
    """

    path: str
    did: Did
    lines: tuple[str, ...] = ()
    more: int = 0
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object of the API."""
        return {name: getattr(self, name) for name in ("path", "did", "more", "note")} | {"diff": list(self.lines)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What would happen to files.

    Attributes:
        files: What to each, up to a number of them.
        more: How many files are left out: what happens to them is in the call's arguments alone.
        digest: Over what happens to the others, also the lines that are left out; not over line numbers, which another
            call can move.
    """

    files: tuple[FileChange, ...]
    more: int = 0
    digest: str

    def as_json(self) -> dict[str, Any]:
        """The object of the API."""
        return {"files": [file.as_json() for file in self.files], "more": self.more, "digest": self.digest}


async def change_of(kind: str, arguments: Mapping[str, Any], plan: SandboxPlan) -> Change | None:
    """What a call would change, or None where its tool does not say how it changes files.

    Args:
        kind: How it does, as its author says.
        arguments: The call's, every path as it is inside.
        plan: Its plan.
    """
    if not kind:
        return None
    return await asyncio.to_thread(_change, kind, arguments, plan)


def change_lines(change: Mapping[str, Any] | None) -> Iterator[str]:
    """A change, from `Change.as_json`, as lines for a terminal; they hold what files hold, and are escaped there."""
    if change is None:
        return
    for file in change["files"]:
        yield " ".join(word for word in (file["did"] if file["did"] != "unclear" else "", file["path"]) if word)
        yield from (f"  {line}" for line in file["diff"])
        if file["more"]:
            yield f"  [{file['more']} more lines]"
        if file["note"]:
            yield f"  {file['note']}"
    if change["more"]:
        yield f"[{change['more']} more files]"


def _change(kind: str, arguments: Mapping[str, Any], plan: SandboxPlan) -> Change:
    more = 0
    with Lookup(plan.roots, plan.cwd) as files:
        if kind == "patch":
            found, more = _patched(arguments["diff"], files)
        else:
            found = [_one(kind, arguments, files)]
    digest = hashlib.sha256(json.dumps([_numberless(file) for file in found]).encode()).hexdigest()
    return Change(files=tuple(_cut(found)), more=more, digest=f"sha256:{digest}")


def _numberless(file: FileChange) -> list[Any]:
    return [file.path, file.did, [line if line[0] != "@" else "@" for line in file.lines], file.note]


def _cut(files: Sequence[FileChange]) -> Iterator[FileChange]:
    room = _MOST_SHOWN
    for file in files:
        kept = tuple(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in file.lines[:room])
        room -= len(kept)
        yield FileChange(path=file.path, did=file.did, lines=kept, more=len(file.lines) - len(kept), note=file.note)


# -- one file ----------------------------------------------------------------------------------------------------------


def _one(kind: str, arguments: Mapping[str, Any], files: Lookup) -> FileChange:
    path = arguments["path"]
    try:
        before = _text(files, path)
    except CollectRefused as refused:
        return FileChange(path=path, did="unclear", note=f"What would change cannot be shown: {refused.message}")
    if kind == "write":
        after = arguments["content"]
        return _changed(path, before, (before or "") + after if arguments.get("append") else after)
    if before is None:
        return FileChange(path=path, did="unclear", note="The call would fail: the file does not exist.")
    if kind == "delete":
        return FileChange(path=path, did="deleted", lines=_difference(before, ""))
    old, new = arguments["old"], arguments["new"]
    if _has_crlf(before) and "\r\n" not in old:
        old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
    count = before.count(old) if old else 0
    if count == 0 or (count > 1 and not arguments.get("every")):
        found = "does not hold the text to be replaced" if not count else f"holds the text {count} times"
        return FileChange(path=path, did="unclear", note=f"The call would fail: the file {found}.")
    if len(before) + count * (len(new) - len(old)) > 2 * _LARGEST:
        note = "What would change cannot be shown: the file would become too large."
        return FileChange(path=path, did="unclear", note=note)
    return _changed(path, before, before.replace(old, new))


def _text(files: Lookup, path: str) -> str | None:
    data = files.content(path, _LARGEST)
    if data is None:
        return None
    if b"\0" in data[:8192]:
        raise CollectRefused("not_text", f"{path} is no text.")
    return data.decode("utf-8", "surrogateescape")


def _has_crlf(text: str) -> bool:
    ends = text.count("\n")
    return ends > 0 and text.count("\r\n") * 2 > ends


def _changed(path: str, before: str | None, after: str) -> FileChange:
    if before == after:
        return FileChange(path=path, did="changed", note="Nothing would change: the file holds exactly this.")
    return FileChange(path=path, did="made" if before is None else "changed", lines=_difference(before or "", after))


# -- a patch -----------------------------------------------------------------------------------------------------------


def _patched(diff: str, files: Lookup) -> tuple[list[FileChange], int]:
    """What a patch does to its first files, and how many more it names."""
    try:
        patches = parse_patch(diff)
    except ToolError as error:
        return [FileChange(path="", did="unclear", note=f"The call would fail: {error.message}")], 0
    found, room = [], _MOST_TRIED
    for each in patches[:_MOST_FILES]:
        try:
            before = None if each.old is None else _text(files, each.old)
            room -= ((before or "").count("\n") + 1) * sum(len(hunk.lines) for hunk in each.hunks)
            if room < 0:
                raise CollectRefused("file_too_large", f"{each.name} and the patch are too long to be compared here.")
            found.append(_by_patch(each, before, files))
        except ToolError as error:
            found.append(FileChange(path=each.name, did="unclear", note=f"The call would fail: {error.message}"))
        except CollectRefused as refused:
            note = f"What would change cannot be shown: {refused.message}"
            found.append(FileChange(path=each.name, did="unclear", note=note))
    return found, len(patches) - len(found)


def _by_patch(each: FilePatch, before: str | None, files: Lookup) -> FileChange:
    if each.old is not None and before is None:
        raise ToolError(f"{each.old} does not exist.")
    if each.new not in (None, each.old) and files.content(each.new or "", _LARGEST) is not None:
        raise ToolError(f"{each.new} exists already.")
    after = apply_patch(each, before or "", crlf=_has_crlf(before or ""))[0]
    if each.new is None:
        if after:
            raise ToolError("it deletes a file and does not hold all of its lines.")
        return FileChange(path=each.name, did="deleted", lines=_difference(before or "", ""))
    if each.old not in (None, each.new):
        return FileChange(path=f"{each.old} → {each.new}", did="renamed", lines=_difference(before or "", after))
    return _changed(each.name, before, after)


# -- a difference ------------------------------------------------------------------------------------------------------


def _difference(before: str, after: str) -> tuple[str, ...]:
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
