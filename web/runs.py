"""Runs: what a message or a call sets going. A run belongs to the host, not to the socket that started it.

Closing the page does not stop a run; any number of sockets see the same one. What a run did is a list of events with
growing numbers, so that whoever comes late, or back, reads on from where they were. Exactly one event ends it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from toolhost.agent.store import RunKind, RunRecords, RunState
from toolhost.approvals import Answer, Question
from toolhost.calls.arguments import prepare as prepare_arguments
from toolhost.calls.words import parse_line, parse_words
from toolhost.conversations import Conversation, Conversations
from toolhost.errors import AccessError, ApprovalError, ToolHostError, UsageError
from toolhost.host import Host
from toolhost.identifiers import new_id
from toolhost.model import Actor, CallResult, Tool
from toolhost.web.calling import Calling
from toolhost.web.live import LiveCall, Run
from toolhost.web.spelling import spell

__all__ = ["AT_ONCE", "Open", "Runs"]

Open = Callable[[], Awaitable[Conversation]]
"""Opens the conversation a run is for, once it is clear that there will be a run: a mistake makes no conversation."""

_Told = Callable[[CallResult], None]

_log = logging.getLogger("toolhost.web")

AT_ONCE = 8
"""Runs that one conversation may have under way."""

_KEPT_SECONDS = 300.0  # how long a finished run can still be replayed
_STOP_SECONDS = 2.0  # how long a call may take to end when it is told to


class Runs:
    """Every run that is under way or has just ended."""

    def __init__(self, host: Host, conversations: Conversations) -> None:
        self._host = host
        self.records = RunRecords(host.database)
        self.calling = Calling(host, conversations, self._waits)
        self._runs: dict[str, Run] = {}
        self._in: dict[tuple[str, str | None], dict[str, Run]] = {}
        self._answering: set[str] = set()
        self._listeners: dict[tuple[str, str | None], set[Callable[[], None]]] = {}
        self.closing = False

    # Looking

    def subscribe(self, user_id: str, conversation_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake()` called when something happens in a conversation's runs; returns what ends that."""
        place = (user_id, conversation_id)
        listeners = self._listeners.setdefault(place, set())
        listeners.add(wake)

        def unsubscribe() -> None:
            listeners.discard(wake)
            if not listeners and self._listeners.get(place) is listeners:
                del self._listeners[place]

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

    def alive(self, user_id: str, kind: RunKind) -> list[Run]:
        """Somebody's runs of a kind that have not ended, the oldest first."""
        return [
            run for run in self._runs.values() if run.actor.user_id == user_id and run.kind == kind and not run.ended
        ]

    def unbegun(self) -> list[Run]:
        """The runs that wait for their turn, or are being written down for that."""
        return [run for run in self._runs.values() if run.task is None and not run.ended]

    def alive_of_all(self) -> list[Run]:
        """Everybody's runs that have not ended, the oldest first."""
        return [run for run in self._runs.values() if not run.ended]

    # Starting a call

    async def line(self, actor: Actor, conversation: Open, text: str) -> Run:
        """Start a run from a slash command.

        Raises:
            UsageError: What is wrong with it; `too_many_runs`.
        """
        name, words = parse_line(text)
        tool = self.granted(actor, name)
        return await self._start_call(actor, conversation, tool, parse_words(tool, words), text.strip())

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
        run = self.new(actor, place.id, "call")
        run.emit("run.started", conversation_id=place.id, model=None, profile=None)
        call = self.calling.live(run, prepared.id, tool.name, prepared.arguments)

        async def work() -> CallResult:
            await self.records.begin(run.id, actor.user_id, place.id, kind="call", state="running")
            await self.calling.entry(run, "user", text=text if text is not None else spell(tool, arguments))
            return await self.calling.carry_out(run, call, arguments)

        self.drive(run, work())
        return run

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
            self._host.awaits(question.call_id)  # its run goes on where it is
            or question.user_id != actor.user_id
            or question.state != "pending"
            or not self._counts(actor, question, answer)
        ):
            # Nothing of the actor's own can run: the host refuses it for its owner, or says why that cannot be.
            return await self._host.answer(approval_id, actor, answer)
        decision = "approve" if answer.approve else "refuse"

        async def work(run: Run, call: LiveCall, told: _Told) -> CallResult:
            run.emit("approval.answered", approval_id=approval_id, call_id=call.call_id, decision=decision)
            return await self._host.answer(approval_id, actor, answer, on_event=partial(run.from_host, call))

        return await self._settle(actor, question, work)

    async def modify(self, actor: Actor, approval_id: str, arguments: object) -> CallResult:
        """Put another call in the place of one that waits: the same tool with other arguments, judged as any new call.

        The question is refused, whatever becomes of the new call, which may have a question of its own.

        Returns:
            How far the new call has come.

        Raises:
            ApprovalError: `approval_not_found`, `approval_answered`, `approval_expired`.
            AccessError: `approval_not_yours`, `approval_needs_a_person`.
            UsageError: `invalid_arguments`, `not_modifiable`; the question stays open.
        """
        question = await self._host.question(approval_id, actor)
        tool = self._modifiable(actor, question)
        if not isinstance(arguments, Mapping):
            raise UsageError("invalid_arguments", f"The arguments of {tool.name} must be a JSON object.")
        prepared = prepare_arguments(tool, arguments)
        instead = new_id("c")
        refusal = Answer(approve=False, reason=f"the arguments were changed; the call {instead} takes its place")
        if not question.open:  # the host says why it is not
            return await self._host.answer(approval_id, actor, refusal)

        async def work(run: Run, call: LiveCall, told: _Told) -> CallResult:
            run.emit(
                "approval.answered",
                approval_id=approval_id,
                call_id=call.call_id,
                decision="modify",
                instead=instead,
                arguments=dict(arguments),
            )
            run.finish(call, await self._host.answer(approval_id, actor, refusal))
            if run.kind == "message":
                await self.records.instead(run.id, call.call_id, instead)
            other = self.calling.live(run, instead, tool.name, prepared)
            result = await self.calling.begin(run, other, arguments)
            told(result)
            return await self.calling.see_through(run, other, result)

        return await self._settle(actor, question, work)

    async def _settle(
        self, actor: Actor, question: Question, work: Callable[[Run, LiveCall, _Told], Awaitable[CallResult]]
    ) -> CallResult:
        """Do what an answer sets going, where the question's run waits for it or in a run of its own."""
        if question.id in self._answering:
            raise ApprovalError("approval_answered", "This question was answered already; an answer counts once.")
        self._answering.add(question.id)
        outcome: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(lambda done: self._answering.discard(question.id))

        def told(result: CallResult) -> None:
            if not outcome.done():
                outcome.set_result(result)

        def failed(error: BaseException) -> None:
            if not outcome.done():
                # Whoever asked may be gone; then nobody reads the error here, and the run's end says it.
                outcome.set_exception(_refused_by(error))
                outcome.exception()

        async def carried(run: Run, call: LiveCall) -> CallResult:
            try:
                result = await work(run, call, told)
            except BaseException as error:
                failed(error)
                raise
            told(result)
            return result

        waiting = self.calling.taken(question.id)
        if waiting is not None:
            waiting.answered.set_result(partial(carried, waiting.run, waiting.call))
            if waiting.run.task is not None:  # it may be stopped before it comes to that
                waiting.run.task.add_done_callback(lambda done: failed(asyncio.CancelledError()))
        else:
            try:
                # No run waits for it: the host was started again since, or the call came by the API.
                run = self.new(actor, question.conversation_id, "call")
            except BaseException:
                outcome.cancel()
                raise
            run.emit("run.started", conversation_id=question.conversation_id, model=None, profile=None)
            call = self.calling.asked(run, question)

            async def carry_out() -> CallResult:
                return await self.calling.see_through(run, call, await carried(run, call))

            self.drive(run, carry_out())
        return await asyncio.shield(outcome)

    async def stop(self, actor: Actor, run_id: str) -> None:
        """End a run: its model is not listened to any more, its calls are killed, its open questions are refused.

        Raises:
            AccessError: `run_not_found`.
        """
        await self.stop_run(self.find(actor, run_id))

    async def stop_run(self, run: Run) -> None:
        """End a run that was found."""
        if run.ended:
            return
        run.stopping = True
        if run.task is None:  # it waits for its turn, or is being written down for that
            await self._give_up(run)
            return
        refused: set[str] = set()
        while left := [approval_id for approval_id in self.calling.of(run) if approval_id not in refused]:
            for approval_id in left:  # while one is refused, the model's next call may ask
                refused.add(approval_id)
                with suppress(ApprovalError):  # it was answered in this very moment
                    await self.answer(run.actor, approval_id, Answer(approve=False, reason="stopped"))
        if not run.ended:
            self._end_work(run)

    async def close(self) -> None:
        """End every run, each with its last event, within a bounded time; a model's that waits for a person goes on
        when the host is started again."""
        self.closing = True
        await self.stop_all()
        for place in tuple(self._listeners):
            self._wake(place)  # whoever follows what goes on only after a restart waits no longer

    async def stop_all(self) -> None:
        """End what every run does, within a bounded time."""
        alive = [run for run in self._runs.values() if run.task is not None and not run.task.done()]
        for run in alive:
            run.stopping = True
            self._end_work(run)
        tasks = [run.task for run in alive if run.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
            if late:
                _, late = await asyncio.wait(late, timeout=_STOP_SECONDS)
            for task in late:
                _log.error("%s does not end; nobody waits for it any more", task.get_name())

    # For what answers messages

    def new(self, actor: Actor, conversation_id: str | None, kind: RunKind, *, run_id: str | None = None) -> Run:
        """A run that has not begun.

        Raises:
            UsageError: `too_many_runs`.
        """
        if conversation_id is not None and kind == "call":
            alive = sum(not run.ended and run.kind == kind for run in self.of(actor.user_id, conversation_id))
            if alive >= AT_ONCE:
                raise UsageError(
                    "too_many_runs",
                    f"{alive} runs are under way in this conversation; at most {AT_ONCE} may be.",
                    "Wait for one to end, or stop it.",
                )
        place = (actor.user_id, conversation_id)
        run = Run(run_id or new_id("r"), actor, conversation_id, kind, on_change=lambda: self._wake(place))
        self._runs[run.id] = run
        self._in.setdefault(place, {})[run.id] = run
        return run

    def drive(self, run: Run, work: Awaitable[CallResult | None]) -> None:
        """Let a run go until its end."""
        run.task = asyncio.create_task(self._terminate(run, work), name=run.id)

    def over(self, run: Run) -> None:
        """A run has ended: it can still be followed for a while."""
        asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._forget, run)

    # The inside

    def _modifiable(self, actor: Actor, question: Question) -> Tool:
        """The tool of a question whose arguments the actor may change."""
        if not actor.attended:
            raise AccessError(
                "approval_needs_a_person",
                "An API key cannot change a call that waits: nobody is there to look at it.",
                "Refuse it and make another call.",
            )
        if question.user_id != actor.user_id:
            raise AccessError(
                "approval_not_yours",
                f"Only {question.username} can change this call; an administrator can refuse it.",
                "Refuse it, or let its owner answer.",
            )
        if self._host.awaits(question.call_id):
            raise UsageError(
                "not_modifiable",
                "What a running tool asks the host to run cannot be changed: the tool waits for exactly this.",
                "Approve it or refuse it.",
            )
        return self.granted(actor, question.tool)

    @staticmethod
    def _counts(actor: Actor, question: Question, answer: Answer) -> bool:
        """Whether an answer settles a question; one that the host turns down leaves its run waiting."""
        return not answer.approve or (actor.attended and answer.scope in question.scopes)

    async def _give_up(self, run: Run) -> None:
        """End a run that never began."""
        run.leave()
        await self.records.end(run.id, "cancelled")
        run.end("run.cancelled")
        run.abandon()
        self.over(run)

    def _end_work(self, run: Run) -> None:
        """End what a run is doing. A call alone ends as cancelled, and its run with it; a model's run ends at once."""
        if run.kind == "call":
            running = [call.call_id for call in run.calls.values() if call.state == "running"]
            if [call_id for call_id in running if self._host.cancel(call_id, run.actor)]:
                return
        if run.task is not None:
            # Behind its first step: a task that is cancelled before it takes that says nothing of its end.
            asyncio.get_running_loop().call_soon(_cancel, run.task)

    async def _waits(self, run: Run) -> None:
        if run.kind == "message":
            await self.records.wait(run.id, run.events)

    async def _terminate(self, run: Run, work: Awaitable[CallResult | None]) -> None:
        """See a run to its one last event, whatever happens."""
        error: dict[str, Any] | None = None
        try:
            result = await work
        except asyncio.CancelledError:
            if self.closing and run.kind == "message" and run.waiting:
                return  # it goes on when the host is started again
            kind = "run.cancelled"
        except ToolHostError as failure:
            run.abandon(failure)
            kind, error = "run.failed", failure.as_json()
        except Exception:
            _log.exception("run %s failed", run.id)
            kind, error = "run.failed", _INTERNAL.as_json()
        else:
            cancelled = run.stopping or (result is not None and result.status == "cancelled")
            kind = "run.cancelled" if cancelled else "run.completed"
        finally:
            run.abandon()
            self.over(run)
        await self._end(run, kind, error)

    async def _end(self, run: Run, kind: str, error: dict[str, Any] | None) -> None:
        try:
            if error is not None and run.kind == "message":
                await self.calling.entry(run, "error", text=str(error["code"]), data=error)
            await self.records.end(run.id, _STATES[kind], error, **run.kept)
            if run.kept:
                code = None if error is None else error["code"]
                usage = json.loads(run.kept["usage"])
                details = {"run_id": run.id, "status": _STATES[kind], "error": code, "usage": usage}
                self._host.audit.write("tools", "run.ended", details, actor=run.actor)
        except Exception:
            _log.exception("the end of run %s could not be written down", run.id)
        finally:
            run.end(kind, **({} if error is None else {"error": error}))

    def _forget(self, run: Run) -> None:
        self._runs.pop(run.id, None)
        place = (run.actor.user_id, run.conversation_id)
        together = self._in.get(place, {})
        together.pop(run.id, None)
        if not together:
            self._in.pop(place, None)

    def _wake(self, place: tuple[str, str | None]) -> None:
        for wake in tuple(self._listeners.get(place, ())):
            wake()


_STATES: dict[str, RunState] = {
    "run.completed": "completed",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
}
_INTERNAL = ToolHostError("internal_error", "Something went wrong in the server.")


def _cancel(task: asyncio.Task[None]) -> None:
    if not task.cancelling():  # once: a second one would come while the run writes down how it ended
        task.cancel()


def _refused_by(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    return ApprovalError("run_stopped", "The server stopped before the call ended.", "Make the call again.")
