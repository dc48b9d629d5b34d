"""Read-only links to conversations: who has one sees that conversation and can do nothing in it.

The token is in the link alone: the database has its digest, so that nobody who reads the database can open a link.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select, update

from toolhost.accounts.tokens import digest_of, new_opaque_token
from toolhost.errors import AccessError
from toolhost.identifiers import new_id, now_ms
from toolhost.storage import Database
from toolhost.storage.tables import conversations, shares, users

__all__ = ["Share", "Shares"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One link.

    Attributes:
        id: `h_...`.
        conversation_id: What it shows.
        user_id: Whose it is.
        created: Milliseconds since the epoch.
        last_seen: When it was last opened, or None.
        views: How often.
    """

    id: str
    conversation_id: str
    user_id: str
    created: int
    last_seen: int | None
    views: int

    def as_json(self) -> dict[str, object]:
        """The object of the API."""
        return {"id": self.id, "created": self.created, "last_seen": self.last_seen, "views": self.views}


class Shares:
    """The links of all people. Whether there may be any is the caller's question."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, owner: str, conversation_id: str) -> tuple[Share, str]:
        """A new link and its token, which is nowhere else. The conversation is the owner's."""
        token, now = new_opaque_token(), now_ms()
        share = Share(
            id=new_id("h"), conversation_id=conversation_id, user_id=owner, created=now, last_seen=None, views=0
        )
        values = {name: getattr(share, name) for name in Share.__slots__}
        async with self._database.begin() as connection:
            await connection.execute(insert(shares).values(**values, token_hash=digest_of(token)))
        return share, token

    async def of(self, owner: str, conversation_id: str) -> list[Share]:
        """The links of one of the owner's conversations that still work."""
        query = select(shares).where(
            shares.c.user_id == owner, shares.c.conversation_id == conversation_id, shares.c.revoked.is_(None)
        )
        async with self._database.begin() as connection:
            return [_share(row) for row in (await connection.execute(query.order_by(shares.c.created))).mappings()]

    async def revoke(self, owner: str, conversation_id: str, share_id: str) -> None:
        """End a link.

        Raises:
            AccessError: `share_not_found`.
        """
        change = (
            update(shares)
            .where(
                shares.c.id == share_id,
                shares.c.user_id == owner,
                shares.c.conversation_id == conversation_id,
                shares.c.revoked.is_(None),
            )
            .values(revoked=now_ms())
            .returning(shares.c.id)
        )
        async with self._database.begin() as connection:
            if (await connection.execute(change)).first() is None:
                raise _not_found()

    async def open(self, token: object) -> Share:
        """What a token opens; counted.

        Raises:
            AccessError: `share_not_found`, also for one that was revoked, whose conversation is gone, or whose
                person is disabled.
        """
        if not isinstance(token, str):
            raise _not_found()
        living = select(conversations.c.id).where(conversations.c.deleted.is_(None))
        standing = select(users.c.id).where(users.c.disabled.is_(False))
        change = (
            update(shares)
            .where(
                shares.c.token_hash == digest_of(token),
                shares.c.revoked.is_(None),
                shares.c.conversation_id.in_(living),
                shares.c.user_id.in_(standing),
            )
            .values(views=shares.c.views + 1, last_seen=now_ms())
            .returning(*shares.c)
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(change)).mappings().first()
        if row is None:
            raise _not_found()
        return _share(row)


def _share(row: object) -> Share:
    return Share(**{name: row[name] for name in Share.__slots__})  # type: ignore[index]


def _not_found() -> AccessError:
    return AccessError(
        "share_not_found", "This link does not work, or no longer.", "Ask whoever gave it for a new one."
    )
