"""Telling a client how far its call is, where it asked for that: the newest word, and not more often than it helps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from toolhost.calls.telling import OnEvent

__all__ = ["telling"]

_EVERY_SECONDS = 0.2
_LONGEST = 200  # characters of a line

Send = Callable[[float, float | None, str | None], Awaitable[None]]


class _Newest:
    """What would be told now. The protocol wants each number to be larger than the one before."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._reports = False
        self._told = 0.0
        self.word: tuple[float, float | None, str | None] | None = None
        self.news = asyncio.Event()

    def hear(self, event: dict[str, Any]) -> None:
        """Take an event of the call."""
        kind = event["type"]
        if kind == "tool.progress":
            self._reports = True  # from now on its own numbers count
            self._tell(float(event["done"]), event.get("total"), event.get("message") or None)
        elif kind == "tool.output" and not self._reports:
            lines = event["data"].decode("utf-8", "replace").strip().splitlines()
            self._tell(self._told + 1, None, lines[-1].strip()[-_LONGEST:] if lines else None)
        elif kind == "approval.required":
            self._tell(self._told + 1, None, f"A person must approve {event['tool']}: {self._address}")
        elif kind == "tool.asked":
            self._tell(self._told + 1, None, f"{event['tool']} asks its person something: {self._address}")

    def _tell(self, done: float, total: float | None, message: str | None) -> None:
        if done > self._told:
            self._told, self.word = done, (done, total, message)
            self.news.set()


@asynccontextmanager
async def telling(send: Send, address: str) -> AsyncIterator[OnEvent]:
    """A listener for a call's events, of which the client is told in the meantime.

    Args:
        send: Sends one notification.
        address: Where a person answers what the call asks while it runs.
    """
    newest = _Newest(address)

    async def pump() -> None:
        while True:
            await newest.news.wait()
            newest.news.clear()
            if newest.word is not None:
                await send(*newest.word)
            await asyncio.sleep(_EVERY_SECONDS)

    task = asyncio.create_task(pump())
    try:
        yield newest.hear
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
