"""What moving a file would do to files, and what undoing a change would."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from toolhost.calls.foreseen import (
    LARGEST,
    FileChange,
    as_text,
    changed,
    deleted,
    note,
    text_of,
    unshown,
)
from toolhost.kept_changes import KEPT_CHANGES, KeptChange, kept_numbers, read_kept_change
from toolhost.policy.lookup import Lookup
from toolhost.policy.request import Refusal
from toolhost.sandbox.collect import CollectRefused

__all__ = ["moved", "undone"]

_MOST_KEPT = 1000  # changes among which the last is looked for


def moved(arguments: Mapping[str, Any], files: Lookup) -> list[FileChange]:
    """What moving comes to: what stands at the target goes, then the source has its name."""
    source, target = arguments["source"], arguments["target"]
    both = f"{source} → {target}"
    try:
        kind, there = files.kind(source), files.kind(target)
        if kind == "missing":
            return [FileChange(path=both, did="unclear", note=note("missing"))]
        if _within(source, target, files):
            return [FileChange(path=both, did="unclear", note=note("into_itself"))]
        if there != "missing" and not arguments.get("replace"):
            return [FileChange(path=both, did="unclear", note=note("exists", path=target))]
    except CollectRefused as refused:
        return [unshown(both, refused)]
    went = [] if there == "missing" else [_taken_away(target, there, files)]
    more = note("folder_moves") if kind == "folder" else None
    return [*went, FileChange(path=both, did="renamed", note=more)]


def undone(arguments: Mapping[str, Any], files: Lookup, most: int) -> tuple[list[FileChange], int]:
    """What undoing a change does to its first files, and to how many more.

    Args:
        arguments: The call's: `change`, its number, or 0 for the last.
        files: Where its record lies.
        most: Files that are looked at.
    """
    try:
        kept = _kept(arguments.get("change") or 0, files)
    except CollectRefused as refused:
        return [unshown(KEPT_CHANGES, refused)], 0
    if kept is None:
        return [FileChange(path="", did="unclear", note=note("nothing_kept"))], 0
    number, record = kept
    if record.unkept:
        return [FileChange(path="", did="unclear", note=note("not_kept"))], 0
    steps = [step for step in reversed(record.steps) if step["did"] != "folder"]
    folder = f"{KEPT_CHANGES}/{number}"
    return [_restored(step, record.steps, folder, files) for step in steps[:most]], max(0, len(steps) - most)


def _within(source: str, target: str, files: Lookup) -> bool:
    old, new = files.path(source), files.path(target)
    if isinstance(old, Refusal) or isinstance(new, Refusal):
        return False
    return f"{new.inside.rstrip('/')}/".startswith(f"{old.inside.rstrip('/')}/")


def _taken_away(path: str, kind: str, files: Lookup) -> FileChange:
    if kind == "folder":
        return FileChange(path=path, did="deleted", note=note("folder_replaced"))
    try:
        return deleted(path, text_of(files, path) or "")
    except CollectRefused as refused:
        return FileChange(path=path, did="deleted", note=unshown(path, refused).note)


def _kept(number: int, files: Lookup) -> tuple[int, KeptChange] | None:
    """The record that undoing would follow, chosen as its tool chooses it: no link is followed, none is believed.

    Raises:
        CollectRefused: There is one that its tool might read and the host does not: it may not be passed over.
    """
    if any(files.kind(folder) != "folder" for folder in (KEPT_CHANGES.partition("/")[0], KEPT_CHANGES)):
        return None
    known = kept_numbers(files.names(KEPT_CHANGES, _MOST_KEPT))
    for candidate in known if not number else [number] if number in known else []:
        folder = f"{KEPT_CHANGES}/{candidate}"
        try:
            if files.kind(folder) == "folder":
                return candidate, read_kept_change(_held(f"{folder}/change.json", files))
        except ValueError:
            continue
        except CollectRefused as refused:
            if refused.code != "file_not_found":
                raise
    return None


def _restored(step: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], folder: str, files: Lookup) -> FileChange:
    path, to = step["path"], step.get("to", "")
    try:
        match step["did"]:
            case "content":
                data = files.content(path, LARGEST)
                digest = None if data is None else hashlib.sha256(data).hexdigest()
                if digest != step["after"]:
                    return FileChange(path=path, did="unclear", note=note("changed_since", path=path))
                before = None if data is None else as_text(data, path)
                if step["before"] is None:
                    return deleted(path, before or "")
                return changed(path, before, as_text(_held(f"{folder}/{step['before']}", files), path))
            case "moved":
                if files.kind(to) == "missing":
                    return FileChange(path=to, did="unclear", note=note("gone_since", path=to))
                if files.kind(path) != "missing":
                    return FileChange(path=path, did="unclear", note=note("exists", path=path))
                more = note("folder_moves") if files.kind(to) == "folder" else None
                return FileChange(path=f"{to} → {path}", did="renamed", note=more)
            case _:
                first = any(other["did"] == "moved" and other["to"] == path for other in steps)
                if not first and files.kind(path) != "missing":
                    return FileChange(path=path, did="unclear", note=note("exists", path=path))
                item = f"{folder}/{step['item']}"
                kind = files.kind(item)
                if kind == "missing":
                    return FileChange(path=path, did="unclear", note=note("not_kept"))
                if kind == "folder":
                    return FileChange(path=path, did="made", note=note("folder_restored"))
                return changed(path, None, as_text(_held(item, files), path))
    except CollectRefused as refused:
        return unshown(path, refused)


def _held(path: str, files: Lookup) -> bytes:
    """What a kept file holds; behind a link there is none, as for the tool that undoes."""
    data = files.content(path, LARGEST) if files.kind(path) == "file" else None
    if data is None:
        raise CollectRefused("file_not_found", f"{path} is no file.")
    return data
