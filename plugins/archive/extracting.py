"""Extracting: everything that was looked at and found good, below one folder, over nothing that is there."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath

from toolhost import ToolContext, ToolError
from toolhost.plugins.archive.members import MOST_BYTES, Member, in_bytes, members, shown

__all__ = ["Refused", "extract_into", "refused_members", "refused_text"]

_SHOWN = 20
_BLOCK = 256 << 10

Refused = list[tuple[str, str]]
"""Names and why they are not extracted."""


def _wanted(member: Member, names: list[str]) -> bool:
    """Whether a member is among those asked for: by its name, or by that of a folder it lies in."""
    if not names:
        return True
    path = PurePosixPath(member.name)
    return any(path == PurePosixPath(name) or PurePosixPath(name) in path.parents for name in names)


def refused_members(ctx: ToolContext, archive: str, names: list[str], into: Path) -> tuple[Refused, set[int], int]:
    """What cannot be extracted and why, the places of these members, and how many are asked for at all."""
    refused: Refused = []
    places: set[int] = set()
    seen: dict[str, str] = {}
    count = 0
    with members(ctx, archive) as found:
        for number, member in enumerate(found):
            if not _wanted(member, names):
                continue
            count += 1
            place = _place(member.name)
            problem = member.problem
            if not problem and member.kind == "file":
                if place in seen:
                    problem = "another member has the same name"
                elif any(seen.get(str(parent)) == "file" for parent in PurePosixPath(place).parents):
                    problem = "it lies below a member that is a file"
                elif os.path.lexists(into / place):
                    problem = "there is something of that name already"
            if problem:
                refused.append((member.name, problem))
                places.add(number)
            else:
                seen.setdefault(place, member.kind)
    return refused, places, count


def extract_into(ctx: ToolContext, archive: str, names: list[str], into: Path, without: set[int]) -> tuple[int, int]:
    """Extract all that is asked for, without the members at some places.

    Returns:
        How many files, and their bytes.

    Raises:
        ToolError: As `members`, and `io_error`; what was made until then is removed.
    """
    made: list[Path] = []
    files = total = 0
    try:
        _folder(into, made)
        with members(ctx, archive) as found:
            for number, member in enumerate(found):
                if member.problem or number in without or not _wanted(member, names):
                    continue
                target = into / _place(member.name)
                if member.kind == "folder":
                    _folder(target, made)
                    continue
                _folder(target.parent, made)
                total += _write(ctx, member, target, made, MOST_BYTES - total)
                files += 1
    except BaseException as error:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        if isinstance(error, OSError):
            raise ToolError(
                f"{error.filename or into}: {error.strerror}. Nothing was extracted.", "io_error"
            ) from error
        raise
    return files, total


def refused_text(refused: Refused) -> str:
    """The names and reasons, one a line."""
    lines = [f"  '{shown(name)}': {problem}" for name, problem in refused[:_SHOWN]]
    if len(refused) > _SHOWN:
        lines.append(f"  and {len(refused) - _SHOWN} more")
    return "\n".join(lines)


def _place(name: str) -> str:
    return str(PurePosixPath(*(part for part in name.split("/") if part not in ("", "."))))


def _folder(path: Path, made: list[Path]) -> None:
    """Make a folder and those above it. None on the way may be a link, which could lead to another folder."""
    for folder in (*reversed(path.parents), path):
        try:
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise ToolError(f"{folder} is no folder.", "not_a_folder")
        except FileNotFoundError:
            folder.mkdir()
            made.append(folder)


def _write(ctx: ToolContext, member: Member, target: Path, made: list[Path], room: int) -> int:
    assert member.content is not None
    mode = 0o777 if member.executable else 0o666
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    made.append(target)
    written = 0
    with os.fdopen(fd, "wb") as file:
        while block := member.content.read(_BLOCK):
            ctx.check()
            written += len(block)
            if written > room:
                raise ToolError(
                    f"The archive unpacks to more than {in_bytes(MOST_BYTES)}. Nothing was extracted.", "archive_bomb"
                )
            file.write(block)
        with suppress(OSError, OverflowError, ValueError):
            os.utime(fd, (member.modified, member.modified))
    return written
