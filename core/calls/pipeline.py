"""The one way through: plan, decide, approve, audit the intent, run, audit the outcome.

The chat, a slash command, REST and the command line all come through `Pipeline.call`; an approval's answer re-enters it
at `Pipeline.answer`. There is no second path to execution.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolhost.approvals.questions import QUESTION, check_may_approve
from toolhost.calls.awaited import AwaitedCalls
from toolhost.calls.errands import PluginErrands
from toolhost.calls.hooked import HookedCalls
from toolhost.calls.inquiries import Inquiries
from toolhost.calls.produced import checked
from toolhost.calls.recording import Recording
from toolhost.calls.records import CallRecords
from toolhost.calls.requested import request_of
from toolhost.calls.results import ended, failed, from_outcome, from_reply, redacted, unattended
from toolhost.calls.running import Running
from toolhost.calls.secrets import read_secrets
from toolhost.calls.standing import check_looked_at, check_stands
from toolhost.calls.taints import Taints
from toolhost.calls.telling import OnEvent, Telling
from toolhost.calls.turns import Turns
from toolhost.errors import MachineError, ToolHostError
from toolhost.model import Actor, Call, CallResult
from toolhost.policy import Considered, Recall, Request, plan_view
from toolhost.policy.labels import REACHING
from toolhost.policy.taint import judged
from toolhost.redaction import Redaction
from toolhost.sandbox.errors import SandboxError, SandboxUnavailable
from toolhost.sandbox.halt import Halt
from toolhost.sandbox.plan import NO_SECRETS
from toolhost.sandbox.uninterrupted import whole

if TYPE_CHECKING:
    from toolhost.approvals import Answer
    from toolhost.audit import AuditLog
    from toolhost.calls.asking import Asking
    from toolhost.panic import PanicSwitch
    from toolhost.pluginhost import PluginRegistry
    from toolhost.policy import PolicyStore
    from toolhost.sandbox import Connection, Reservation, Sandbox
    from toolhost.sandbox.plan import SandboxPlan

__all__ = ["OnEvent", "Pipeline"]

_logger = logging.getLogger(__name__)


_NO_REDACTION = Redaction()


def _ignore(event: dict[str, Any]) -> None:
    """The listener of a call nobody watches."""


class Pipeline:
    """Carries calls through. One per host."""

    def __init__(
        self,
        *,
        policies: PolicyStore,
        plugins: PluginRegistry,
        sandbox: Sandbox | None,
        sandbox_problem: SandboxError | None,
        audit: AuditLog,
        asking: Asking,
        records: CallRecords,
        taints: Taints,
        panic: PanicSwitch,
        hooked: HookedCalls,
    ) -> None:
        self._policies = policies
        self._plugins = plugins
        self._sandbox = sandbox
        self._sandbox_problem = sandbox_problem
        self._record = Recording(audit)
        self._asking = asking
        self._records = records
        self._taints = taints
        self._hooked = hooked
        self._panic = panic
        self._running: dict[str, Running] = {}
        self._awaited = AwaitedCalls(asking, records)
        self._turns = Turns()
        self._recall = Recall()
        self.inquiries = Inquiries(audit)

    def request(self, call: Call) -> Request:
        """What a call asks of the policy."""
        return request_of(call, self._plugins)

    def consider(self, request: Request) -> Considered:
        """Resolve, decide and plan, without doing anything: what `explain` shows is what a call gets."""
        return self._hooked.tightened(request, self._recall.consider(request, self._policies.current))

    async def call(self, call: Call, *, approve: bool = False, on_event: OnEvent = _ignore) -> CallResult:
        """Carry one call as far as it goes: to its result, its denial, or the question it waits for.

        Args:
            call: The call, its arguments checked.
            approve: Answer an `ask` with yes at once, on behalf of the actor (the local administrator's `--approve`).
            on_event: Told of `tool.started`, `tool.output` (`data` is bytes) and `tool.progress` as they happen.

        Raises:
            ToolHostError: `audit_unavailable` where a denial could not be recorded; `too_many_calls`; `panicked`.
        """
        self._panic.check()
        with self._turns.admit(call.actor.user_id):
            return await self._call(call, approve=approve, on_event=on_event)

    async def _call(self, call: Call, *, approve: bool, on_event: OnEvent) -> CallResult:
        considered = await self._consider(call)
        decision, plan = considered.decision, considered.plan
        if decision.outcome == "deny" or plan is None:
            return self._deny(call, considered)
        if decision.outcome == "allow":
            self._records.begin(call, decision, plan, "running")
            return await self._run(call, considered, None, on_event)
        if not approve and (grant := await self._asking.covered(call, considered)) is not None:
            self._records.begin(call, decision, plan, "running")
            return await self._run(call, considered, grant.id, on_event)
        self._records.begin(call, decision, plan, "running" if approve else "approval_required")
        approval_id = await self._asking.ask(call, considered)
        result = ended(call, "approval_required", decision, approval_id=approval_id)
        self._records.finish(result)
        if not approve:
            return result
        question = await self._asking.question(approval_id, call.actor)
        await self._asking.approve(question, call, considered, "once")
        return await self._run(call, considered, approval_id, on_event)

    async def answer(
        self,
        approval_id: str,
        actor: Actor,
        answer: Answer,
        *,
        restore: Callable[[Mapping[str, Any], Actor], Call],
        on_event: OnEvent = _ignore,
    ) -> CallResult:
        """Answer a question, and on a yes carry its call out if its plan is still the one that was asked about.

        Args:
            approval_id: The question.
            actor: Who answers: the one who made the call; an administrator can refuse for anybody.
            answer: Yes or no, why not, and how far a yes reaches.
            restore: Makes the call again from its stored row.
            on_event: As for `call`.

        Raises:
            ApprovalError: `approval_not_found`, `approval_answered`, `approval_expired`, `plan_changed`.
            AccessError: `approval_not_yours`, `approval_needs_a_person`.
            UsageError: `scope_not_offered`.
            BusyError: `too_many_calls`; the question stays open.
            MachineError: `panicked`; likewise.
        """
        question = await self._asking.question(approval_id, actor)
        if answer.approve:
            self._panic.check()
        awaited = self._awaited.get(question.call_id)
        if not answer.approve:
            result = await self._asking.refuse(question, actor, answer.reason)
            if awaited is not None:
                awaited.refuse(result)
            return result
        check_may_approve(question, actor)
        if awaited is not None:
            considered = await self._consider(awaited.call)
            return await self._awaited.approve(awaited, question, considered, answer.scope)
        with self._turns.admit(actor.user_id):
            row = await self._records.row(question.call_id, actor)
            assert row is not None  # the question was read together with it
            # An errand that nobody awaits any more may have been answered since: then that is why it is over.
            check_may_approve(await self._asking.question(approval_id, actor), actor)
            call = restore(row, actor)
            considered = await self._consider(call)
            await self._asking.approve(question, call, considered, answer.scope)
            return await self._run(call, considered, approval_id, on_event)

    def awaits(self, call_id: str) -> bool:
        """Whether a call waits for its answer where it is, because it is an errand of another call."""
        return self._awaited.get(call_id) is not None

    def cancel(self, call_id: str, actor: Actor) -> bool:
        """End a running call that the actor owns (any call, for an administrator). False where there is none."""
        running = self._running.get(call_id)
        if running is None or not (actor.owns(running.actor) or (actor.attended and actor.role == "admin")):
            return False
        running.stop()
        return True

    def withhold(self, problem: SandboxError | None) -> None:
        """Run nothing for this reason, until it is None."""
        self._sandbox_problem = problem

    async def withdraw_questions(self, reason: str) -> None:
        """Refuse every open question."""
        await self._asking.withdraw_all(reason)

    async def end_calls(self, which: Callable[[Actor, str], bool] = lambda actor, plugin: True) -> int:
        """End running calls, those of some actors or plugins or all, and wait until each has been recorded."""
        running = [one for one in self._running.values() if which(one.actor, one.plugin)]
        for one in running:
            one.stop()
        for one in running:
            await one.over.wait()
        return len(running)

    async def _errand(
        self,
        call: Call,
        on_event: OnEvent,
        redaction: Redaction,
        standing: Callable[[], AbstractContextManager[None]],
        telling: Telling,
    ) -> CallResult:
        """Carry what a running call's worker asks for to its end, which is the same way but for what its parent holds.

        Args:
            call: The errand's call.
            on_event: Told of its output.
            redaction: The parent's secrets.
            standing: Stops the parent's clock while a person is asked.
            telling: Tells of the parent.
        """
        self._panic.check()
        considered = await self._consider(call)
        decision, plan = considered.decision, considered.plan
        if decision.outcome == "deny" or plan is None:
            return self._deny(call, considered)
        settled: str | None = None
        if decision.outcome == "ask" and (grant := await self._asking.covered(call, considered)) is not None:
            settled = grant.id
        elif decision.outcome == "ask":
            if not call.attended:
                return self._deny(call, replace(considered, decision=unattended(decision), plan=None))
            with standing():
                return await self._awaited.ask(
                    call,
                    considered,
                    telling,
                    lambda approved, by: self._run(call, approved, by, on_event, redaction),
                )
        self._records.begin(call, decision, plan, "running")
        return await self._run(call, considered, settled, on_event, redaction)

    async def _consider(self, call: Call) -> Considered:
        """The same, and an `ask` where what the call's conversation has taken in demands a person."""
        considered = await self._hooked.authorized(call, self.consider(self.request(call)))
        plan = considered.plan
        if plan is None or call.conversation_id is None or REACHING.isdisjoint(plan.labels):
            return considered
        external = await self._taints.of(call.actor.user_id, call.conversation_id)
        return replace(considered, decision=judged(considered.decision, plan.labels, external))

    async def _check_taint(self, call: Call, considered: Considered, approval_id: str | None) -> None:
        """Refuse what may not start unseen any more, because the conversation took something in while it waited."""
        plan = considered.plan
        assert plan is not None
        in_person = approval_id is not None and approval_id.startswith(f"{QUESTION}_")  # a grant looks at nothing
        if in_person or call.conversation_id is None or REACHING.isdisjoint(plan.labels):
            return
        external = await self._taints.of(call.actor.user_id, call.conversation_id)
        check_looked_at(considered.decision, plan.labels, external)

    async def _take_in(self, call: Call, considered: Considered, on_event: OnEvent) -> None:
        """Mark the call's conversation where the call is the first of its tool to bring content from elsewhere."""
        if call.conversation_id is not None and considered.origins:
            await whole(self._taken_in(call, considered, on_event))

    async def _taken_in(self, call: Call, considered: Considered, on_event: OnEvent) -> None:
        if not await self._taints.mark(call, considered.origins):
            return
        assert call.conversation_id is not None
        self._record.tainted(call, considered.origins)
        external = await self._taints.of(call.actor.user_id, call.conversation_id)
        on_event(
            {
                "type": "conversation.tainted",
                "conversation_id": call.conversation_id,
                "external_content": [one.as_json() for one in external],
            }
        )

    def _deny(self, call: Call, considered: Considered) -> CallResult:
        decision = considered.decision
        self._record.denied(call, considered, self._attempted(call))
        result = ended(call, "denied", decision)
        self._records.begin(call, decision, None, "denied")
        self._records.finish(result)
        return result

    def _attempted(self, call: Call) -> object:
        if call.errand is not None:
            return list(call.errand.argv)
        return list(self._plugins.argv(call.tool, call.arguments)) if call.tool.command else dict(call.arguments)

    async def _run(
        self,
        call: Call,
        considered: Considered,
        approval_id: str | None,
        on_event: OnEvent,
        redaction: Redaction = _NO_REDACTION,
    ) -> CallResult:
        """Run a decided call, recorded however it ends, and in nobody's way to be stopped."""
        task = asyncio.current_task()
        assert task is not None
        running = self._running[call.id] = Running(call.actor, call.tool.plugin, task)
        cancelled = task.cancelling()
        try:
            result = await self._execute(call, considered, approval_id, on_event, redaction)
        finally:
            del self._running[call.id]
            self.inquiries.forget(call.id)
            running.over.set()
        if running.stopped:
            task.uncancel()
        if task.cancelling() > cancelled:
            # Whoever waits for the call was cancelled: the call has ended too, and is recorded.
            raise asyncio.CancelledError
        return result

    async def _execute(
        self, call: Call, considered: Considered, approval_id: str | None, on_event: OnEvent, redaction: Redaction
    ) -> CallResult:
        plan, decision = considered.plan, considered.decision
        assert plan is not None
        # A sandbox is begun while the intent is recorded; nothing runs in it before that is.
        with self._reserved(call, plan) as reservation:
            try:
                self._record.intent(call, plan, decision, approval_id)
            except MachineError as error:
                result = failed(call, "unavailable", decision, error, approval_id)
                self._records.finish(result)
                return result
            result = await self._between(call, considered, approval_id, on_event, redaction, reservation)
            try:
                result = await self._hooked.transformed(call, result)
            except asyncio.CancelledError:  # `_run` goes on with it; what was not transformed is shown to nobody
                stopped = ended(call, "cancelled", decision, approval_id=approval_id)
                result = replace(stopped, duration_ms=result.duration_ms)
            if result.status == "error" and self._panic.current() is not None:
                result = replace(result, status="cancelled")  # it was killed from below
            result = self._record.outcome(call, plan, result)
        self._records.finish(result)
        return result

    def _reserved(self, call: Call, plan: SandboxPlan) -> AbstractContextManager[Reservation | None]:
        """What the sandbox has ready for a call that will not wait for its turn."""
        if self._sandbox is None or self._sandbox_problem is not None or call.parent_id is not None:
            return nullcontext()
        is_free = self._turns.is_free(call.actor.user_id, call.tool.plugin, plan.limits.calls)
        return self._sandbox.reserve(plan) if is_free else nullcontext()

    async def _between(
        self,
        call: Call,
        considered: Considered,
        approval_id: str | None,
        on_event: OnEvent,
        redaction: Redaction,
        reservation: Reservation | None,
    ) -> CallResult:
        """What happens between a call's intent and its outcome; never raises."""
        plan, decision = considered.plan, considered.decision
        assert plan is not None
        started = time.perf_counter()
        try:
            if self._sandbox is None or self._sandbox_problem is not None:
                raise self._sandbox_problem or SandboxUnavailable("sandbox_unavailable", "There is no sandbox.")
            turn = self._turns.turn(call.actor.user_id, call.tool.plugin, plan.limits.calls)
            # An errand has its parent's turn, which waits for it.
            async with turn if call.parent_id is None else nullcontext():
                await self._check_taint(call, considered, approval_id)
                if on_event is not _ignore:
                    on_event(
                        {
                            "type": "tool.started",
                            "call_id": call.id,
                            "tool": call.tool.name,
                            "plan": plan.derived("view", plan_view),
                            "decision": decision.as_json(),
                        }
                    )
                secrets = read_secrets(considered.secrets) if plan.secrets else NO_SECRETS
                redaction = Redaction(secrets.values()) if secrets else redaction
                heard = on_event is not _ignore
                telling = Telling(call.id, self._hooked.shown(call, on_event), redaction, heard=heard)
                await self._take_in(call, considered, on_event)
                async with self._hooked.around(call):
                    self._hooked.executing(call, plan)
                    result = await self._inside(
                        self._sandbox, call, considered, approval_id, secrets, telling, reservation, started
                    )
                    result = redacted(result, redaction)
                    self._hooked.executed(call, plan, result)
                return result
        except asyncio.CancelledError:
            result = ended(call, "cancelled", decision, approval_id=approval_id)
        except SandboxUnavailable as error:
            result = failed(call, "unavailable", decision, error, approval_id)
        except (SandboxError, ToolHostError) as error:
            result = failed(call, "error", decision, error, approval_id)
        except Exception:
            _logger.error("the call %s failed inside the host\n%s", call.id, redaction.text(traceback.format_exc()))
            broken = ToolHostError("internal_error", "The host failed to carry out this call.", "Its log says why.")
            result = failed(call, "error", decision, broken, approval_id)
        return replace(redacted(result, redaction), duration_ms=(time.perf_counter() - started) * 1000)

    async def _inside(
        self,
        sandbox: Sandbox,
        call: Call,
        considered: Considered,
        approval_id: str | None,
        secrets: Mapping[str, bytes],
        telling: Telling,
        reservation: Reservation | None,
        started: float,
    ) -> CallResult:
        plan, decision = considered.plan, considered.decision
        assert plan is not None

        def before_start() -> None:
            if self._panic.current() is not None:
                raise Halt.refusal()
            check_stands(
                considered, self._policies.current, call.tool.plugin, lambda: self.consider(self.request(call))
            )

        if plan.kind == "worker":

            async def carry(
                errand: Call,
                listen: OnEvent,
                redaction: Redaction,
                standing: Callable[[], AbstractContextManager[None]],
            ) -> CallResult:
                def told(event: dict[str, Any]) -> None:
                    (telling.tainted if event["type"] == "conversation.tainted" else listen)(event)

                return await self._errand(errand, told, redaction, standing, telling)

            reply = await self._plugins.invoke(
                call,
                plan,
                considered.arguments,
                secrets=secrets,
                before_start=before_start,
                on_progress=telling.progress,
                errands=PluginErrands(
                    call,
                    plan.limits.output,
                    telling.redaction,
                    carry,
                    lambda wanted, standing: self.inquiries.ask(call, wanted, telling, standing),
                ),
            )
            return from_reply(call, plan, decision, approval_id, await checked(call, plan, reply), started)

        def connection(made: Connection) -> None:
            self._record.connection(call, made, telling.redaction)

        outcome = await sandbox.run(
            plan,
            reservation,
            stdin=b"" if call.errand is None else call.errand.stdin,
            secrets=secrets,
            on_output=telling.output,
            on_connection=connection,
            before_start=before_start,
        )
        telling.end(cut=outcome.truncated)
        if telling.redaction:  # of bytes first: a secret need not be text
            out, err = (telling.redaction.data(one, cut=outcome.truncated) for one in (outcome.stdout, outcome.stderr))
            outcome = replace(outcome, stdout=out, stderr=err)
        return from_outcome(call, plan, decision, approval_id, outcome, started)
