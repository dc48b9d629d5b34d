"""What people deleted goes for good when it cannot be taken back any more."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from quart import Quart

from toolhost.forgetting import forget_deleted
from toolhost.host import Host
from toolhost.identifiers import now_ms

__all__ = ["GRACE_MS", "keep_tidy"]

_log = logging.getLogger("toolhost.web")

GRACE_MS = 60_000
"""How long a deletion can be taken back, milliseconds. The page offers it for eight seconds."""


def keep_tidy(app: Quart, host: Host) -> None:
    """Have the application tidy up while it serves."""
    running: set[asyncio.Task[None]] = set()

    async def begin() -> None:
        running.add(asyncio.create_task(_tidy(host)))

    async def end() -> None:
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    app.before_serving(begin)
    app.after_serving(end)


async def _tidy(host: Host) -> None:
    while True:
        try:
            await forget_deleted(host, now_ms() - GRACE_MS)
        except Exception:
            _log.exception("deleted conversations could not be removed")
        await asyncio.sleep(GRACE_MS / 1000)
