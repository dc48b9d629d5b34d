"""A proxy that copies bytes between its clients and a server: what any chat must cost at least."""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["BareProxy"]

_PAGE = b"<!doctype html><title>bare</title><p>bare</p>"


class BareProxy:
    """Serves while it is entered. `GET /` is an empty page, for a browser to read the rest from.

    Args:
        url: The server.
    """

    def __init__(self, url: str) -> None:
        self._to = int(url.rpartition(":")[2].partition("/")[0])

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *raised: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            first = await reader.read(65536)
            if first.startswith(b"GET "):
                head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(_PAGE)}\r\n"
                writer.write(f"{head}Connection: close\r\n\r\n".encode() + _PAGE)
                await writer.drain()
                writer.close()
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            back.write(first)
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # a client that has heard enough hangs up
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
