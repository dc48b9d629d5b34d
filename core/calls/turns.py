"""How many calls run at once, for each plugin and for each person; and how many may wait for their turn.

A policy's `calls` is the plugin's number. A person's is the same for everybody, so that one cannot take all turns of
all plugins. The queues are bounded: beyond them a call is refused at once, before anything is decided or asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from toolhost.errors import ToolHostError

__all__ = ["RUNNING", "WAITING", "BusyError", "Turns"]

RUNNING = 16
"""Calls of one person at once."""
WAITING = 48
"""Calls of one person that wait besides."""


class BusyError(ToolHostError):
    """Raised for a call beyond what may run and wait: `too_many_calls`."""

    recoverable = True


@dataclass(slots=True)
class _Person:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(RUNNING))
    calls: int = 0


@dataclass(slots=True)
class _Plugin:
    size: int
    turns: asyncio.Semaphore
    calls: int = 0


class Turns:
    """Who may run now."""

    def __init__(self) -> None:
        self._people: dict[str, _Person] = {}
        self._plugins: dict[str, _Plugin] = {}

    @contextmanager
    def admit(self, user_id: str) -> Iterator[None]:
        """Count a call as its person's, from before it is decided to its end.

        Raises:
            BusyError: `too_many_calls`: as many are running and waiting as there may be.
        """
        person = self._people.setdefault(user_id, _Person())
        if person.calls >= RUNNING + WAITING:
            raise BusyError(
                "too_many_calls",
                f"{person.calls} calls of yours are running or waiting for their turn.",
                "Wait for one of them to end, or cancel it.",
            )
        person.calls += 1
        try:
            yield
        finally:
            person.calls -= 1
            if not person.calls:
                del self._people[user_id]

    @asynccontextmanager
    async def turn(self, user_id: str, plugin: str, calls: int) -> AsyncIterator[None]:
        """Wait for a turn of an admitted call and hold it.

        Args:
            user_id: Whose call it is.
            plugin: Whose tool it is.
            calls: How many calls of the plugin may run at once, by the policy in force.
        """
        shared = self._plugins.get(plugin)
        if shared is None or shared.size != calls:
            shared = self._plugins[plugin] = _Plugin(calls, asyncio.Semaphore(calls))
        shared.calls += 1
        try:
            # The person's own turn first: whoever waits for it must not hold one of the plugin's.
            async with self._people[user_id].turns, shared.turns:
                yield
        finally:
            shared.calls -= 1
            if not shared.calls and self._plugins.get(plugin) is shared:
                del self._plugins[plugin]
