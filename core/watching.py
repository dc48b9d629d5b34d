"""What a server looks at while it runs: whether everything was stopped, how it is, and whether its loop keeps up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from toolhost import metrics
from toolhost.errors import MachineError
from toolhost.withdrawn import Withdrawn

if TYPE_CHECKING:
    from toolhost.calls.pipeline import Pipeline
    from toolhost.host import Host

__all__ = ["Watch"]

_logger = logging.getLogger(__name__)

_LOOK = 0.25
"""Seconds between two looks."""


class Watch:
    """Looks several times a second. One per server.

    Args:
        host: What is looked at.
        pipeline: Its calls.
    """

    def __init__(self, host: Host, pipeline: Pipeline) -> None:
        self._stopping = host.stopping
        self._withdrawn = Withdrawn(pipeline, host.policies, host.plugins, host.database)
        self._health = host.health
        self._audit = host.audit
        self._stopped = host.stopping.stopped is not None
        self._was = ""

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look in the meantime."""
        self._was = self._health()
        task = asyncio.create_task(self._run(), name="watch")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LOOK
            await asyncio.sleep(_LOOK)
            metrics.LOOP_LAG.observe(max(0.0, loop.time() - due))
            try:
                await self._look()
            except Exception:
                _logger.exception("looking after the server failed; it goes on")

    async def _look(self) -> None:
        stopped = self._stopping.stopped is not None
        if stopped and not self._stopped:
            _logger.warning("everything was stopped by an administrator")
            await self._stopping.stop()
        if self._stopped and not stopped:
            _logger.warning("calls run again")
            await self._stopping.start_again()
        self._stopped = stopped
        await self._withdrawn.end()
        self._look_at_audit()
        health = self._health()
        if health != self._was:
            with contextlib.suppress(MachineError):  # it is no reason to stop looking
                self._audit.write(
                    "system",
                    "health.changed",
                    {"from": self._was, "to": health},
                    level="INFO" if health == "ok" else "WARNING",
                )
            self._was = health

    def _look_at_audit(self) -> None:
        """Once records can be written again, write that there was a time when none could."""
        gap = self._audit.gap or self._audit.failing
        if gap is not None:
            since, reason = gap
            with contextlib.suppress(MachineError):  # not yet
                self._audit.write("system", "audit.resumed", {"since": since, "reason": reason}, level="WARNING")
                self._audit.gap = None
