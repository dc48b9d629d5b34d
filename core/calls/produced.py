"""What a worker's tool returned, checked: its value by the schema it declared, its files as what they really are."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from toolhost.calls.arguments import canonical, mismatch
from toolhost.errors import PluginError
from toolhost.model import Call
from toolhost.policy.lookup import Lookup
from toolhost.policy.request import Refusal
from toolhost.policy.resolve import INSIDE_WORKSPACE
from toolhost.sandbox.beneath import open_without_links
from toolhost.sandbox.collect import CollectRefused, open_collected, spelled
from toolhost.sandbox.plan import SandboxPlan

if TYPE_CHECKING:
    from toolhost.pluginhost import WorkerReply

__all__ = ["checked", "image_type"]

_MOST_FILES = 32
_LARGEST = 64 << 20
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def image_type(head: bytes) -> str | None:
    """The type of an image that every browser shows and none runs, by its first sixteen bytes; None for all else."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _IMAGES if head.startswith(magic)), None)


async def checked(call: Call, plan: SandboxPlan, reply: WorkerReply) -> WorkerReply:
    """The reply with its files as they are on disk; or a failure, where it is not what its tool may return.

    That is `result_invalid` for a value that the tool's schema does not have, `too_many_files`,
    `file_outside_workspace`, or why a file cannot be had or is not one that the host touches.
    """
    if reply.status != "ok":
        return reply
    schema = call.tool.output_schema
    problem = None if schema is None else mismatch(schema, reply.value, canonical(reply.value))
    error: PluginError | None = None
    if problem is not None:
        error = PluginError("result_invalid", f"{call.tool.name} returned something else than it declares: {problem}.")
    files = sum("path" in part for part in reply.content)  # an MCP server sends files whole
    if files > _MOST_FILES:
        error = PluginError("too_many_files", f"A result names at most {_MOST_FILES} files.")
    if error is None and files:
        try:
            content = await asyncio.to_thread(lambda: tuple(_files(call, plan, reply.content)))
        except PluginError as refused:
            error = refused
        except CollectRefused as refused:
            error = PluginError(refused.code, f"The result names a file that cannot be had: {refused.message}")
        else:
            return replace(reply, content=content)
    return reply if error is None else replace(reply, status="error", error=error, content=(), value=None)


def _files(call: Call, plan: SandboxPlan, content: tuple[Mapping[str, Any], ...]) -> Iterator[Mapping[str, Any]]:
    with Lookup(plan.roots, plan.cwd) as lookup:
        for part in content:
            yield _file(call, lookup, part["path"]) if "path" in part else part


def _file(call: Call, lookup: Lookup, named: str) -> Mapping[str, Any]:
    found = lookup.path(named)
    if isinstance(found, Refusal):
        raise PluginError(found.code, f"The result names a file that the tool cannot have: {found.reason}")
    path = found.inside.removeprefix(f"{INSIDE_WORKSPACE}/")
    if path == found.inside:
        raise PluginError(
            "file_outside_workspace",
            f"The result names {spelled(named)}, and only files of the workspace are handed on.",
        )
    head, size = _looked_at(call.workspace, path)
    kind = image_type(head)
    guessed = mimetypes.guess_type(path, strict=True)[0] or "application/octet-stream"
    return {
        "type": "file" if kind is None else "image",
        "path": path,
        "media_type": kind or ("application/octet-stream" if guessed.startswith("image/") else guessed),
        "size": size,
        "url": f"/api/conversations/{call.conversation_id}/files/{quote(path)}" if call.workspace_own else None,
    }


def _looked_at(workspace: str, path: str) -> tuple[bytes, int]:
    try:
        root = open_without_links(workspace, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        raise CollectRefused("file_not_found", "The workspace is gone.") from None
    try:
        fd = open_collected(root, path, _LARGEST)
    finally:
        os.close(root)
    try:
        return os.pread(fd, 16, 0), os.fstat(fd).st_size
    finally:
        os.close(fd)
