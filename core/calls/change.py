"""What a call would change in files, for whoever is asked about it: a diff against what is there now.

Nothing of the plugin runs for it. Its author says *how* a tool changes files (`@tool(change=...)`), the call's own
arguments say what, and the host works it out from the files as they are, read as whatever a sandbox left behind is
read. What it comes to is part of what a yes is a yes to: where a file changed meanwhile in a way that would be seen in
the diff, the yes is worth nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolhost.authoring import ToolError
from toolhost.calls.foreseen import LARGEST as _LARGEST
from toolhost.calls.foreseen import (
    FileChange,
    changed,
    deleted,
    difference,
    failing,
    has_crlf,
    note,
    text_of,
    unshown,
)
from toolhost.calls.moved import moved, undone
from toolhost.patches import FilePatch, apply_patch, parse_patch
from toolhost.policy.lookup import Lookup
from toolhost.sandbox.collect import CollectRefused
from toolhost.sandbox.plan import SandboxPlan

__all__ = ["Change", "change_lines", "change_of"]

_MOST_FILES = 20
_MOST_SHOWN = 400  # lines of all diffs of a call
_LONGEST = 1000  # characters of a line
_MOST_TRIED = 2_000_000  # places at which lines of a patch are tried


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
        elif kind == "move":
            found = moved(arguments, files)
        elif kind == "undo":
            found, more = undone(arguments, files, _MOST_FILES)
        else:
            found = [_one(kind, arguments, files)]
    digest = hashlib.sha256(json.dumps([_numberless(file) for file in found]).encode()).hexdigest()
    return Change(files=tuple(_cut(found)), more=more, digest=f"sha256:{digest}")


def _numberless(file: FileChange) -> list[Any]:
    said = None if file.note is None else file.note.text
    return [file.path, file.did, [line if line[0] != "@" else "@" for line in file.lines], said]


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
        before = text_of(files, path)
    except CollectRefused as refused:
        return unshown(path, refused)
    if kind == "write":
        after = arguments["content"]
        return changed(path, before, (before or "") + after if arguments.get("append") else after)
    if before is None:
        return FileChange(path=path, did="unclear", note=note("missing"))
    if kind == "delete":
        return deleted(path, before)
    old, new = arguments["old"], arguments["new"]
    if has_crlf(before) and "\r\n" not in old:
        old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
    count = before.count(old) if old else 0
    if count == 0 or (count > 1 and not arguments.get("every")):
        wrong = note("held_times", count=count) if count else note("not_held")
        return FileChange(path=path, did="unclear", note=wrong)
    if len(before) + count * (len(new) - len(old)) > 2 * _LARGEST:
        return FileChange(path=path, did="unclear", note=note("too_large"))
    return changed(path, before, before.replace(old, new))


# -- a patch -----------------------------------------------------------------------------------------------------------


def _patched(diff: str, files: Lookup) -> tuple[list[FileChange], int]:
    """What a patch does to its first files, and how many more it names."""
    try:
        patches = parse_patch(diff)
    except ToolError as error:
        return [failing("", error)], 0
    found, room = [], _MOST_TRIED
    for each in patches[:_MOST_FILES]:
        try:
            before = None if each.old is None else text_of(files, each.old)
            room -= each.tried((before or "").count("\n") + 1)
            if room < 0:
                raise CollectRefused("file_too_large", f"{each.name} and the patch are too long to be compared here.")
            found.append(_by_patch(each, before, files))
        except ToolError as error:
            found.append(failing(each.name, error))
        except CollectRefused as refused:
            found.append(unshown(each.name, refused))
    return found, len(patches) - len(found)


def _by_patch(each: FilePatch, before: str | None, files: Lookup) -> FileChange:
    if each.old is not None and before is None:
        raise ToolError(f"{each.old} does not exist.", "file_not_found")
    if each.new not in (None, each.old) and files.content(each.new or "", _LARGEST) is not None:
        raise ToolError(f"{each.new} exists already.", "exists_already")
    after = apply_patch(each, before or "", crlf=has_crlf(before or ""))[0]
    if each.new is None:
        if after:
            raise ToolError("it deletes a file and does not hold all of its lines.", "patch_does_not_apply")
        return deleted(each.name, before or "")
    if each.old not in (None, each.new):
        return FileChange(path=f"{each.old} → {each.new}", did="renamed", lines=difference(before or "", after))
    return changed(each.name, before, after)
