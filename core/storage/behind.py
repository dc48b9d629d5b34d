"""Writing to the database behind the call: rows that may follow a moment later are written in batches."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.exc import SQLAlchemyError

from toolhost.storage.database import Database, is_busy

__all__ = ["WriteBehind"]

_logger = logging.getLogger(__name__)
_DELAY = 0.05
_PATIENCE = 30.0  # seconds, in which many other processes write too
_PARTING = 20.0  # the same at the end: whoever ends the host waits for it


class WriteBehind:
    """Collects statements and carries them out in order, one transaction a batch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: list[tuple[Executable, Callable[[], Mapping[str, Any]]]] = []
        self._wake = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._closing = math.inf
        self._task = asyncio.create_task(self._run(), name="write-behind")

    def put(self, statement: Executable, values: Callable[[], Mapping[str, Any]]) -> None:
        """Write this soon.

        Args:
            statement: The statement.
            values: Makes its values, when it is written: nobody who waits for the call waits for that.
        """
        self._pending.append((statement, values))
        if len(self._pending) == 1:
            self._wake.set()

    async def flush(self) -> None:
        """Wait until everything put so far is written."""
        async with self._flushing:
            batch, self._pending = self._pending, []
            if batch:
                await self._write(_together(batch))

    async def _write(self, together: list[tuple[Executable, list[Mapping[str, Any]]]]) -> None:
        given_up = time.monotonic() + _PATIENCE
        while True:
            given_up = min(given_up, self._closing)
            try:
                async with self._database.writing() as connection:
                    for statement, rows in together:
                        await connection.execute(statement, rows)
            except SQLAlchemyError as error:
                if is_busy(error) and time.monotonic() < given_up:
                    continue  # SQLite has waited already
                # What these rows say is in the audit log too, which is written first and by itself.
                count, why = sum(len(rows) for _, rows in together), getattr(error, "orig", error)
                _logger.error("%d rows could not be written to the database: %s", count, why)
            return

    async def close(self) -> None:
        """Write what is left and stop."""
        self._closing = time.monotonic() + _PARTING
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_DELAY)
            self._wake.clear()
            # Shielded: a cancelled flush would leave half a batch behind.
            await asyncio.shield(self.flush())


def _together(
    batch: list[tuple[Executable, Callable[[], Mapping[str, Any]]]],
) -> list[tuple[Executable, list[Mapping[str, Any]]]]:
    """The rows of each statement, in order; what is inserted before what is changed. Many at once cost little more."""
    rows: dict[Executable, list[Mapping[str, Any]]] = {}
    for statement, values in batch:
        rows.setdefault(statement, []).append(values())
    return sorted(rows.items(), key=lambda item: not item[0].is_insert)
