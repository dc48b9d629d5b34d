"""Noticing that a question is settled, whoever settled it: another tab, another process, or the clock.

The database is the only thing that processes share, so it is looked at now and then, and only while somebody waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from toolhost.approvals.questions import LIFETIME_MS, Approvals
from toolhost.identifiers import now_ms

__all__ = ["Watch"]

_logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class Watch:
    """Looks at the questions that are open.

    Args:
        approvals: The questions.
        expire: Settles those whose time is over.
    """

    def __init__(self, approvals: Approvals, expire: Callable[[], Awaitable[None]]) -> None:
        self._approvals = approvals
        self._expire = expire
        self._waiting: dict[asyncio.Future[None], str] = {}
        self._until = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def expect(self, expires: int | None = None) -> None:
        """A question is open until then, by default for as long as a new one: it is settled when its time is over."""
        self._until = max(self._until, now_ms() + LIFETIME_MS if expires is None else expires)
        self._start()

    async def until_settled(self, approval_id: str) -> None:
        """Wait until a question is not open any more."""
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[settled] = approval_id
        self._start()
        try:
            await settled
        finally:
            del self._waiting[settled]

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _start(self) -> None:
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="approval-watch")

    async def _look(self) -> None:
        while self._waiting or now_ms() <= self._until:
            self._wake.clear()
            try:
                await self._expire()
                states = await self._approvals.states(set(self._waiting.values()))
            except SQLAlchemyError:
                _logger.exception("the open questions could not be read")
                states = {}
            for settled, approval_id in self._waiting.items():
                if states.get(approval_id, "pending") != "pending" and not settled.done():
                    settled.set_result(None)
            rest = _LOOK_SECONDS if self._waiting else max(0, self._until - now_ms()) / 1000 + _LOOK_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._wake.wait()
