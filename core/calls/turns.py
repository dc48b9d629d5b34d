"""How many calls run at once, for each plugin and for each person; and how many may wait for their turn.

A policy's `calls` is the plugin's number; calls under a rule that has a number of its own are counted by that one. A
person's is the same for everybody, so that one cannot take all turns of all plugins. The queues are bounded: beyond
them a call is refused at once, before anything is decided or asked.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AbstractContextManager
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


class Turns:
    """Who may run now."""

    def __init__(self) -> None:
        self._people: dict[str, _Person] = {}
        self._plugins: dict[tuple[str, int], asyncio.Semaphore] = {}

    def admit(self, user_id: str) -> AbstractContextManager[None]:
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
        return _Admission(self._people, user_id, person)

    def is_free(self, user_id: str, plugin: str, calls: int) -> bool:
        """Whether an admitted call would not wait for its turn."""
        shared = self._plugins.get((plugin, calls))
        return not (self._people[user_id].turns.locked() or (shared is not None and shared.locked()))

    def turn(self, user_id: str, plugin: str, calls: int) -> AbstractAsyncContextManager[None]:
        """Wait for a turn of an admitted call and hold it.

        Args:
            user_id: Whose call it is.
            plugin: Whose tool it is.
            calls: How many calls of the plugin may run at once, by the policy in force or the rule that matched.
        """
        shared = self._plugins.get((plugin, calls))
        if shared is None:
            shared = self._plugins[plugin, calls] = asyncio.Semaphore(calls)
        return _Turn(self._people[user_id].turns, shared)


class _Admission:
    """One call, counted as its person's."""

    __slots__ = ("_people", "_person", "_user_id")

    def __init__(self, people: dict[str, _Person], user_id: str, person: _Person) -> None:
        self._people = people
        self._user_id = user_id
        self._person = person

    def __enter__(self) -> None:
        self._person.calls += 1

    def __exit__(self, *failure: object) -> None:
        self._person.calls -= 1
        if not self._person.calls:
            del self._people[self._user_id]


class _Turn:
    """One call's turn: as its person's, then as its plugin's. Who waits for the first holds nothing of the second."""

    __slots__ = ("_own", "_shared")

    def __init__(self, own: asyncio.Semaphore, shared: asyncio.Semaphore) -> None:
        self._own = own
        self._shared = shared

    async def __aenter__(self) -> None:
        await self._own.acquire()
        try:
            await self._shared.acquire()
        except BaseException:
            self._own.release()
            raise

    async def __aexit__(self, *failure: object) -> None:
        self._shared.release()
        self._own.release()
