"""The second factor: codes by time (TOTP), each step once, and recovery codes for whoever has lost the device."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from passlib.exc import TokenError
from passlib.totp import TOTP
from sqlalchemy import delete, func, insert, or_, select, update

from toolhost.accounts.changes import Changes
from toolhost.accounts.model import Client, User
from toolhost.accounts.record import Recorder
from toolhost.accounts.signing import load_secret
from toolhost.accounts.tokens import digest_of
from toolhost.errors import AccessError, UsageError
from toolhost.model import Actor
from toolhost.storage import Database
from toolhost.storage.tables import recovery_codes, users

__all__ = ["Offer", "SecondFactor"]

_CODES = 10
_LETTERS = "23456789abcdefghjkmnpqrstvwxyz"  # nothing that looks like something else
_RECOVERY = re.compile(f"[{_LETTERS}]{{16}}")
_WINDOW = 30  # seconds that a device's clock may differ, either way


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A second factor that is not in force yet: shown once, to be entered into a device.

    Attributes:
        secret: In base 32, for typing.
        uri: `otpauth://...`, for a QR code.
    """

    secret: str
    uri: str

    def __repr__(self) -> str:
        return "Offer()"


class SecondFactor:
    """The second factors of everybody.

    Args:
        database: The host's database.
        recorder: Where what happens is written down.
        state: The folder with the key that the secrets are encrypted with.
        changes: Told of what others must notice.
    """

    def __init__(self, database: Database, recorder: Recorder, state: Path, changes: Changes) -> None:
        self._database = database
        self._recorder = recorder
        self._state = state
        self._changes = changes

    async def offer(self, user: User) -> Offer:
        """Make a secret for a person. It counts once `confirm` has seen a code of it.

        Raises:
            UsageError: `totp_active` where there is one already.
        """
        if user.totp:
            raise _active()
        totp = self._factory().new()
        stored = await asyncio.to_thread(totp.to_json, encrypt=True)
        async with self._database.begin() as connection:
            # Not over one that was put in force meanwhile.
            begin = update(users).where(users.c.id == user.id, users.c.totp.is_(None)).values(totp_pending=stored)
            if (await connection.execute(begin)).rowcount != 1:
                raise _active()
        return Offer(secret=totp.pretty_key(sep=" "), uri=totp.to_uri(label=user.username))

    async def confirm(self, user: User, code: object, client: Client) -> tuple[str, ...]:
        """Put the offered secret in force; returns the recovery codes, which are shown this once.

        Raises:
            UsageError: `totp_not_offered`.
            AccessError: `totp_wrong`.
        """
        async with self._database.begin() as connection:
            query = select(users.c.totp_pending).where(users.c.id == user.id)
            pending = (await connection.execute(query)).scalar_one()
        if pending is None:
            raise UsageError("totp_not_offered", "No second factor was begun.", "Begin one first.")
        counter = await self._counter(pending, code, None)
        if counter is None:
            self._recorder.by_user("totp_failed", user, client)
            raise _wrong()
        codes = tuple("".join(secrets.choice(_LETTERS) for _ in range(16)) for _ in range(_CODES))
        async with self._database.begin() as connection:
            values = {"totp": pending, "totp_pending": None, "totp_counter": counter}
            # One of many at once: each would be shown recovery codes, and only the last ones would work.
            confirm = update(users).where(users.c.id == user.id, users.c.totp_pending == pending).values(values)
            if (await connection.execute(confirm)).rowcount != 1:
                raise _wrong()
            await connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user.id))
            await connection.execute(
                insert(recovery_codes), [{"user_id": user.id, "hash": digest_of(one)} for one in codes]
            )
            await self._changes.mark(connection)
            self._recorder.by_user("totp_enabled", user, client)
        await self._changes.made()
        return tuple("-".join(one[at : at + 4] for at in range(0, 16, 4)) for one in codes)

    async def verify(self, user: User, code: object, client: Client) -> None:
        """Take a code of somebody whose second factor is in force: of the device, or one of the recovery codes.

        Raises:
            AccessError: `totp_required` without a code, `totp_wrong`.
        """
        if code is None or code == "":
            raise AccessError(
                "totp_required", "A code of the second factor is needed too.", "Send it as `totp` with the password."
            )
        plain = code.replace(" ", "").replace("-", "").lower() if isinstance(code, str) else ""
        if _RECOVERY.fullmatch(plain):
            await self._recover(user, plain, client)
            return
        async with self._database.begin() as connection:
            query = select(users.c.totp, users.c.totp_counter).where(users.c.id == user.id)
            row = (await connection.execute(query)).one()
        counter = None if row.totp is None else await self._counter(row.totp, plain, row.totp_counter)
        if counter is None:
            raise _wrong()
        # The step and its mark are one statement: of two uses of one code at the same time, one counts.
        use = (
            update(users)
            .where(users.c.id == user.id, or_(users.c.totp_counter.is_(None), users.c.totp_counter < counter))
            .values(totp_counter=counter)
        )
        async with self._database.begin() as connection:
            if (await connection.execute(use)).rowcount != 1:
                raise _wrong()

    async def remove(self, user: User, by: Actor) -> None:
        """Sign in without a second factor again; its recovery codes go with it."""
        async with self._database.begin() as connection:
            values = {"totp": None, "totp_pending": None, "totp_counter": None}
            await connection.execute(update(users).where(users.c.id == user.id).values(values))
            await connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user.id))
            await self._changes.mark(connection)
            self._recorder.by_actor("totp_disabled", by, account=user.username)
        await self._changes.made()

    async def recovery_codes_left(self, user: User) -> int:
        """How many recovery codes a person has not used."""
        query = select(func.count()).where(recovery_codes.c.user_id == user.id)
        async with self._database.begin() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def _recover(self, user: User, plain: str, client: Client) -> None:
        use = delete(recovery_codes).where(
            recovery_codes.c.user_id == user.id, recovery_codes.c.hash == digest_of(plain)
        )
        async with self._database.begin() as connection:
            if (await connection.execute(use)).rowcount != 1:
                raise _wrong()
            self._recorder.by_user("recovery_code_used", user, client)

    async def _counter(self, stored: str, code: object, last: int | None) -> int | None:
        """The step a code is of, or None where it is wrong or no later than `last`."""
        if not isinstance(code, str) or not code.isascii() or not code.isdigit() or len(code) != 6:
            return None
        totp = await asyncio.to_thread(self._factory().from_json, stored)
        try:
            return int(totp.match(code, window=_WINDOW, last_counter=last).counter)
        except TokenError:
            return None

    def _factory(self) -> type[TOTP]:
        # The key is a file beside the database: a copy of the database alone gives no codes.
        key = base64.b32encode(load_secret(self._state / "totp.key")).decode()
        factory: type[TOTP] = TOTP.using(secrets={"1": key}, issuer="Toolhost")
        return factory


def _active() -> UsageError:
    return UsageError("totp_active", "A second factor is in force already.", "Remove it first.")


def _wrong() -> AccessError:
    return AccessError(
        "totp_wrong", "The code is wrong or was used already.", "Wait for the next one; each is accepted once."
    )
