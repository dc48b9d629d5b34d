"""The SDK's server of one application: loaded with the first request, ended with the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from toolhost.host import Host
from toolhost.web.runs import Runs

if TYPE_CHECKING:
    from toolhost.web.mcp.speaking import Speaking

__all__ = ["Endpoint"]

_log = logging.getLogger("toolhost.web")

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Endpoint:
    """What answers at `/mcp`.

    Args:
        host: The host whose tools are called.
        runs: Who answers questions.

    Attributes:
        closing: Set when the server stops: whoever waits for a person does not wait any longer.
    """

    def __init__(self, host: Host, runs: Runs) -> None:
        self._host = host
        self._runs = runs
        self._speaking: Speaking | None = None
        self._serving: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[Asgi] | None = None
        self.closing = asyncio.Event()

    async def app(self) -> Asgi:
        """The SDK's application."""
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._ready), name="mcp-server")
        return await asyncio.shield(self._ready)

    def tools_changed(self) -> None:
        """Other tools may be called than before: whoever listens is told."""
        if self._speaking is not None:
            self._speaking.tools_changed()

    def close(self) -> None:
        """End what only waits, and the SDK's server with it; what runs has the time that the server leaves it."""
        self.closing.set()
        if self._speaking is not None:
            self._speaking.close()

    async def ended(self) -> None:
        """Wait for the SDK's server to end."""
        self.close()
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    async def _serve(self, ready: asyncio.Future[Asgi]) -> None:
        """Own the server: its tasks have to be ended by the task that began them."""
        try:
            # By a thread: the library takes a second to import, and everybody else is served meanwhile.
            module = await asyncio.to_thread(import_module, "toolhost.web.mcp.speaking")
            speaking: Speaking = module.Speaking(self._host, self._runs, self.closing)
            async with speaking.serving() as app:
                self._speaking = speaking
                ready.set_result(app)
                await asyncio.Event().wait()  # until the application ends
        except Exception as error:
            if ready.done():
                _log.exception("the MCP server broke; the next request begins another")
            else:
                ready.set_exception(error)
                ready.exception()  # whoever asked may be gone
        finally:
            self._speaking = self._ready = None
            ready.cancel()
