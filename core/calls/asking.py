"""Asking a person: the question, its answer, and the grants that answer for a person who has answered before.

The pipeline decides *that* somebody is asked and what happens on a yes; everything between is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from toolhost.approvals import (
    Approvals,
    Grant,
    Grants,
    Question,
    Scope,
    Terms,
    approval_digest,
    rules_digests,
    scopes_of,
    terms_of,
)
from toolhost.approvals.grants import RevokedBecause
from toolhost.approvals.questions import State
from toolhost.approvals.watch import Watch
from toolhost.calls.change import Change, change_of
from toolhost.calls.results import ended, not_run
from toolhost.errors import ApprovalError, UsageError
from toolhost.model import Actor, Call, CallResult
from toolhost.policy.courtesy import courteous
from toolhost.policy.taint import TAINTED
from toolhost.policy.values import Policy, Rule, ToolRule
from toolhost.sandbox.uninterrupted import to_the_end, whole

if TYPE_CHECKING:
    from toolhost.audit import AuditLog
    from toolhost.calls.records import CallRecords
    from toolhost.policy import Considered, PolicyStore
    from toolhost.storage import Database

__all__ = ["Asking"]


class Asking:
    """Questions and grants. One per host."""

    def __init__(self, database: Database, *, records: CallRecords, audit: AuditLog, policies: PolicyStore) -> None:
        """Prepare; nothing is read yet.

        Args:
            database: Where questions and grants are kept.
            records: The calls they are about.
            audit: Where every step is recorded.
            policies: The rules that grants live by.
        """
        self._approvals = Approvals(database)
        self._grants = Grants(database)
        self._records = records
        self._audit = audit
        self._policies = policies
        self._watch = Watch(self._approvals, self._expire)
        self._digests: dict[str, tuple[Policy, frozenset[str]]] = {}

    def on_change(self, told: Callable[[str], None]) -> None:
        """Have somebody told whose other questions are open than before."""
        self._approvals.on_change = told

    async def start(self) -> None:
        """Take over what an earlier process left: settle what is late, watch over what is open, end what ended."""
        await self._expire()
        for question in await self._approvals.pending_of_all():
            self._watch.expect(question.expires)
        await self.sweep()

    async def close(self) -> None:
        """Stop looking for answers."""
        await self._watch.close()

    # -- before a question -----------------------------------------------------------------------------------------

    async def covered(self, call: Call, considered: Considered) -> Grant | None:
        """The grant that answers for this person, used and recorded; or None, and they must be asked."""
        scopes = scopes_of(considered, call)
        if scopes == ("once",):
            return None
        rules = rules_digests(considered.asked_by)
        for grant in await self._grants.covering(self._terms(call, considered), call.actor, call.conversation_id):
            if grant.rules != rules:
                await self._outlived(grant)
            elif grant.scope in scopes and await self._grants.use(grant, call.actor):
                self._record("grant.used", call, considered, grant_id=grant.id, scope=grant.scope)
                return grant
        return None

    async def ask(self, call: Call, considered: Considered) -> str:
        """Write down a question; returns its id. Where the call is stopped meanwhile, no question is left open."""
        try:
            change = await self._change(call, considered)
        except asyncio.CancelledError:
            self._records.finish(ended(call, "cancelled", considered.decision))
            raise
        asking = asyncio.ensure_future(
            self._approvals.ask(
                call.id,
                call.actor,
                self._digest(call, considered, change),
                scopes_of(considered, call),
                self._terms(call, considered),
                change=None if change is None else change.as_json(),
                explanation=call.explanation,
            )
        )
        interrupted = await to_the_end(asking)
        approval_id = asking.result()
        self._watch.expect()
        shown = {} if change is None else {"change_digest": change.digest}
        self._record("approval.requested", call, considered, approval_id=approval_id, **shown)
        if interrupted:  # nobody was told of it
            await self.withdraw(approval_id, call.actor)
            raise asyncio.CancelledError
        return approval_id

    # -- the answer ------------------------------------------------------------------------------------------------

    async def question(self, approval_id: str, actor: Actor) -> Question:
        """A question the actor may answer: their own; for an administrator, who can refuse it, anybody's.

        Raises:
            ApprovalError: `approval_not_found`.
        """
        await self._records.flush()  # a question is read together with its call
        return await self._approvals.get(approval_id, actor)

    async def approve(self, question: Question, call: Call, considered: Considered, scope: Scope) -> None:
        """Take a yes, if what would run now is what was asked about. Interrupted, it is taken all the same, and its
        call has ended.

        Raises:
            ApprovalError: `approval_answered`, `approval_expired`, `plan_changed`.
            UsageError: `scope_not_offered`; the question stays open.
        """
        taking = asyncio.ensure_future(self._approve(question, call, considered, scope))
        interrupted = await to_the_end(taking)
        if interrupted and taking.exception() is None:
            self._records.finish(ended(call, "cancelled", considered.decision, approval_id=question.id))
        if interrupted:
            raise asyncio.CancelledError
        taking.result()

    async def _approve(self, question: Question, call: Call, considered: Considered, scope: Scope) -> None:
        change = await self._change(call, considered)
        if considered.plan is None or self._digest(call, considered, change) != question.digest:
            await self._settle(question, "changed", call.actor)
            raise ApprovalError(
                "plan_changed",
                "What would run now is not what was asked about: a policy, a plugin, a path or a file that it changes "
                "has changed since, or the conversation has taken in content from elsewhere.",
                "Make the call again and look at the new question.",
            )
        # As asked and as now: a yes in person to what a program asked counts for that alone.
        offered = [name for name in scopes_of(considered, call) if name in question.scopes]
        if scope not in offered:
            raise UsageError(
                "scope_not_offered",
                f"A yes to this call cannot count for `{scope}`.",
                f"It can count for: {', '.join(f'`{name}`' for name in offered)}.",
            )
        await self._approvals.settle(question, "approved", call.actor)

        def record(grant_id: str | None) -> None:
            self._record("approval.approved", call, considered, approval_id=question.id, scope=scope, grant_id=grant_id)

        if scope == "once":
            record(None)
        else:
            await self._grants.give(question, scope, rules_digests(considered.asked_by), record)

    async def withdraw(self, approval_id: str, actor: Actor) -> bool:
        """Settle a question that nobody waits for any more; False where it was settled a moment ago."""
        with suppress(ApprovalError):
            question = await self.question(approval_id, actor)
            await self._settle(question, "refused", actor, "what asked for it has ended")
            return True
        return False

    async def withdraw_all(self, reason: str) -> None:
        """Refuse everything that is open, whoever's it is: what was asked before everything was stopped is over."""
        await self._records.flush()
        for question in await self._approvals.pending_of_all():
            with suppress(ApprovalError):
                await self._settle(question, "refused", None, reason)

    async def refuse(self, question: Question, actor: Actor, reason: str) -> CallResult:
        """Take a no; returns what becomes of the call.

        Raises:
            ApprovalError: `approval_answered`, `approval_expired`.
        """
        return await self._settle(question, "refused", actor, reason)

    async def until_settled(self, approval_id: str, actor: Actor) -> CallResult | None:
        """Wait until a question is answered, by whatever way, or its time is over.

        Returns:
            What became of the call; None for a yes, after which it runs.
        """
        await self._watch.until_settled(approval_id)
        question = await self.question(approval_id, actor)
        return None if question.state == "approved" else not_run(question)

    async def _settle(self, question: Question, state: State, actor: Actor | None, reason: str = "") -> CallResult:
        """Take a no, and record it: whoever gives it may be told to stop meanwhile."""
        return await whole(self._settled(question, state, actor, reason))

    async def _settled(self, question: Question, state: State, actor: Actor | None, reason: str) -> CallResult:
        await self._approvals.settle(question, state, actor, reason)
        by = None if actor is None else actor.user_id
        return self._ended(replace(question, state=state, reason=reason, decided_by=by), actor)

    async def _expire(self) -> None:
        await self._records.flush()
        await whole(self._expired())

    async def _expired(self) -> None:
        for question in await self._approvals.expire():
            self._ended(question, None)

    def _ended(self, question: Question, actor: Actor | None) -> CallResult:
        """Record the end of a question that was not answered with yes, and of its call."""
        result = not_run(question)
        self._audit.write(
            "security",
            f"approval.{question.state}",
            {
                "tool": question.tool,
                "approval_id": question.id,
                "owner": question.user_id,
                "plan_digest": question.plan["plan_digest"],
                "rule": question.decision.source,
                "reason": question.reason,
            },
            actor=actor,
            call_id=question.call_id,
        )
        self._records.finish(result)
        return result

    # -- looking ---------------------------------------------------------------------------------------------------

    async def pending(self, actor: Actor) -> list[Question]:
        """The actor's open questions, the oldest first."""
        await self._expire()
        return await self._approvals.pending(actor)

    async def pending_of_all(self) -> list[Question]:
        """Everybody's open questions, the oldest first: for administrators."""
        await self._expire()
        return await self._approvals.pending_of_all()

    async def grants(self, actor: Actor) -> list[Grant]:
        """The actor's grants that still hold, the newest first."""
        await self.sweep()
        return await self._grants.living(actor)

    async def sweep(self) -> None:
        """End every grant whose rule is not in force any more: what is changed back later does not revive it."""
        for grant in await self._grants.living_of_all():
            if not await self._rules_in_force(grant.tool) >= set(grant.rules):
                await self._outlived(grant)

    async def revoke(self, grant_id: str, actor: Actor) -> None:
        """End one of the actor's grants.

        Raises:
            ApprovalError: `grant_not_found`.
        """
        await whole(self._revoke(grant_id, actor.user_id, actor, "person"))

    # -- the inside ------------------------------------------------------------------------------------------------

    async def _outlived(self, grant: Grant) -> None:
        with suppress(ApprovalError):  # somebody else ended it first
            await whole(self._revoke(grant.id, grant.user_id, None, "rule_changed"))

    async def _revoke(self, grant_id: str, owner: str, actor: Actor | None, because: RevokedBecause) -> None:
        grant = await self._grants.revoke(grant_id, owner, because)
        self._audit.write(
            "security",
            "grant.revoked",
            {
                "tool": grant.tool,
                "grant_id": grant.id,
                "owner": grant.user_id,
                "scope": grant.scope,
                "rule": grant.source,
                "because": because,
            },
            actor=actor,
        )

    async def _rules_in_force(self, tool: str) -> frozenset[str]:
        """The digests of a plugin's rules, made once for each version of its policy: those of thousands take a while,
        and the event loop would stand still for it.
        """
        plugin = tool.partition(".")[0]
        policy = self._policies.current.policy(plugin)
        if policy is None:
            return frozenset()
        known = self._digests.get(plugin)
        if known is None or known[0] is not policy:
            known = self._digests[plugin] = policy, await asyncio.to_thread(_digests_of, (*policy.rules, *policy.tools))
        return known[1]

    @staticmethod
    def _digest(call: Call, considered: Considered, change: Change | None) -> str:
        assert considered.plan is not None
        shown = None if change is None else change.digest
        tainted = considered.decision.code == TAINTED
        return approval_digest(considered.plan, call.actor.user_id, call.conversation_id, shown, tainted=tainted)

    @staticmethod
    async def _change(call: Call, considered: Considered) -> Change | None:
        """What would change in files as they are now; None where the tool does not say, or nothing would run."""
        if considered.plan is None or call.errand is not None:
            return None
        return await change_of(call.tool.change, considered.arguments, considered.plan)

    def _terms(self, call: Call, considered: Considered) -> Terms:
        assert considered.plan is not None
        return terms_of(considered.plan, call)

    def _record(self, event: str, call: Call, considered: Considered, **more: object) -> None:
        assert considered.plan is not None
        self._audit.write(
            "security",
            event,
            {
                "tool": call.tool.name,
                "plan_digest": considered.plan.digest,
                "rule": considered.decision.source,
                **more,
            },
            actor=call.actor,
            call_id=call.id,
        )


@courteous()
def _digests_of(rules: Iterable[Rule | ToolRule]) -> frozenset[str]:
    return frozenset(digest for rule in rules for digest in rules_digests((rule,)))
