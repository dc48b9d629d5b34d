"""One number that every change of who may come in raises, so that a running server notices what other processes did."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from toolhost.storage import Database
from toolhost.storage.tables import access_changes

__all__ = ["Changes"]

_log = logging.getLogger(__name__)

_EVERY = 0.25  # seconds between two looks
_HOLDS = 0.75  # seconds for which a look counts: a change is in force within this, however slow the machine
_TELLING: ContextVar[bool] = ContextVar("telling of a change", default=False)


class Changes:
    """Follows the number.

    What is kept in memory of sessions, keys and blocked addresses counts only while `current` says so: where looking
    fails or falls behind, everything is read from the database again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: int | None = None
        self._following = False
        self._looking = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._looked = float("-inf")
        self._listeners: list[Callable[[], Awaitable[None]]] = []

    @property
    def current(self) -> bool:
        """Whether the last look is recent enough to rely on."""
        return time.monotonic() - self._looked < _HOLDS

    async def fresh(self) -> bool:
        """Whether what is kept may be relied on; where the last look is too old, after another one.

        All who ask at the same time share that one: a server that has fallen behind must not ask the database once for
        each request.
        """
        if self.current:
            return True
        # A listener that waited for a look would wait for the one that tells it, for ever: it reads anew.
        if not self._following or _TELLING.get():
            return False
        if self._next is None:
            self._next = asyncio.create_task(self._look_for_all(), name="access-changes-again")
        try:
            await asyncio.shield(self._next)
        except SQLAlchemyError:
            return False
        return True

    async def _look_for_all(self) -> None:
        async with self._looking:
            self._next = None  # whoever asks from now on needs a look that begins later
            await self.look()

    def on_change(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Have `listener()` awaited after each change."""
        self._listeners.append(listener)

    @staticmethod
    async def mark(connection: AsyncConnection) -> None:
        """Raise the number within the transaction that makes the change."""
        await connection.execute(update(access_changes).values(number=access_changes.c.number + 1))

    async def made(self) -> None:
        """Be told of one's own change at once, after its transaction."""
        if self._following:
            await self.look()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Look again and again in the meantime."""
        await self.look()
        self._following = True
        task = asyncio.create_task(self._run(), name="access-changes")
        try:
            yield
        finally:
            self._following = False
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._looked = float("-inf")

    async def look(self) -> None:
        """Look once, and tell the listeners where the number has changed."""
        started = time.monotonic()
        async with self._database.begin() as connection:
            number = (await connection.execute(select(access_changes.c.number))).scalar_one()
        if number != self._seen:
            # Told before the look counts: nothing that is kept from before may be taken for current.
            telling = _TELLING.set(True)
            try:
                for listener in self._listeners:
                    await listener()
            finally:
                _TELLING.reset(telling)
            self._seen = number
        self._looked = started

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.look()
            except Exception:  # whatever it was: looking goes on, and until it succeeds nothing in memory counts
                _log.exception("changes of the accounts cannot be read; nothing is kept in memory meanwhile")
