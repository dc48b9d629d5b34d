"""Runs: what a message or a call sets going. A run belongs to the host, not to the socket that started it.

Closing the page does not stop a run; any number of sockets see the same one. What a run did is a list of events with
growing numbers, so that whoever comes late, or back, reads on from where they were. Exactly one event ends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from toolhost.approvals import Answer, Question
from toolhost.calls.arguments import prepare as prepare_arguments
from toolhost.calls.words import parse_line, parse_words
from toolhost.conversations import Conversation, Conversations, EntryKind
from toolhost.errors import AccessError, ApprovalError, ToolHostError, UsageError
from toolhost.host import Host
from toolhost.identifiers import new_id
from toolhost.model import Actor, CallResult, Tool
from toolhost.web.live import LiveCall, Run
from toolhost.web.spelling import attempted_argv, spell

__all__ = ["AT_ONCE", "LONGEST_MESSAGE", "Open", "Runs"]

Open = Callable[[], Awaitable[Conversation]]
"""Opens the conversation a run is for, once it is clear that there will be a run: a mistake makes no conversation."""

_log = logging.getLogger("toolhost.web")

AT_ONCE = 8
"""Runs that one conversation may have under way."""

LONGEST_MESSAGE = 256 * 1024
"""Characters of one message."""

_KEPT_SECONDS = 300.0  # how long a finished run can still be replayed
_LOOK_SECONDS = 0.25  # how often a call that runs elsewhere is looked at
_STOP_SECONDS = 2.0  # how long a call may take to end when it is told to


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call that waits for a person, and where its run hears of the answer."""

    run: Run
    call: LiveCall
    answered: asyncio.Future[Callable[[], Awaitable[CallResult]]]


class Runs:
    """Every run that is under way or has just ended."""

    def __init__(self, host: Host, conversations: Conversations) -> None:
        self._host = host
        self._conversations = conversations
        self._runs: dict[str, Run] = {}
        self._in: dict[tuple[str, str | None], dict[str, Run]] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._answering: set[str] = set()
        self._listeners: dict[str, set[Callable[[], None]]] = {}

    # Looking

    def subscribe(self, user_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake()` called when something happens in a run of this person's; returns what ends that."""
        listeners = self._listeners.setdefault(user_id, set())
        listeners.add(wake)

        def unsubscribe() -> None:
            listeners.discard(wake)
            if not listeners and self._listeners.get(user_id) is listeners:
                del self._listeners[user_id]

        return unsubscribe

    def find(self, actor: Actor, run_id: str) -> Run:
        """A run of the actor's.

        Raises:
            AccessError: `run_not_found`, also where it is somebody else's or long over.
        """
        run = self._runs.get(run_id)
        if run is None or run.actor.user_id != actor.user_id:
            raise AccessError("run_not_found", "There is no such run, or it ended a while ago.", "Load the page again.")
        return run

    def of(self, user_id: str, conversation_id: str) -> list[Run]:
        """The runs of a conversation that can still be followed, the oldest first."""
        return list(self._in.get((user_id, conversation_id), {}).values())

    # Starting

    async def message(self, actor: Actor, conversation: Open, text: str) -> Run:
        """Start a run from what a person typed: a slash command calls a tool; nobody is there yet to answer the rest.

        Raises:
            UsageError: `message_empty`, `message_too_long`, `too_many_runs`, or what is wrong with the command.
        """
        if not text.strip():
            raise UsageError("message_empty", "The message is empty.", "Type something, or `/` to choose a tool.")
        if len(text) > LONGEST_MESSAGE:
            raise UsageError(
                "message_too_long",
                f"The message has {len(text)} characters; at most {LONGEST_MESSAGE} are accepted.",
                "Put long content into a file of the workspace.",
            )
        if text.lstrip().startswith("/"):
            name, words = parse_line(text)
            tool = self.granted(actor, name)
            return await self._start_call(actor, conversation, tool, parse_words(tool, words), text.strip())
        run = self._new(actor, (await conversation()).id)

        async def answer() -> None:
            await self._entry(run, "user", text=text)
            await self._entry(run, "notice", text="no_model")

        self._drive(run, answer())
        return run

    async def call(self, actor: Actor, conversation: Open, name: str, arguments: object) -> Run:
        """Start a run from a form: a tool's name and its arguments.

        Raises:
            UsageError: `unknown_tool`, `invalid_arguments`, `too_many_runs`.
        """
        tool = self.granted(actor, name)
        return await self._start_call(actor, conversation, tool, arguments, None)

    def granted(self, actor: Actor, name: str) -> Tool:
        """A tool the actor may ask for.

        Raises:
            UsageError: `unknown_tool`, also for one that is not granted.
            AccessError: Where its plugin is quarantined, with the code of that.
        """
        # What an API key lacks is said by name, not by hiding what its owner can use.
        owner = replace(actor, scopes=None)
        tools = {tool.name: tool for tool in self._host.tools_for(owner)}
        if name not in tools:
            self._host.check_in_service(name, owner)
            raise UsageError(
                "unknown_tool", f"There is no tool {name!r} here.", "Type `/` to see the tools you can use."
            )
        return tools[name]

    async def _start_call(
        self, actor: Actor, conversation: Open, tool: Tool, arguments: object, text: str | None
    ) -> Run:
        # Checked before anything is written: a call that cannot be asked leaves no trace in the conversation.
        if not isinstance(arguments, Mapping):
            raise UsageError("invalid_arguments", f"The arguments of {tool.name} must be a JSON object.")
        prepare_arguments(tool, arguments)
        place = await conversation()
        prepared = await self._host.prepare(tool.name, arguments, actor, conversation_id=place.id)
        run = self._new(actor, place.id)
        call = LiveCall(
            call_id=prepared.id,
            tool=tool.name,
            arguments=prepared.arguments,
            argv=attempted_argv(self._host, tool.name, prepared.arguments),
        )
        run.calls[call.call_id] = call

        async def work() -> CallResult:
            await self._entry(run, "user", text=text if text is not None else spell(tool, arguments))
            return await self._carry_out(run, call, arguments)

        self._drive(run, work())
        return run

    async def _carry_out(self, run: Run, call: LiveCall, arguments: Mapping[str, Any]) -> CallResult:
        """Make a call of a run, and wait for whoever must be asked."""
        await self._entry(run, "call", call=call)
        result = await self._host.call(
            call.tool,
            arguments,
            run.actor,
            conversation_id=run.conversation_id,
            call_id=call.call_id,
            on_event=partial(run.from_host, call),
        )
        return await self._to_its_end(run, call, result)

    # Answering and stopping

    async def answer(self, actor: Actor, approval_id: str, answer: Answer) -> CallResult:
        """Answer an approval and, on a yes, carry its call out. The call goes on even if nobody waits for this.

        Raises:
            ApprovalError: `approval_not_found`, `approval_answered`, `approval_expired`, `plan_changed`.
            AccessError: `approval_not_yours`, `approval_needs_a_person`.
            UsageError: `scope_not_offered`.
        """
        question = await self._host.question(approval_id, actor)
        if (
            question.user_id != actor.user_id
            or question.state != "pending"
            or not self._counts(actor, question, answer)
        ):
            # Nothing of the actor's own can run: the host refuses it for its owner, or says why that cannot be.
            return await self._host.answer(approval_id, actor, answer)
        if approval_id in self._answering:
            raise ApprovalError("approval_answered", "This question was answered already; an answer counts once.")
        self._answering.add(approval_id)
        outcome: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(lambda done: self._answering.discard(approval_id))
        decision = "approve" if answer.approve else "refuse"

        async def work(run: Run, call: LiveCall) -> CallResult:
            run.emit("approval.answered", approval_id=approval_id, call_id=call.call_id, decision=decision)
            try:
                result = await self._host.answer(approval_id, actor, answer, on_event=partial(run.from_host, call))
            except BaseException as error:
                if not outcome.done():
                    # Whoever asked may be gone; then nobody reads the error here, and the run's end says it.
                    outcome.set_exception(_refused_by(error))
                    outcome.exception()
                raise
            if not outcome.done():
                outcome.set_result(result)
            return result

        waiting = self._waiting.pop(approval_id, None)
        if waiting is not None:
            waiting.answered.set_result(partial(work, waiting.run, waiting.call))
        else:
            try:
                run, call = self._resumed(actor, question)
            except BaseException:
                outcome.cancel()
                raise

            async def carry_out() -> CallResult:
                return await self._to_its_end(run, call, await work(run, call))

            self._drive(run, carry_out())
        return await asyncio.shield(outcome)

    async def stop(self, actor: Actor, run_id: str) -> None:
        """End a run: its call is killed, its open question is refused.

        Raises:
            AccessError: `run_not_found`.
        """
        await self._stop(self.find(actor, run_id))

    async def close(self) -> None:
        """End every run, each with its last event, within a bounded time."""
        alive = [run for run in self._runs.values() if run.task is not None and not run.task.done()]
        for run in alive:
            run.stopping = True
            self._end_work(run)
        tasks = [run.task for run in alive if run.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _stop(self, run: Run) -> None:
        if run.ended:
            return
        run.stopping = True
        for approval_id in [key for key, value in self._waiting.items() if value.run is run]:
            with suppress(ApprovalError):  # it was answered in this very moment
                await self.answer(run.actor, approval_id, Answer(approve=False, reason="stopped"))
        if not run.ended:
            self._end_work(run)

    def _end_work(self, run: Run) -> None:
        """End what a run is doing: its calls end as cancelled, and the run with them."""
        running = [call.call_id for call in run.calls.values() if call.state == "running"]
        ended = [call_id for call_id in running if self._host.cancel(call_id, run.actor)]
        if not ended and run.task is not None:
            run.task.cancel()

    # The inside

    @staticmethod
    def _counts(actor: Actor, question: Question, answer: Answer) -> bool:
        """Whether an answer settles a question; one that the host turns down leaves its run waiting."""
        return not answer.approve or (actor.attended and answer.scope in question.scopes)

    def _resumed(self, actor: Actor, question: Question) -> tuple[Run, LiveCall]:
        """A run for an approval that no run waits for: the host was started again since, or it came by the API."""
        run = self._new(actor, question.conversation_id)
        call = LiveCall(
            call_id=question.call_id,
            tool=question.tool,
            arguments=question.arguments,
            argv=attempted_argv(self._host, question.tool, question.arguments),
            plan=question.plan,
            decision=question.decision.as_json(),
            created=question.created,
        )
        run.calls[call.call_id] = call
        return run, call

    def _new(self, actor: Actor, conversation_id: str | None) -> Run:
        if conversation_id is not None:
            alive = sum(not run.ended for run in self.of(actor.user_id, conversation_id))
            if alive >= AT_ONCE:
                raise UsageError(
                    "too_many_runs",
                    f"{alive} runs are under way in this conversation; at most {AT_ONCE} may be.",
                    "Wait for one to end, or stop it.",
                )
        run = Run(new_id("r"), actor, conversation_id, on_change=lambda: self._wake(actor.user_id))
        self._runs[run.id] = run
        self._in.setdefault((actor.user_id, conversation_id), {})[run.id] = run
        run.emit("run.started", conversation_id=conversation_id)
        return run

    async def _entry(self, run: Run, kind: EntryKind, *, text: str = "", call: LiveCall | None = None) -> None:
        assert run.conversation_id is not None
        entry = await self._conversations.append(
            run.actor.user_id,
            run.conversation_id,
            run_id=run.id,
            kind=kind,
            text=text,
            call_id=None if call is None else call.call_id,
        )
        asked = {} if call is None or call.request_id is None else {"request_id": call.request_id}
        run.emit("entry.added", entry=entry.as_json(), **asked)

    def _drive(self, run: Run, work: Awaitable[CallResult | None]) -> None:
        run.task = asyncio.create_task(self._terminate(run, work), name=run.id)

    async def _terminate(self, run: Run, work: Awaitable[CallResult | None]) -> None:
        """See a run to its one last event, whatever happens."""
        try:
            result = await work
        except asyncio.CancelledError:
            run.end("run.cancelled")
        except ToolHostError as error:
            run.abandon(error)
            run.end("run.failed", error=error.as_json())
        except Exception:
            _log.exception("run %s failed", run.id)
            message = "Something went wrong in the server."
            run.end(
                "run.failed", error={"code": "internal_error", "message": message, "recoverable": False, "hint": ""}
            )
        else:
            cancelled = run.stopping or (result is not None and result.status == "cancelled")
            run.end("run.cancelled" if cancelled else "run.completed")
        finally:
            run.abandon()
            asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._forget, run)

    def _forget(self, run: Run) -> None:
        self._runs.pop(run.id, None)
        place = (run.actor.user_id, run.conversation_id)
        together = self._in.get(place, {})
        together.pop(run.id, None)
        if not together:
            self._in.pop(place, None)

    async def _to_its_end(self, run: Run, call: LiveCall, result: CallResult) -> CallResult:
        """See a call to its result, however often somebody must be asked."""
        if not run.first_result.done():
            run.first_result.set_result(result)
        while result.status == "approval_required" and result.approval_id is not None:
            result = await self._answered(run, call, result.approval_id)
        run.finish(call, result)
        return result

    async def _answered(self, run: Run, call: LiveCall, approval_id: str) -> CallResult:
        """What becomes of a call once its question is settled, by whatever way."""
        question = await self._host.question(approval_id, run.actor)
        answered: asyncio.Future[Callable[[], Awaitable[CallResult]]] = asyncio.get_running_loop().create_future()
        self._waiting[approval_id] = _Waiting(run, call, answered)
        run.wait_for(call, question)
        settled = asyncio.create_task(self._host.until_settled(approval_id, run.actor))
        try:
            either: set[asyncio.Future[Any]] = {answered, settled}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                return await answered.result()()
            end = settled.result()
            if end is None:
                return await self._elsewhere(call, run.actor)
            if end.error is not None and end.error["code"] == "approval_expired":
                run.expire(call, approval_id)
            return end
        finally:
            settled.cancel()
            self._waiting.pop(approval_id, None)

    async def _elsewhere(self, call: LiveCall, actor: Actor) -> CallResult:
        """The result of a call that was approved by another way than through here, once it has one."""
        while True:
            record = await self._host.call_record(call.call_id, actor)
            if record is not None and record["finished"] is not None and record["result"] is not None:
                return CallResult.from_json(record["result"])
            await asyncio.sleep(_LOOK_SECONDS)

    def _wake(self, user_id: str) -> None:
        for wake in tuple(self._listeners.get(user_id, ())):
            wake()


def _refused_by(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    return ApprovalError("run_stopped", "The server stopped before the call ended.", "Make the call again.")
