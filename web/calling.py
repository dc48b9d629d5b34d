"""One call of a run: made through the host, shown while it runs, and waiting for whoever must be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from toolhost.approvals import Question
from toolhost.conversations import Conversations, EntryKind
from toolhost.host import Host
from toolhost.model import Actor, CallResult
from toolhost.web.live import LiveCall, Run
from toolhost.web.spelling import attempted_argv

__all__ = ["Calling", "Waiting", "Work"]

_LOOK_SECONDS = 0.25  # how often a call that runs elsewhere is looked at

Work = Callable[[], Awaitable[CallResult]]
"""What an answer sets going: the call itself, or its refusal."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call that waits for a person, and where its run hears of the answer."""

    run: Run
    call: LiveCall
    answered: asyncio.Future[Work]


class Calling:
    """Makes the calls of all runs.

    Args:
        host: The host.
        conversations: Where they are shown.
        on_wait: Told of a run that begins to wait for a person.
    """

    def __init__(self, host: Host, conversations: Conversations, on_wait: Callable[[Run], Awaitable[None]]) -> None:
        self._host = host
        self._conversations = conversations
        self._on_wait = on_wait
        self._waiting: dict[str, Waiting] = {}

    # Entries

    async def entry(
        self,
        run: Run,
        kind: EntryKind,
        *,
        text: str = "",
        call: LiveCall | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Add an entry to a run's conversation, and say so unless it is a model's: that has an event of its own."""
        assert run.conversation_id is not None
        entry = await self._conversations.append(
            run.actor.user_id,
            run.conversation_id,
            run_id=run.id,
            kind=kind,
            text=text,
            call_id=None if call is None else call.call_id,
            data=data,
        )
        shown = entry.as_json()
        if kind != "assistant":
            asked = {} if call is None or call.request_id is None else {"request_id": call.request_id}
            run.emit("entry.added", entry=shown, **asked)
        return shown

    # Calls

    def live(self, run: Run, call_id: str, tool: str, arguments: Mapping[str, Any]) -> LiveCall:
        """A call of a run as it is shown before anything is known of it."""
        call = LiveCall(
            call_id=call_id, tool=tool, arguments=arguments, argv=attempted_argv(self._host, tool, arguments)
        )
        run.calls[call_id] = call
        return call

    def asked(self, run: Run, question: Question) -> LiveCall:
        """A call of a run that is known from its question: the host was started again since, or it came by the API."""
        call = self.live(run, question.call_id, question.tool, question.arguments)
        call.plan, call.decision, call.created = question.plan, question.decision.as_json(), question.created
        return call

    async def carry_out(self, run: Run, call: LiveCall, arguments: Mapping[str, Any]) -> CallResult:
        """Make a call, and wait for whoever must be asked."""
        return await self.see_through(run, call, await self.begin(run, call, arguments))

    async def begin(self, run: Run, call: LiveCall, arguments: Mapping[str, Any]) -> CallResult:
        """Make a call; its result, or that a person must be asked."""
        if run.conversation_id is not None:
            await self.entry(run, "call", call=call)
        prepared = await self._host.prepare(
            call.tool, arguments, run.actor, conversation_id=run.conversation_id, call_id=call.call_id
        )
        asked = replace(prepared, explanation=call.explanation)
        return await self._host.carry_out(asked, on_event=partial(run.from_host, call))

    async def see_through(self, run: Run, call: LiveCall, result: CallResult) -> CallResult:
        """See a call to its result, however often somebody must be asked."""
        if not run.first_result.done():
            run.first_result.set_result(result)
        while result.status == "approval_required" and result.approval_id is not None:
            result = await self._answered(run, call, result.approval_id)
        if result.call_id == call.call_id:  # else another call took its place, and has told of itself
            run.finish(call, result)
        return result

    async def pick_up(self, run: Run, call_id: str) -> CallResult | None:
        """See a call through that an earlier process began; None where it stopped in the middle of it."""
        record = await self._host.call_record(call_id, run.actor)
        if record is None or record["result"] is None:
            return None
        result = CallResult.from_json(record["result"])
        if any(event["type"] == "tool.completed" and event["call_id"] == call_id for event in run.events):
            return result  # its watchers know
        call = run.calls.get(call_id) or self.live(run, call_id, record["tool"], record["arguments"])
        call.plan = record["plan"]
        return await self.see_through(run, call, result)

    # Answers

    def taken(self, approval_id: str) -> Waiting | None:
        """Whoever waits for an answer; from now on nobody does."""
        return self._waiting.pop(approval_id, None)

    def of(self, run: Run) -> list[str]:
        """The questions a run waits for."""
        return [key for key, value in self._waiting.items() if value.run is run]

    async def _answered(self, run: Run, call: LiveCall, approval_id: str) -> CallResult:
        """What becomes of a call once its question is settled, by whatever way."""
        answered: asyncio.Future[Work] = asyncio.get_running_loop().create_future()
        # Before anything is waited for: whoever stops the run from here on refuses its question.
        self._waiting[approval_id] = Waiting(run, call, answered)
        settled = asyncio.create_task(self._host.until_settled(approval_id, run.actor))
        try:
            run.wait_for(call, await self._host.question(approval_id, run.actor))
            await self._on_wait(run)
            run.tell()
            either: set[asyncio.Future[Any]] = {answered, settled}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                return await answered.result()()
            end = settled.result()
            if end is None:
                return await self.elsewhere(call.call_id, run.actor)
            if end.error is not None and end.error["code"] == "approval_expired":
                run.expire(call, approval_id)
            return end
        finally:
            settled.cancel()
            self._waiting.pop(approval_id, None)

    async def elsewhere(self, call_id: str, actor: Actor) -> CallResult:
        """The result of a call that was approved by another way than through here, once it has one."""
        while True:
            record = await self._host.call_record(call_id, actor)
            if record is not None and record["finished"] is not None and record["result"] is not None:
                return CallResult.from_json(record["result"])
            await asyncio.sleep(_LOOK_SECONDS)
