"""The tools of the `archive` plugin."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from toolhost import ReadPath, ToolContext, ToolError, ToolOutput, WritePath, hookimpl, tool
from toolhost.plugins.archive.extracting import extract_into, refused_members, refused_text
from toolhost.plugins.archive.making import make
from toolhost.plugins.archive.members import in_bytes, members, shown

__all__ = ["create", "extract", "list_members", "register_tools"]

_MOST_LISTED = 1_000


@tool(name="list")
def list_members(ctx: ToolContext, archive: ReadPath, limit: int = 200) -> ToolOutput:
    """List what is in a zip or tar archive (also .gz, .bz2, .xz), without extracting it: size, time, name, and why a
    member would not be extracted.

    Args:
        archive: The file.
        limit: How many members to show at most, up to 1000; all are counted.
    """
    if not 1 <= limit <= _MOST_LISTED:
        raise ToolError(f"limit is between 1 and {_MOST_LISTED}.", "invalid_arguments")
    lines, data = [], []
    count = size = bad = 0
    with members(ctx, archive) as found:
        for member in found:
            count += 1
            size += max(0, member.size)
            bad += bool(member.problem)
            if count <= limit:
                moment = time.strftime("%Y-%m-%d %H:%M", time.gmtime(max(0, min(member.modified, 1e11))))
                mark = "/" if member.kind == "folder" and not member.name.endswith("/") else ""
                note = f"  [not extracted: {member.problem}]" if member.problem else ""
                lines.append(
                    f"{moment}  {member.size if member.size >= 0 else '?':>12}  {shown(member.name)}{mark}{note}"
                )
                data.append(
                    {"name": shown(member.name), "type": member.kind, "size": member.size, "problem": member.problem}
                )
    of = f"{count} member{'' if count == 1 else 's'}, {in_bytes(size) if size else 'size not known before extracting'}"
    lines.append(f"[{of}; {bad} not extracted]" if bad else f"[{of}]")
    if count > limit:
        lines.append(f"[{count - limit} members are not shown: raise limit]")
    return ToolOutput(text="\n".join(lines), data=data)


@tool
def extract(
    ctx: ToolContext,
    archive: ReadPath,
    into: WritePath,
    members: list[str] = [],  # noqa: B006 - never changed
    skip: bool = False,
) -> ToolOutput:
    """Extract a zip or tar archive (also a single .gz, .bz2, .xz file) below a folder. Nothing is overwritten. An
    archive with links, devices, absolute or .. names, encrypted or sparse members is refused as a whole with the
    reasons, unless skip is set.

    Args:
        archive: The file.
        into: The folder; it is made where it is missing.
        members: Only these, by name, or by the folder they lie in; all by default.
        skip: Leave out what is refused and extract the rest.
    """
    names = list(members)
    refused, places, count = refused_members(ctx, archive, names, Path(into))
    if not count:
        raise ToolError("The archive holds nothing of that name: `list` shows what it holds.", "not_found")
    if refused and not skip:
        raise ToolError(
            f"Nothing was extracted, because of {len(refused)} of {count} members:\n{refused_text(refused)}\n"
            "skip=true leaves them out.",
            "unsafe_archive",
        )
    files, size = extract_into(ctx, archive, names, Path(into), places)
    text = f"Extracted {files} file{'' if files == 1 else 's'}, {in_bytes(size)}, into {into}."
    if refused:
        text += f"\nLeft out:\n{refused_text(refused)}"
    left_out = [{"name": shown(name), "problem": problem} for name, problem in refused]
    return ToolOutput(text=text, data={"files": files, "bytes": size, "left_out": left_out})


@tool
def create(ctx: ToolContext, archive: WritePath, sources: list[ReadPath]) -> ToolOutput:
    """Make an archive of files and folders. Links and special files are left out and named.

    Args:
        archive: The new file; its ending says the format: .zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz.
        sources: Files, and folders with all in them.
    """
    if not sources:
        raise ToolError("sources is empty: name files or folders.", "invalid_arguments")
    files, size, left_out = make(ctx, archive, list(sources))
    made = in_bytes(Path(archive).stat().st_size)
    text = f"Made {archive}, {made}, with {files} file{'' if files == 1 else 's'} of {in_bytes(size)}."
    if left_out:
        more = f" and {len(left_out) - 20} more" if len(left_out) > 20 else ""
        text += f"\nLeft out, because they are links or special: {', '.join(left_out[:20])}{more}"
    return ToolOutput(text=text, data={"files": files, "bytes": size, "left_out": left_out})


@hookimpl
def register_tools(register: Callable[[Callable[..., object]], None]) -> None:
    """The three tools."""
    for function in (list_members, extract, create):
        register(function)
