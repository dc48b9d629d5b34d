"""Files that are made for one request and sent as a download: in pieces, read beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import IO

from quart import Response

__all__ = ["attachment"]

_CHUNK = 256 << 10
_PATIENCE = 600.0  # seconds for a client to take it all; what is not taken stands open on the server's disk


def attachment(file: IO[bytes], name: str, kind: str) -> Response:
    """A file as a download.

    Args:
        file: At its beginning; closed at its end.
        name: What the client calls it.
        kind: Its media type.
    """
    response = Response(_pieces(file), mimetype=kind)
    response.timeout = _PATIENCE
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _CHUNK):
            yield piece
