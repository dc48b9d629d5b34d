"""Files that a conversation's tools wrote."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from io import FileIO

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from toolhost.calls.produced import image_type
from toolhost.downloads import open_download
from toolhost.model import ExternalContent
from toolhost.sandbox.collect import spelled
from toolhost.uploads import receive
from toolhost.web.guard import abandonable, ask_again, current_actor, requires
from toolhost.web.site import site
from toolhost.web.workspace_panel import listing

__all__ = ["blueprint"]

blueprint = Blueprint("files", __name__, url_prefix="/api/conversations")

_CHUNK = 256 << 10
_UPLOAD_SECONDS = 300.0


@blueprint.get("/<conversation_id>/files/<path:path>")
@requires("look", scope="chat")
async def download(conversation_id: str, path: str) -> ResponseReturnValue:
    """One file of this person's conversation, to be saved: never opened as a page, run or guessed at by a browser.

    What begins like an image of a kind that runs nothing is called one, so that a page of ours can show it.
    """
    fd, size = await open_download(site().host, current_actor(), conversation_id, path)
    kind = image_type(os.pread(fd, 16, 0))
    response = Response(_pieces(FileIO(fd), size), mimetype=kind or "application/octet-stream")
    response.content_length = size
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; frame-ancestors 'none'"
    response.headers.set("Content-Disposition", "attachment", filename=spelled(path.rpartition("/")[2]))
    return response


@blueprint.get("/<conversation_id>/files")
@requires("look", scope="chat")
async def index(conversation_id: str) -> ResponseReturnValue:
    """What is in the conversation's own workspace."""
    found = await listing(site().host, current_actor(), conversation_id)
    files = [
        {"path": spelled(one.path), "kind": one.kind, "size": one.size, "modified": one.modified_ns // 1_000_000}
        for one in found.entries
    ]
    return {"files": files, "more": found.more}


@blueprint.put("/<conversation_id>/files/<path:path>")
@requires("chat", scope="chat")
@abandonable
async def upload(conversation_id: str, path: str) -> ResponseReturnValue:
    """Put a file into the conversation's own workspace."""
    parts, actor = site(), current_actor()
    replace = request.args.get("replace") == "true"

    def tainted(external: Sequence[ExternalContent]) -> None:
        content = [one.as_json() for one in external]
        parts.sockets.tell_in(actor.user_id, conversation_id, "conversation.tainted", external_content=content)

    async with asyncio.timeout(_UPLOAD_SECONDS):
        size = await receive(parts.host, actor, conversation_id, path, _arriving(), replace=replace, on_taint=tainted)
    return {"path": path, "size": size}, 201


async def _arriving() -> AsyncIterator[bytes]:
    async for piece in request.body:
        yield piece
    await ask_again()


async def _pieces(file: FileIO, size: int) -> AsyncIterator[bytes]:
    """What was promised and no more: the file may grow while it is read."""
    with file:
        while size > 0 and (piece := file.read(min(size, _CHUNK))):
            size -= len(piece)
            yield piece
