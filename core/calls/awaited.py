"""Calls that wait for a person while their parent runs on; answered, they go on where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolhost.calls.results import ended
from toolhost.errors import ApprovalError, UsageError
from toolhost.model import Call, CallResult
from toolhost.policy import Considered

if TYPE_CHECKING:
    from toolhost.approvals import Question, Scope
    from toolhost.calls.asking import Asking
    from toolhost.calls.records import CallRecords
    from toolhost.calls.telling import Telling

__all__ = ["Awaited", "AwaitedCalls"]


@dataclass(slots=True)
class Awaited:
    """One of them.

    Attributes:
        call: The call.
        answered: What was approved; or, where it was refused, what becomes of the call.
        result: What came of the call, for whoever approved it.
    """

    call: Call
    answered: asyncio.Future[Considered | CallResult] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    result: asyncio.Future[CallResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def refuse(self, result: CallResult) -> None:
        """Tell it at once that it was refused."""
        if not self.answered.done():
            self.answered.set_result(result)

    def go_on(self, considered: Considered) -> None:
        """Have it run what was approved."""
        if not self.answered.done():
            self.answered.set_result(considered)

    def fail(self, error: Exception) -> None:
        """Have it end where a yes was given that cannot be acted upon."""
        if not self.answered.done():
            self.answered.set_exception(error)
            self.answered.exception()  # it may have ended meanwhile: then nobody reads it

    def end(self, result: CallResult | None) -> None:
        """Tell whoever approved it how it ended; None where it was given up before it ran."""
        if self.result.done():
            return
        if result is not None:
            self.result.set_result(result)
            return
        self.result.set_exception(
            ApprovalError("plan_changed", "The call that asked for this has ended.", "Make the call again.")
        )
        self.result.exception()  # nobody may be waiting, and that is no mistake


class AwaitedCalls:
    """All of them. One per host.

    Args:
        asking: The questions.
        records: The calls.
    """

    def __init__(self, asking: Asking, records: CallRecords) -> None:
        self._asking = asking
        self._records = records
        self._open: dict[str, Awaited] = {}
        self._taking: set[asyncio.Task[None]] = set()

    def get(self, call_id: str) -> Awaited | None:
        """The one of this call, or None."""
        return self._open.get(call_id)

    async def approve(self, awaited: Awaited, question: Question, considered: Considered, scope: Scope) -> CallResult:
        """Take a yes, have the call go on with it, and wait for what comes of it.

        Both happen also where whoever said yes is gone before they hear of it: a yes that is written down counts.

        Raises:
            ApprovalError: `approval_answered`, `approval_expired`, `plan_changed`.
            UsageError: `scope_not_offered`.
        """

        async def take() -> None:
            try:
                await self._asking.approve(question, awaited.call, considered, scope)
            except (ApprovalError, UsageError):
                raise  # no yes was taken
            except Exception as error:
                awaited.fail(error)
                raise
            awaited.go_on(considered)

        taking = asyncio.create_task(take(), name=f"approve {question.id}")
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)
        await asyncio.shield(taking)
        return await asyncio.shield(awaited.result)

    async def ask(
        self,
        call: Call,
        considered: Considered,
        telling: Telling,
        run: Callable[[Considered, str], Awaitable[CallResult]],
    ) -> CallResult:
        """Ask about a call, wait for the answer, and run it on a yes.

        Args:
            call: The call.
            considered: What came of it.
            telling: Tells its parent's listener that somebody is asked.
            run: Runs what was approved, under the question's id.
        """
        self._records.begin(call, considered.decision, considered.plan, "approval_required")
        approval_id = await self._asking.ask(call, considered)
        awaited = self._open[call.id] = Awaited(call)  # before anything is waited for: from here on it can be stopped
        self._records.finish(ended(call, "approval_required", considered.decision, approval_id=approval_id))
        elsewhere = asyncio.ensure_future(self._asking.until_settled(approval_id, call.actor))
        result: CallResult | None = None
        try:
            question = await self._asking.question(approval_id, call.actor)
            telling.asked(question, call)
            answer = await self._answer(awaited, elsewhere)
            del self._open[call.id]
            telling.answered(question, call, approved=isinstance(answer, Considered))
            result = await run(answer, approval_id) if isinstance(answer, Considered) else answer
            return result
        finally:
            elsewhere.cancel()
            if self._open.pop(call.id, None) is not None and not await self._asking.withdraw(approval_id, call.actor):
                # A yes came in this very moment, and what it was for has ended.
                self._records.finish(ended(call, "cancelled", considered.decision, approval_id=approval_id))
            awaited.end(result)

    @staticmethod
    async def _answer(awaited: Awaited, elsewhere: asyncio.Future[CallResult | None]) -> Considered | CallResult:
        await asyncio.wait((awaited.answered, elsewhere), return_when=asyncio.FIRST_COMPLETED)
        if not awaited.answered.done() and (settled := elsewhere.result()) is not None:
            return settled
        # A yes comes from this process, for nobody else has the call: it may be written down and not said yet.
        return await awaited.answered
