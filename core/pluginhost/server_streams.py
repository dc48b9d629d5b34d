"""The streams that the SDK's client has in place of a server's pipes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from mcp.shared.message import SessionMessage

__all__ = ["Incoming", "Outgoing"]


class Incoming:
    """The stream that the client reads: what the gate let through, until the server is gone."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[SessionMessage | None] = asyncio.Queue()

    def put(self, message: Mapping[str, Any]) -> None:
        """Let the client have a message."""
        from mcp.shared.message import SessionMessage
        from mcp.types import jsonrpc_message_adapter

        self._queue.put_nowait(SessionMessage(jsonrpc_message_adapter.validate_python(message, by_name=False)))

    def end(self) -> None:
        """There is nothing more."""
        self._queue.put_nowait(None)

    async def receive(self) -> SessionMessage:
        """The next message."""
        item = await self._queue.get()
        if item is None:
            self.end()  # for whoever asks again
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        return await self.receive()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


class Outgoing:
    """The stream that the client writes to. It never waits: a server that does not read holds up nobody."""

    def __init__(self, send: Callable[[SessionMessage], None]) -> None:
        self._send = send

    async def send(self, item: SessionMessage, /) -> None:
        """Send a message."""
        self._send(item)

    async def aclose(self) -> None:
        """Nothing to let go of."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...
