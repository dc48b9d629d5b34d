"""Passwords: argon2id, hashed and checked in threads so that the event loop never waits for one."""

from __future__ import annotations

import asyncio

from passlib.context import CryptContext

from toolhost.errors import UsageError

__all__ = ["LONGEST", "SHORTEST", "Passwords"]

SHORTEST = 12
"""Characters. No rule about which: length is what resists guessing (ASVS 6.2.5)."""

LONGEST = 4096
"""Characters, so that hashing cannot be made expensive. Nothing is cut off below it."""

_AT_ONCE = 2
"""Hashes computed at the same time: each holds 19 MiB and a processor."""


class Passwords:
    """Hashes and verifies passwords."""

    def __init__(self) -> None:
        # OWASP's argon2id parameters: 19 MiB, two passes, one lane.
        self._context = CryptContext(
            schemes=["argon2"], argon2__type="ID", argon2__memory_cost=19456, argon2__time_cost=2, argon2__parallelism=1
        )
        self._slots = asyncio.Semaphore(_AT_ONCE)

    @staticmethod
    def check(password: object) -> str:
        """The password, if it may be somebody's.

        Raises:
            UsageError: `password_too_short`, `password_too_long`, `password_invalid`.
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
        return password

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password that `check` accepted."""
        async with self._slots:
            return str(await asyncio.to_thread(self._context.hash, password))

    async def verify(self, password: object, stored: str | None) -> tuple[bool, str | None]:
        """Whether the password is the one behind `stored`, and a new hash where the parameters have changed.

        Without a stored hash the same work is done, so that an unknown user answers no faster than a known one.
        """
        usable = isinstance(password, str) and len(password) <= LONGEST and _encodable(password)
        async with self._slots:
            if stored is None or not usable:
                await asyncio.to_thread(self._context.dummy_verify)
                return False, None
            right, renewed = await asyncio.to_thread(self._context.verify_and_update, password, stored)
            return bool(right), renewed


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
