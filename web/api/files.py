"""Files that a conversation's tools wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import FileIO

from quart import Blueprint, Response
from quart.typing import ResponseReturnValue

from toolhost.downloads import open_download
from toolhost.sandbox.collect import spelled
from toolhost.web.guard import current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("files", __name__, url_prefix="/api/conversations")

_CHUNK = 256 << 10


@blueprint.get("/<conversation_id>/files/<path:path>")
@requires("look", scope="chat")
async def download(conversation_id: str, path: str) -> ResponseReturnValue:
    """One file of this person's conversation, to be saved: never shown, run or guessed at by a browser."""
    fd, size = await open_download(site().host, current_actor(), conversation_id, path)
    response = Response(_pieces(FileIO(fd), size), mimetype="application/octet-stream")
    response.content_length = size
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; frame-ancestors 'none'"
    response.headers.set("Content-Disposition", "attachment", filename=spelled(path.rpartition("/")[2]))
    return response


async def _pieces(file: FileIO, size: int) -> AsyncIterator[bytes]:
    """What was promised and no more: the file may grow while it is read."""
    with file:
        while size > 0 and (piece := file.read(min(size, _CHUNK))):
            size -= len(piece)
            yield piece
