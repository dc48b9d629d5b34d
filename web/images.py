"""Pictures that a conversation's tools made, shown in its page. What is not really one is not served here."""

from __future__ import annotations

import asyncio
import os

from quart import Blueprint, Response
from quart.typing import ResponseReturnValue

from toolhost.downloads import open_download
from toolhost.errors import AccessError
from toolhost.web.guard import current_actor
from toolhost.web.site import site

__all__ = ["LARGEST", "blueprint"]

blueprint = Blueprint("images", __name__)

LARGEST = 16 << 20
"""Bytes of a picture that is shown."""

# By what stands at its beginning, not by its name: no text and no SVG, which a browser could take for a page.
_KINDS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"),
          (b"GIF89a", "image/gif"))  # fmt: skip


@blueprint.get("/c/<conversation_id>/image/<path:path>")
async def image(conversation_id: str, path: str) -> ResponseReturnValue:
    """A picture of a conversation's own workspace."""
    fd, size = await open_download(site().host, current_actor(), conversation_id, path)
    try:
        content = b"" if size > LARGEST else await asyncio.to_thread(_read, fd)
    finally:
        os.close(fd)
    kind = _kind(content)
    if kind is None:
        raise AccessError("image_not_one", "This file is not a picture that can be shown.", "Download it.")
    response = Response(content, mimetype=kind)
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; frame-ancestors 'none'"
    return response


def _read(fd: int) -> bytes:
    with os.fdopen(os.dup(fd), "rb") as file:
        return file.read(LARGEST)


def _kind(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _KINDS if content.startswith(start)), None)
