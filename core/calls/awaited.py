"""Calls that wait for a person while their parent runs on; answered, they go on where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolhost.calls.results import ended
from toolhost.errors import ApprovalError
from toolhost.model import Call, CallResult
from toolhost.policy import Considered

if TYPE_CHECKING:
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

    async def go_on(self, considered: Considered) -> CallResult:
        """Have it run what was approved, and wait for what comes of it."""
        self.answered.set_result(considered)
        return await asyncio.shield(self.result)

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

    def get(self, call_id: str) -> Awaited | None:
        """The one of this call, or None."""
        return self._open.get(call_id)

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
        self._records.finish(ended(call, "approval_required", considered.decision, approval_id=approval_id))
        question = await self._asking.question(approval_id, call.actor)
        awaited = self._open[call.id] = Awaited(call)
        elsewhere = asyncio.ensure_future(self._asking.until_settled(approval_id, call.actor))
        telling.asked(question, call)
        result: CallResult | None = None
        try:
            await asyncio.wait((awaited.answered, elsewhere), return_when=asyncio.FIRST_COMPLETED)
            answer = awaited.answered.result() if awaited.answered.done() else elsewhere.result()
            del self._open[call.id]
            telling.answered(question, call, approved=isinstance(answer, Considered))
            if isinstance(answer, Considered):
                result = await run(answer, approval_id)
            else:
                assert answer is not None  # a yes comes from this process: nobody else has the call
                result = answer
            return result
        finally:
            elsewhere.cancel()
            if self._open.pop(call.id, None) is not None:
                await self._asking.withdraw(question, call.actor)
            awaited.end(result)
