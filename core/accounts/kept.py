"""What was read of sessions and keys, kept in memory for as long as it is known to be current."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from toolhost.accounts.changes import Changes

__all__ = ["Kept"]

_MOST = 10_000

T = TypeVar("T")


class Kept(Generic[T]):
    """Rows by their name. Only what exists is kept, so that guessing names fills nothing."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._rows: dict[str, T] = {}
        self._generation = 0
        changes.on_change(self._clear)

    async def get(self, name: str, read: Callable[[], Awaitable[T | None]]) -> T | None:
        """The row of this name, from memory or by `read()`; None where there is none."""
        if name in self._rows and await self._changes.fresh() and (row := self._rows.get(name)) is not None:
            return row
        generation = self._generation
        fresh = await read()
        # A row that was read while something changed may be from before that.
        if fresh is not None and generation == self._generation:
            if len(self._rows) >= _MOST:
                self._rows.clear()
            self._rows[name] = fresh
        return fresh

    async def _clear(self) -> None:
        self._generation += 1
        self._rows.clear()
