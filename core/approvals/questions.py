"""The questions that wait for a person: kept on the server, answered once, within ten minutes, by their own person.

A question carries the digest of the plan it was asked about: if the plan would be another one by then, the answer is
worth nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import RowMapping, Select, insert, select, update

from toolhost.approvals.terms import Scope, Terms, grant_text
from toolhost.errors import AccessError, ApprovalError
from toolhost.identifiers import new_id, now_ms
from toolhost.model import Actor, Decision
from toolhost.policy.risk import Danger, danger_of
from toolhost.storage import Database
from toolhost.storage.tables import approvals, calls, users

__all__ = ["LIFETIME_MS", "QUESTION", "Answer", "Approvals", "Question", "State", "check_may_approve"]

LIFETIME_MS = 10 * 60 * 1000
"""How long a question waits for its answer. No answer is a refusal."""


_LONGEST_EXPLANATION = 2000  # characters

QUESTION = "p"
"""What a question's identifier begins with, before the `_`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody says to a question.

    Attributes:
        approve: Yes or no.
        reason: Why not; reaches whoever made the call.
        scope: How far a yes reaches.
    """

    approve: bool
    reason: str = ""
    scope: Scope = "once"


State = Literal["pending", "approved", "refused", "expired", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question and its call. Times are milliseconds since the epoch.

    Attributes:
        id: `p_...`.
        call_id: The call that waits.
        user_id: Whose call it is.
        username: The name people see.
        session_id: The login session that asked, or None.
        key_id: The API key that asked, or None.
        digest: The approval digest.
        state: `pending` until it is settled; `changed` where the plan had become another one by the answer.
        reason: Why it was refused, or an empty string.
        decided_by: Who answered, or None.
        scopes: How far a yes may reach.
        terms: What a grant would cover.
        tool: The call's tool.
        arguments: The call's arguments.
        conversation_id: Where the call was made, or None.
        plan: What would run, as people read it.
        decision: Why it was asked.
        change: What it would change in files, from `toolhost.calls.change`, or None where its tool does not say.
        explanation: What a model wrote when it asked for the call, unchecked; empty where none did.
        created: When it was asked.
        expires: When it counts as refused.
    """

    id: str
    call_id: str
    user_id: str
    username: str
    session_id: str | None
    key_id: str | None
    digest: str
    state: State
    reason: str
    decided_by: str | None
    scopes: tuple[Scope, ...]
    terms: Terms
    tool: str
    arguments: Mapping[str, Any]
    conversation_id: str | None
    plan: Mapping[str, Any]
    decision: Decision
    change: Mapping[str, Any] | None
    explanation: str
    created: int
    expires: int

    @property
    def danger(self) -> Danger:
        """How much a yes would let the call do, from what its plan grants."""
        return danger_of(self.plan, self.decision.code)

    @property
    def open(self) -> bool:
        """Whether it can still be answered."""
        return self.state == "pending" and self.expires > now_ms()

    @property
    def grants(self) -> dict[str, str]:
        """What would be written down for each scope that counts again."""
        return {
            scope: grant_text(self.terms, scope, conversation_id=self.conversation_id, source=self.decision.source)
            for scope in self.scopes
            if scope != "once"
        }

    def as_json(self) -> dict[str, Any]:
        """The approval object of the API."""
        return {
            "id": self.id,
            "call_id": self.call_id,
            "tool": self.tool,
            "arguments": dict(self.arguments),
            "conversation_id": self.conversation_id,
            "plan": dict(self.plan),
            "decision": self.decision.as_json(),
            "scopes": list(self.scopes),
            "grants": dict(self.grants),
            "risk": self.danger.as_json(),
            "change": self.change,
            "explanation": self.explanation,
            "created": self.created,
            "expires": self.expires,
        }


class Approvals:
    """The questions of all people. Whoever reads names the person; only `pending_of_all` and `expire` do without.

    Attributes:
        on_change: Told whose other questions are open than before.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.on_change: Callable[[str], None] = lambda user_id: None

    async def ask(
        self,
        call_id: str,
        actor: Actor,
        digest: str,
        scopes: Iterable[Scope],
        terms: Terms,
        *,
        change: Mapping[str, Any] | None,
        explanation: str,
    ) -> str:
        """Write down a question; returns its id."""
        moment, identifier = now_ms(), new_id(QUESTION)
        async with self._database.begin() as connection:
            await connection.execute(
                insert(approvals).values(
                    id=identifier,
                    call_id=call_id,
                    user_id=actor.user_id,
                    digest=digest,
                    state="pending",
                    reason="",
                    scopes=json.dumps(list(scopes)),
                    terms=json.dumps(dict(terms)),
                    change=None if change is None else json.dumps(change),
                    explanation=explanation[:_LONGEST_EXPLANATION],
                    created=moment,
                    expires=moment + LIFETIME_MS,
                )
            )
        self.on_change(actor.user_id)
        return identifier

    async def get(self, approval_id: str, actor: Actor) -> Question:
        """A question of the actor's own; for an administrator, of anybody's.

        Raises:
            ApprovalError: `approval_not_found`, also where it is somebody else's.
        """
        query = _questions().where(approvals.c.id == approval_id)
        if actor.role != "admin":
            query = query.where(approvals.c.user_id == actor.user_id)
        found = await self._read(query)
        if not found:
            raise ApprovalError("approval_not_found", "There is no such approval among yours.")
        return found[0]

    async def settle(self, question: Question, state: State, actor: Actor | None, reason: str = "") -> None:
        """Answer a question, once; of no actor where the host itself does.

        Raises:
            ApprovalError: `approval_expired` or `approval_answered`.
        """
        moment = now_ms()
        query = (
            update(approvals)
            .where(approvals.c.id == question.id, approvals.c.state == "pending", approvals.c.expires > moment)
            .values(state=state, reason=reason, decided=moment, decided_by=None if actor is None else actor.user_id)
            .returning(approvals.c.id)
        )
        async with self._database.begin() as connection:
            settled = (await connection.execute(query)).first() is not None
        if not settled:
            raise _expired() if question.expires <= moment else _answered()
        self.on_change(question.user_id)

    async def expire(self) -> list[Question]:
        """Settle every question whose time is over; returns those that this settled."""
        due = (approvals.c.state == "pending", approvals.c.expires <= now_ms())
        late = await self._read(_questions().where(*due))
        if not late:
            return []
        query = (
            update(approvals)
            .where(approvals.c.id.in_([question.id for question in late]), *due)
            .values(state="expired", decided=now_ms())
            .returning(approvals.c.id)
        )
        async with self._database.begin() as connection:
            settled = set((await connection.execute(query)).scalars())
        expired = [replace(question, state="expired") for question in late if question.id in settled]
        for user_id in {question.user_id for question in expired}:
            self.on_change(user_id)
        return expired

    async def pending(self, actor: Actor) -> list[Question]:
        """The actor's open questions, the oldest first."""
        return await self._read(_open().where(approvals.c.user_id == actor.user_id))

    async def pending_of_all(self) -> list[Question]:
        """Everybody's open questions, the oldest first: for administrators."""
        return await self._read(_open())

    async def states(self, approval_ids: Iterable[str]) -> dict[str, str]:
        """How some questions stand."""
        query = select(approvals.c.id, approvals.c.state).where(approvals.c.id.in_(list(approval_ids)))
        async with self._database.begin() as connection:
            return {row.id: row.state for row in (await connection.execute(query)).all()}

    async def _read(self, query: Select[Any]) -> list[Question]:
        async with self._database.begin() as connection:
            return [_question(row) for row in (await connection.execute(query)).mappings().all()]


def check_may_approve(question: Question, actor: Actor) -> None:
    """Check that a yes of somebody's would count; a no is looser.

    Raises:
        AccessError: `approval_needs_a_person`, `approval_not_yours`.
        ApprovalError: `approval_answered`.
    """
    if not actor.attended:
        raise AccessError(
            "approval_needs_a_person",
            "An API key cannot approve a call: nobody is there to look at it.",
            "Sign in and answer, or let the question expire, which refuses it.",
        )
    if question.user_id != actor.user_id:
        raise AccessError(
            "approval_not_yours",
            f"Only {question.username} can approve this call; an administrator can refuse it.",
            "Refuse it, or let its owner answer.",
        )
    if question.state == "approved":  # an errand's call cannot be made again, so nothing after this would say it
        raise _answered()


def _answered() -> ApprovalError:
    """Why a second answer is none."""
    return ApprovalError("approval_answered", "This question was answered already; an answer counts once.")


def _expired() -> ApprovalError:
    return ApprovalError(
        "approval_expired",
        "This question waited longer than ten minutes and counts as refused.",
        "Make the call again.",
    )


def _questions() -> Select[Any]:
    return (
        select(
            approvals,
            calls.c.tool,
            calls.c.arguments,
            calls.c.conversation_id,
            calls.c.plan,
            calls.c.actor,
            calls.c.decision,
            calls.c.result,
            users.c.username,
        )
        .join(calls, calls.c.id == approvals.c.call_id)
        .outerjoin(users, users.c.id == approvals.c.user_id)
        .order_by(approvals.c.created, approvals.c.id)
    )


def _open() -> Select[Any]:
    return _questions().where(approvals.c.state == "pending", approvals.c.expires > now_ms())


def _question(row: RowMapping) -> Question:
    # A question can be read before its call's result, which says no more; of old calls only the result is there.
    known = row["decision"]
    actor = {} if row["actor"] is None else json.loads(row["actor"])
    asked = json.loads(row["result"])["decision"] if known is None else json.loads(known)
    return Question(
        id=row["id"],
        call_id=row["call_id"],
        user_id=row["user_id"],
        username=row["username"] or row["user_id"],
        session_id=actor.get("session_id"),  # not known of calls from before this was written down
        key_id=actor.get("key_id"),
        digest=row["digest"],
        state=row["state"],
        reason=row["reason"],
        decided_by=row["decided_by"],
        scopes=tuple(json.loads(row["scopes"])),
        terms=json.loads(row["terms"]),
        tool=row["tool"],
        arguments=json.loads(row["arguments"]),
        conversation_id=row["conversation_id"],
        plan=json.loads(row["plan"]),
        decision=Decision(**{key: asked[key] for key in ("outcome", "code", "reason", "source")}),
        change=None if row["change"] is None else json.loads(row["change"]),
        explanation=row["explanation"],
        created=row["created"],
        expires=row["expires"],
    )
