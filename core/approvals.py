"""Approvals: a person's single-use answer to an `ask`, bound to what exactly was asked.

The answer is kept on the server, belongs to the person who made the call, expires, and names the digest of the plan it
was given for: if the plan would be another one by then, the approval is worth nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update

from toolhost.errors import ApprovalError
from toolhost.identifiers import new_id, now_ms
from toolhost.model import Actor
from toolhost.sandbox.plan import SandboxPlan
from toolhost.storage import Database
from toolhost.storage.tables import approvals, calls

__all__ = ["LIFETIME_MS", "Approval", "Approvals", "approval_digest"]

LIFETIME_MS = 10 * 60 * 1000
"""How long a question waits for its answer. No answer is a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One question and, once given, its answer. Times are milliseconds since the epoch."""

    id: str
    call_id: str
    user_id: str
    digest: str
    state: str
    reason: str
    created: int
    expires: int


def approval_digest(plan: SandboxPlan, user_id: str, conversation_id: str | None) -> str:
    """What an approval is bound to: the person, the conversation and every field of the plan."""
    bound = json.dumps([user_id, conversation_id]).encode() + b"\n" + plan.canonical()
    return "sha256:" + hashlib.sha256(bound).hexdigest()


class Approvals:
    """The questions of all people; each method answers only for the actor it is given."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, call_id: str, actor: Actor, digest: str) -> Approval:
        """Write down a question."""
        moment = now_ms()
        approval = Approval(
            id=new_id("p"),
            call_id=call_id,
            user_id=actor.user_id,
            digest=digest,
            state="pending",
            reason="",
            created=moment,
            expires=moment + LIFETIME_MS,
        )
        async with self._database.begin() as connection:
            await connection.execute(
                insert(approvals).values(
                    id=approval.id,
                    call_id=call_id,
                    user_id=actor.user_id,
                    digest=digest,
                    state="pending",
                    reason="",
                    created=moment,
                    expires=approval.expires,
                )
            )
        return approval

    async def get(self, approval_id: str, actor: Actor) -> Approval:
        """The actor's own question.

        Raises:
            ApprovalError: `approval_not_found`, also where it is somebody else's.
        """
        query = select(approvals).where(approvals.c.id == approval_id, approvals.c.user_id == actor.user_id)
        async with self._database.begin() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise ApprovalError("approval_not_found", "There is no such approval among yours.")
        return Approval(**{name: row[name] for name in Approval.__slots__})

    async def settle(self, approval: Approval, state: str, reason: str = "") -> None:
        """Answer a question, once.

        Raises:
            ApprovalError: `approval_expired` or `approval_answered`.
        """
        moment = now_ms()
        late = moment > approval.expires
        query = (
            update(approvals)
            .where(approvals.c.id == approval.id, approvals.c.state == "pending")
            .values(state="expired" if late else state, reason=reason, decided=moment)
            .returning(approvals.c.id)
        )
        async with self._database.begin() as connection:
            settled = (await connection.execute(query)).first() is not None
        if late:
            raise ApprovalError(
                "approval_expired",
                "This question waited longer than ten minutes and counts as refused.",
                "Make the call again.",
            )
        if not settled:
            raise ApprovalError("approval_answered", "This question was answered already; an answer counts once.")

    async def pending(self, actor: Actor) -> list[dict[str, Any]]:
        """The actor's open questions, oldest first, each with its call's tool and arguments."""
        query = (
            select(approvals, calls.c.tool, calls.c.arguments, calls.c.conversation_id, calls.c.plan, calls.c.result)
            .join(calls, calls.c.id == approvals.c.call_id)
            .where(
                approvals.c.user_id == actor.user_id,
                approvals.c.state == "pending",
                approvals.c.expires > now_ms(),
            )
            .order_by(approvals.c.created)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [
            {
                "id": row["id"],
                "call_id": row["call_id"],
                "tool": row["tool"],
                "arguments": json.loads(row["arguments"]),
                "conversation_id": row["conversation_id"],
                "plan": json.loads(row["plan"]),
                "decision": json.loads(row["result"])["decision"],
                "created": row["created"],
                "expires": row["expires"],
            }
            for row in rows
        ]
