"""Grants: yeses that count again, for exactly the same call, until they expire, are revoked or their rule changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import RowMapping, Select, insert, or_, select, update

from toolhost.approvals.questions import Question
from toolhost.approvals.terms import STANDING_DAYS, Scope, Terms, grant_text, terms_digest
from toolhost.errors import ApprovalError
from toolhost.identifiers import new_id, now_ms
from toolhost.model import Actor
from toolhost.storage import Database
from toolhost.storage.tables import grants

__all__ = ["Grant", "Grants", "RevokedBecause"]

RevokedBecause = Literal["person", "rule_changed"]

_LIFETIME_MS = STANDING_DAYS * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One grant. Times are milliseconds since the epoch.

    Attributes:
        id: `g_...`.
        user_id: Whose it is.
        scope: `conversation` or `standing`.
        conversation_id: The conversation it holds in, or None for a standing one.
        tool: `plugin.tool`.
        rules: Digests of the rules it was given under.
        source: Where the rule stood that asked.
        terms: What it covers.
        created: When it was given.
        expires: When it ends.
        last_used: When it last answered a question, or None.
        uses: How often it has.
    """

    id: str
    user_id: str
    scope: Scope
    conversation_id: str | None
    tool: str
    rules: tuple[str, ...]
    source: str | None
    terms: Terms
    created: int
    expires: int
    last_used: int | None
    uses: int

    @property
    def text(self) -> str:
        """The grant as people read it."""
        return grant_text(self.terms, self.scope, conversation_id=self.conversation_id, source=self.source)

    def as_json(self) -> dict[str, Any]:
        """The grant object of the API."""
        return {
            "id": self.id,
            "scope": self.scope,
            "conversation_id": self.conversation_id,
            "tool": self.tool,
            "source": self.source,
            "terms": {key: value for key, value in self.terms.items() if key != "user"},
            "text": self.text,
            "created": self.created,
            "expires": self.expires,
            "last_used": self.last_used,
            "uses": self.uses,
        }


class Grants:
    """The grants of all people. Whoever reads names the person; only `living_of_all` does without."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def give(
        self, question: Question, scope: Scope, rules: tuple[str, ...], record: Callable[[str], None]
    ) -> None:
        """Write down that a question's answer counts again.

        Args:
            question: The question.
            scope: How far its answer reaches.
            rules: Digests of the rules that asked.
            record: Called with the grant's id before it counts; what it raises undoes it.
        """
        moment, identifier = now_ms(), new_id("g")
        async with self._database.begin() as connection:
            await connection.execute(
                insert(grants).values(
                    id=identifier,
                    user_id=question.user_id,
                    scope=scope,
                    conversation_id=question.conversation_id if scope == "conversation" else None,
                    approval_id=question.id,
                    tool=question.tool,
                    digest=terms_digest(question.terms),
                    rules=json.dumps(rules),
                    source=question.decision.source,
                    terms=json.dumps(dict(question.terms)),
                    created=moment,
                    expires=moment + _LIFETIME_MS,
                    uses=0,
                )
            )
            record(identifier)

    async def covering(self, terms: Terms, actor: Actor, conversation_id: str | None) -> list[Grant]:
        """The actor's living grants for exactly these terms, the newest first."""
        query = _living().where(
            grants.c.user_id == actor.user_id,
            grants.c.digest == terms_digest(terms),
            or_(grants.c.scope == "standing", grants.c.conversation_id == conversation_id),
        )
        return await self._read(query)

    async def use(self, grant: Grant, actor: Actor) -> bool:
        """Count one use. False where the grant ended meanwhile: then it covers nothing."""
        moment = now_ms()
        query = (
            update(grants)
            .where(
                grants.c.id == grant.id,
                grants.c.user_id == actor.user_id,
                grants.c.revoked.is_(None),
                grants.c.expires > moment,
            )
            .values(last_used=moment, uses=grants.c.uses + 1)
            .returning(grants.c.id)
        )
        async with self._database.begin() as connection:
            return (await connection.execute(query)).first() is not None

    async def living(self, actor: Actor) -> list[Grant]:
        """The actor's grants that still hold, the newest first."""
        return await self._read(_living().where(grants.c.user_id == actor.user_id))

    async def living_of_all(self) -> list[Grant]:
        """Everybody's grants that still hold: to see whether they may."""
        return await self._read(_living())

    async def revoke(self, grant_id: str, user_id: str, because: RevokedBecause) -> Grant:
        """End one of a person's grants.

        Raises:
            ApprovalError: `grant_not_found`, also where it is somebody else's or has ended.
        """
        found = await self._read(_living().where(grants.c.id == grant_id, grants.c.user_id == user_id))
        query = (
            update(grants)
            .where(grants.c.id == grant_id, grants.c.user_id == user_id, grants.c.revoked.is_(None))
            .values(revoked=now_ms(), revoked_because=because)
            .returning(grants.c.id)
        )
        async with self._database.begin() as connection:
            ended = (await connection.execute(query)).first() is not None
        if not found or not ended:
            raise ApprovalError("grant_not_found", "There is no such grant among yours, or it has ended.")
        return found[0]

    async def _read(self, query: Select[Any]) -> list[Grant]:
        async with self._database.begin() as connection:
            return [_grant(row) for row in (await connection.execute(query)).mappings().all()]


def _living() -> Select[Any]:
    return (
        select(grants)
        .where(grants.c.revoked.is_(None), grants.c.expires > now_ms())
        .order_by(grants.c.created.desc(), grants.c.id.desc())
    )


def _grant(row: RowMapping) -> Grant:
    values = {name: row[name] for name in Grant.__slots__ if name not in ("rules", "terms")}
    return Grant(**values, rules=tuple(json.loads(row["rules"])), terms=json.loads(row["terms"]))
