"""API keys: `aio_` and 32 characters, shown once, of which a digest is stored; never above what their owner may do."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import string
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update

from toolhost.accounts.changes import Changes
from toolhost.accounts.kept import Kept
from toolhost.accounts.model import Principal, User, user_of
from toolhost.accounts.record import Recorder
from toolhost.accounts.tokens import digest_of
from toolhost.errors import AccessError, UsageError
from toolhost.identifiers import new_id, now_ms
from toolhost.model import Actor
from toolhost.rights import check_role, read_scopes, right_of_scope
from toolhost.storage import Database
from toolhost.storage.tables import api_keys, users

__all__ = ["PREFIX", "ApiKey", "Keys", "new_key"]

PREFIX = "aio_"
_BASE62 = string.ascii_letters + string.digits
_SPELLED = re.compile(r"aio_[A-Za-z0-9]{32}")
_NAME = 100  # characters
_LONGEST_SECONDS = 366 * 24 * 3600
_NOTED_MS = 60_000  # a key's last use is written down once a minute at most


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as its owner sees it later. Times are milliseconds since the epoch.

    Attributes:
        id: `k_...`.
        name: What its owner calls it.
        owner: Whose it is, by name.
        ending: Its last four characters.
        scopes: What it may be used for.
        created: When it was made.
        expires: When it ends, or None.
        last_used: When it was last used, to the minute, or None.
    """

    id: str
    name: str
    owner: str
    ending: str
    scopes: tuple[str, ...]
    created: int
    expires: int | None
    last_used: int | None

    def as_json(self) -> dict[str, object]:
        """The key object of the API."""
        return {
            "id": self.id,
            "name": self.name,
            "owner": self.owner,
            "ending": self.ending,
            "scopes": list(self.scopes),
            "created": self.created,
            "expires": self.expires,
            "last_used": self.last_used,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """What a key's row and its owner's say."""

    id: str
    hash: str
    user: User
    scopes: frozenset[str]
    expires: int | None


class Keys:
    """The API keys of everybody.

    Args:
        database: The host's database.
        recorder: Where what happens is written down.
        changes: Tells when what is kept in memory no longer counts.
    """

    def __init__(self, database: Database, recorder: Recorder, changes: Changes) -> None:
        self._database = database
        self._recorder = recorder
        self._changes = changes
        self._kept: Kept[_Standing] = Kept(changes)
        self._noted: dict[str, int] = {}

    async def create(
        self, owner: User, name: object, scopes: object, by: Actor, *, seconds: object = None
    ) -> tuple[ApiKey, str]:
        """Make a key; returns it and its text, which is shown this once.

        Args:
            owner: Whose it will be.
            name: What they call it.
            scopes: One or more of the scopes there are; none may say more than the owner may do.
            by: Who makes it.
            seconds: How long it holds; None for no end.

        Raises:
            UsageError: `scopes_invalid`, `key_invalid`.
            AccessError: `role_not_allowed`.
        """
        held = read_scopes(scopes)
        for scope in held:
            check_role(owner.role, right_of_scope(scope))
        if not isinstance(name, str) or not name.strip() or len(name) > _NAME or not name.isprintable():
            raise UsageError("key_invalid", f"A key has a name of 1 to {_NAME} characters.", "Say what it is for.")
        if seconds is not None and (
            not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= _LONGEST_SECONDS
        ):
            raise UsageError(
                "key_invalid", f"A key's life is 1 to {_LONGEST_SECONDS} seconds, or without end.", "Choose another."
            )
        text = new_key()
        now = now_ms()
        key = ApiKey(
            id=new_id("k"),
            name=name.strip(),
            owner=owner.username,
            ending=text[-4:],
            scopes=tuple(sorted(held)),
            created=now,
            expires=None if seconds is None else now + seconds * 1000,
            last_used=None,
        )
        async with self._database.begin() as connection:
            await connection.execute(
                insert(api_keys).values(
                    id=key.id,
                    user_id=owner.id,
                    name=key.name,
                    hash=digest_of(text),
                    ending=key.ending,
                    scopes=json.dumps(key.scopes),
                    created=now,
                    expires=key.expires,
                )
            )
            self._recorder.by_actor("key_created", by, account=owner.username, key=key.id, scopes=list(key.scopes))
        return key, text

    async def list(self, owner: User | None = None) -> list[ApiKey]:
        """The keys of a person, or everybody's, that were not revoked; the newest first."""
        query = (
            select(api_keys, users.c.username)
            .join(users, users.c.id == api_keys.c.user_id)
            .where(api_keys.c.revoked.is_(None))
            .order_by(api_keys.c.created.desc(), api_keys.c.id.desc())
        )
        async with self._database.begin() as connection:
            rows = await connection.execute(query if owner is None else query.where(api_keys.c.user_id == owner.id))
            return [_key(row) for row in rows.all()]

    async def revoke(self, key_id: str, by: Actor, *, owner: User | None = None) -> None:
        """End a key, at once and everywhere.

        Args:
            key_id: Which.
            by: Who ends it.
            owner: Whose it must be; None for administrators.

        Raises:
            AccessError: `key_not_found`.
        """
        change = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked.is_(None)).values(revoked=now_ms())
        async with self._database.begin() as connection:
            done = await connection.execute(change if owner is None else change.where(api_keys.c.user_id == owner.id))
            if done.rowcount != 1:
                raise AccessError("key_not_found", "There is no such key.", "List the keys and check the id.")
            await self._changes.mark(connection)
            self._recorder.by_actor("key_revoked", by, key=key_id)
        await self._changes.made()

    async def revoke_all(self, user: User, by: Actor) -> int:
        """End every key of a person; returns how many."""
        change = (
            update(api_keys).where(api_keys.c.user_id == user.id, api_keys.c.revoked.is_(None)).values(revoked=now_ms())
        )
        async with self._database.begin() as connection:
            count = (await connection.execute(change)).rowcount
            await self._changes.mark(connection)
            self._recorder.by_actor("keys_revoked", by, account=user.username, count=count)
        await self._changes.made()
        return count

    async def authenticate(self, text: str) -> Principal:
        """Whose key this is, with what the owner may do now.

        Raises:
            AccessError: `not_authenticated`.
        """
        digest = digest_of(text)
        standing = None
        if _SPELLED.fullmatch(text):
            standing = await self._kept.get(digest, lambda: self._read(api_keys.c.hash == digest))
        if standing is None or not hmac.compare_digest(standing.hash, digest):
            raise _refused()
        principal = _principal(standing)
        await self._note(standing.id)
        return principal

    async def check(self, principal: Principal) -> Principal:
        """The principal of a key as it is now.

        Raises:
            AccessError: `not_authenticated`.
        """
        key_id = principal.key_id or ""
        standing = await self._kept.get(key_id, lambda: self._read(api_keys.c.id == key_id))
        if standing is None:
            raise _refused()
        return _principal(standing)

    async def _read(self, which: Any) -> _Standing | None:
        query = (
            select(users, api_keys.c.id.label("key_id"), api_keys.c.hash, api_keys.c.scopes, api_keys.c.expires)
            .join(users, users.c.id == api_keys.c.user_id)
            .where(which, api_keys.c.revoked.is_(None), users.c.disabled.is_(False))
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        scopes = frozenset(json.loads(row.scopes))
        return _Standing(id=row.key_id, hash=row.hash, user=user_of(row), scopes=scopes, expires=row.expires)

    async def _note(self, key_id: str) -> None:
        now = now_ms()
        if now - self._noted.get(key_id, 0) < _NOTED_MS:
            return
        self._noted[key_id] = now
        async with self._database.begin() as connection:
            await connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used=now))


def new_key() -> str:
    """The text of a new key: 190 random bits."""
    return PREFIX + "".join(secrets.choice(_BASE62) for _ in range(32))


def _principal(standing: _Standing) -> Principal:
    if standing.expires is not None and standing.expires <= now_ms():
        raise _refused()
    return Principal(
        user=standing.user,
        expires=None if standing.expires is None else standing.expires // 1000,
        key_id=standing.id,
        scopes=standing.scopes,
    )


def _refused() -> AccessError:
    return AccessError(
        "not_authenticated", "The API key is unknown, revoked, expired, or its owner is shut out.", "Make a new key."
    )


def _key(row: Row[*tuple[Any, ...]]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        owner=row.username,
        ending=row.ending,
        scopes=tuple(json.loads(row.scopes)),
        created=row.created,
        expires=row.expires,
        last_used=row.last_used,
    )
