"""Letting a request arrive before its answer ends.

A request may be answered before it was read, such as with a 401. If the answer ended there, the server would close the
connection with bytes still unread, the kernel would send a reset, and the client could lose the answer with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

__all__ = ["Draining"]

_SECONDS = 2.0  # a client that sends no faster loses its answer, not the server its time

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Draining:
    """Holds the last piece of an answer until the request has arrived, for a moment at most.

    Args:
        app: The application. It reads what arrives by itself, and throws away what is too much.
    """

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived = asyncio.Event()

        async def received() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                arrived.set()
            return message

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False) and not arrived.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SECONDS):
                        await arrived.wait()
            await send(message)

        await self._app(scope, received, sent)
