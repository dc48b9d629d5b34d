"""Changing: write, edit, patch, move, delete, and undo of all of them."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

from toolhost import FilePatch, ToolError, ToolOutput, WritePath, apply_patch, parse_patch, tool
from toolhost.plugins.files.editing import changed_lines, occurrences, replaced
from toolhost.plugins.files.kept import Change, change, changes, locked, undo
from toolhost.plugins.files.opened import Text, explained, in_bytes, read_text, replace_file, settled, to_bytes

__all__ = ["delete", "edit", "list_changes", "move", "patch", "undo_change", "write"]

_MOST_LISTED = 100


@tool(change="write")
def write(path: WritePath, content: str, append: bool = False, folders: bool = False) -> str:
    """Write a whole text file: a new one, or all of an existing one anew. To change some lines of a file, use `edit` or
    `patch`.

    Args:
        path: The file.
        content: What it shall hold.
        append: Add to the end of the file and keep what it holds.
        folders: Make the folders it lies in where they are missing.
    """
    data = to_bytes(content)
    name = settled(path)
    with change("write") as made:
        if folders:
            made.make_folders(Path(name))
        made.keep(name)
        there = made.steps[-1]["before"] is not None
        replace_file(name, data, append=append)
    did = "Added" if append else "Replaced what it held with" if there else "Wrote"
    return f"{path}: {did} {in_bytes(len(data))}.{made.hint()}"


@tool(change="edit")
def edit(path: WritePath, old: str, new: str, every: bool = False) -> str:
    """Replace one passage of a text file by another. Read the file first: `old` must stand there exactly, white space
    and indentation included, and only once. Gives the change as a diff.

    Args:
        path: The file.
        old: The text to be replaced, with enough of the lines around it to be the only one of its kind.
        new: What shall stand there instead; an empty text removes it.
        every: Replace every occurrence.
    """
    name = settled(path)
    with change("edit") as made:
        text = read_text(name)
        if text.crlf and "\r\n" not in old:
            old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
        count = sum(1 for _ in occurrences(text.content, old)) if old else 0
        content = replaced(path, text.content, old, new, every=every)
        made.keep(name)
        replace_file(name, to_bytes(content))
    times = f" {count} times" if count > 1 else ""
    shown = changed_lines(_shown(text.content), _shown(content), path)
    return f"{shown}\n[replaced{times}.{made.hint()}]"


@tool(change="patch")
def patch(diff: str, check: bool = False) -> ToolOutput:
    """Apply a unified diff to files of the workspace: changes in many places and files at once, new files, deleted and
    renamed ones. Everything applies or nothing is changed. Context lines must be exactly those of the files; line
    numbers may be off.

    Args:
        diff: The patch, with `--- a/FILE` and `+++ b/FILE` before the hunks of each file, `/dev/null` for a file that
            is not there before or afterwards.
        check: Only say whether it would apply.
    """
    patches = parse_patch(diff)
    names = [name for each in patches for name in {each.old, each.new} if name is not None]
    if len(names) != len(set(names)):
        raise ToolError("The patch names a file twice: put all its hunks in one place.", "bad_patch")
    remarks: list[str] = []
    if check:
        for each in patches:
            _patched(each, remarks)
        remarks.append("only checked: nothing was changed")
    else:
        with change("patch") as made:
            results = [_patched(each, remarks) for each in patches]
            for each, content in zip(patches, results, strict=True):
                _carry_out(made, each, content)
        remarks.append(made.hint().strip().removesuffix("."))
    lines = [*(f"{_verb(each)} {each.name}" for each in patches), f"[{'; '.join(remarks)}]"]
    return ToolOutput(text="\n".join(lines), data=[{"path": each.name, "did": _verb(each)} for each in patches])


@tool(change="move")
def move(source: WritePath, target: WritePath, replace: bool = False, folders: bool = False) -> str:
    """Move or rename a file or folder; nothing is overwritten unless asked for.

    Args:
        source: What to move.
        target: Its whole new path, not only the folder it shall lie in.
        replace: Put what stands at the target into the bin first.
        folders: Make the folders of the target where they are missing.
    """
    old, new = settled(source, through=False), settled(target, through=False)
    with explained(source):
        os.lstat(old)
    if new == old or new.startswith(f"{old}/"):
        raise ToolError(f"{source} cannot be moved into itself.", "invalid_arguments")
    with change("move") as made:
        if os.path.lexists(new):
            if not replace:
                inside = " To move it into that folder, name the new path in full." if Path(new).is_dir() else ""
                raise ToolError(f"{target} exists.{inside} replace=true puts it into the bin.", "exists_already")
            made.bin(new)
        if folders:
            made.make_folders(Path(new))
        made.move(old, new)
    return f"Moved {source} to {target}.{made.hint()}"


@tool(change="delete")
def delete(path: WritePath, permanent: bool = False) -> str:
    """Delete a file, or a folder with all in it. It goes into a bin in the workspace, from which `undo` brings it back.

    Args:
        path: The file or folder.
        permanent: Delete it for good, without the bin.
    """
    name = settled(path, through=False)
    with explained(path):
        facts = os.lstat(name)
    if not permanent:
        with change("delete") as made:
            kept = made.bin(name)
        return f"Deleted {path}; it is kept as {kept}.{made.hint()}"
    with locked(), explained(path):
        if stat.S_ISDIR(facts.st_mode):
            shutil.rmtree(name)
        else:
            Path(name).unlink()
    return f"Deleted {path} for good."


@tool(name="undo", change="undo")
def undo_change(change: int = 0) -> str:
    """Take back the last change that write, edit, patch, move or delete made here, or an earlier one. Refused where
    what it changed was changed again since.

    Args:
        change: Its number, as `changes` lists them; 0 is the last one.
    """
    with locked():
        if not change:
            last = changes()
            if not last:
                raise ToolError("There is nothing to undo here.", "no_such_change")
            change = last[0].number
        made = undo(change)
    return f"Took back change {change} ({made.tool}): {_paths(made)} as before."


@tool(name="changes")
def list_changes() -> ToolOutput:
    """List the changes that this plugin's tools made here and that `undo` can take back, newest first."""
    found = changes()[:_MOST_LISTED]
    lines = [f"{made.number:>5}  {_time(made.made)}  {made.tool:<6}  {_paths(made)}" for made in found]
    data = [
        {
            "change": made.number,
            "made": _time(made.made),
            "tool": made.tool,
            "paths": made.paths,
            "undo": not made.unkept,
        }
        for made in found
    ]
    return ToolOutput(text="\n".join(lines) or "No changes are kept here.", data=data)


def _patched(each: FilePatch, remarks: list[str]) -> Text | None:
    """What a file holds afterwards; None where it goes, or only its name changes."""
    for name in (each.old, each.new):
        if name is not None and (name.startswith("/") or ".." in name.split("/")):
            raise ToolError(f"The patch names {name}: paths are relative to the workspace, without `..`.", "bad_patch")
        if name is not None:
            settled(name)
    if each.old is None:
        assert each.new is not None
        if os.path.lexists(each.new):
            raise ToolError(f"The patch makes {each.new}, which exists already.", "patch_does_not_apply")
        return Text(content=apply_patch(each, "", crlf=False)[0], crlf=False)
    if each.new is not None and each.new != each.old and os.path.lexists(each.new):
        raise ToolError(f"The patch renames {each.old} to {each.new}, which exists already.", "patch_does_not_apply")
    text = read_text(each.old)
    content, more = apply_patch(each, text.content, crlf=text.crlf)
    remarks += more
    if each.new is None:
        if content:
            raise ToolError(f"The patch deletes {each.old} and does not hold all of its lines.", "patch_does_not_apply")
        return None
    return Text(content=content, crlf=text.crlf)


def _carry_out(made: Change, each: FilePatch, content: Text | None) -> None:
    if each.new is None:
        assert each.old is not None
        made.bin(settled(each.old))
        return
    new = settled(each.new)
    made.make_folders(Path(new))
    if each.old is not None and each.old != each.new:
        made.move(settled(each.old, through=False), new)
    if content is not None and (each.hunks or each.old is None):
        made.keep(new)
        replace_file(new, content.encoded())


def _verb(each: FilePatch) -> str:
    if each.old is None:
        return "made"
    if each.new is None:
        return "deleted"
    return "changed" if each.old == each.new else f"renamed {each.old} to"


def _paths(made: Change) -> str:
    paths = made.paths
    return ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")


def _shown(content: str) -> str:
    """A text as it can be shown: bytes that are no UTF-8 replaced."""
    return content.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
