"""Passwords: argon2id, hashed and checked in threads so that the event loop never waits for one."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from passlib.context import CryptContext

from toolhost.accounts.common import is_guessable
from toolhost.errors import MachineError, UsageError

__all__ = ["LONGEST", "SHORTEST", "Passwords"]

SHORTEST = 12
"""Characters. No rule about which: length is what resists guessing (ASVS 6.2.5)."""

LONGEST = 4096
"""Characters, so that hashing cannot be made expensive. Nothing is cut off below it."""

_AT_ONCE = max(1, min(4, (os.cpu_count() or 2) // 2))
"""Hashes computed at the same time: each holds 19 MiB and a processor, and half of the processors stay free."""

_WAITING = 64
"""People who may wait for their turn; whoever comes then is told to come back."""

_NICE = 19
"""The least there is: fewer requests of others wait behind a hash than at 10; fifty sign-ins take a tenth longer."""

T = TypeVar("T")


class Passwords:
    """Hashes and verifies passwords."""

    def __init__(self) -> None:
        # OWASP's argon2id parameters: 19 MiB, two passes, one lane.
        self._context = CryptContext(
            schemes=["argon2"], argon2__type="ID", argon2__memory_cost=19456, argon2__time_cost=2, argon2__parallelism=1
        )
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._turns = asyncio.Semaphore(_AT_ONCE + 1)
        self._wanted = 0
        self._inside = 0
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords", initializer=_give_way)

    @staticmethod
    def check(password: object, username: str = "") -> str:
        """The password, if it may be somebody's.

        Raises:
            UsageError: `password_too_short`, `password_too_long`, `password_invalid`, `password_common`.
        """
        if not isinstance(password, str):
            raise UsageError("password_invalid", "The password must be text.")
        if len(password) < SHORTEST:
            raise UsageError(
                "password_too_short",
                f"The password has {len(password)} characters; at least {SHORTEST} are needed.",
                "A sentence you remember is a good password.",
            )
        if len(password) > LONGEST:
            raise UsageError("password_too_long", f"The password is longer than {LONGEST} characters.")
        if not _encodable(password):
            raise UsageError("password_invalid", "The password holds half a surrogate pair, which cannot be encoded.")
        if is_guessable(password, username):
            raise UsageError(
                "password_common",
                "The password is one that many people choose, a pattern, or the user name.",
                "Four unrelated words are easy to remember and hard to guess.",
            )
        return password

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password that `check` accepted.

        Raises:
            MachineError: `login_busy`.
        """
        return str(await self._work(lambda: self._context.hash(password)))

    async def verify(self, password: object, stored: str | None) -> tuple[bool, str | None]:
        """Whether the password is the one behind `stored`, and a new hash where the parameters have changed.

        Without a stored hash the same work is done, so that an unknown user answers no faster than a known one.

        Raises:
            MachineError: `login_busy`.
        """
        if stored is None or not isinstance(password, str) or len(password) > LONGEST or not _encodable(password):
            await self._work(self._context.dummy_verify)
            return False, None
        right, renewed = await self._work(lambda: self._context.verify_and_update(password, stored))
        return bool(right), renewed

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn before anything is done for somebody, not even a query: of fifty who come at once one is
        served while the next is prepared, and everybody else's requests stand behind those two.

        Raises:
            MachineError: `login_busy`.
        """
        if self._inside >= _WAITING:
            raise _busy()
        self._inside += 1
        try:
            async with self._turns:
                yield
        finally:
            self._inside -= 1

    async def _work(self, work: Callable[[], T]) -> T:
        if self._wanted >= _WAITING:
            raise _busy()
        self._wanted += 1
        try:
            async with self._slots:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._wanted -= 1


def _busy() -> MachineError:
    return MachineError("login_busy", "Too many people are signing in at this moment.", "Try again in a few seconds.")


def _give_way() -> None:
    # Linux gives each thread a priority of its own: whoever waits for an answer comes before whoever signs in.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
