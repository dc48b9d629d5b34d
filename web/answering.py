"""Messages that a model answers: one at a time in a conversation, the others in a queue, each a run of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from toolhost.agent.history import history
from toolhost.agent.models import Chosen, Models
from toolhost.agent.store import RunRecord, dump, load
from toolhost.agent.turn import Turn
from toolhost.agent.window import room_for_output
from toolhost.conversations import Conversations, Entry
from toolhost.errors import AccessError, ToolHostError, UsageError
from toolhost.host import Host
from toolhost.model import Actor
from toolhost.web.desk import Desk
from toolhost.web.live import Run
from toolhost.web.runs import Open, Runs

__all__ = ["LONGEST_MESSAGE", "LONGEST_QUEUE", "Choice", "Messages"]

_log = logging.getLogger("toolhost.web")

LONGEST_MESSAGE = 256 * 1024
"""Characters of one message."""

LONGEST_QUEUE = 20
"""Messages of one conversation that may wait for their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a message says of who shall answer, from now on: names, or None to leave that as it is.

    Attributes:
        model: A model.
        profile: A profile; an empty text for none.
    """

    model: str | None = None
    profile: str | None = None


class Messages:
    """The messages of all conversations."""

    def __init__(self, host: Host, conversations: Conversations, runs: Runs, models: Models) -> None:
        self._host = host
        self._conversations = conversations
        self._runs = runs
        self._models = models
        self._answered: dict[str, Run] = {}
        self._queues: dict[str, list[Run]] = {}
        self._closing = False

    # What people do

    async def send(
        self, actor: Actor, conversation: Open, text: str, choice: Choice, *, edit_of: int | None = None
    ) -> Run:
        """Start a run from what a person typed: a slash command calls a tool, anything else is for the model.

        Args:
            actor: Who typed it.
            conversation: Where.
            text: What.
            choice: Who shall answer.
            edit_of: An earlier message that this one takes the place of, on a branch of its own.

        Raises:
            UsageError: `message_empty`, `message_too_long`, `unknown_model`, `unknown_profile`, `too_many_runs`,
                `queue_full`, `conversation_busy`, `not_a_message`, or what is wrong with a command.
            AccessError: `entry_not_found`.
        """
        _check(text)
        command = text.lstrip().startswith("/")
        if edit_of is None and command:
            return await self._runs.line(actor, conversation, text)
        if choice.model is not None or choice.profile:
            await self._models.choose(actor, choice.model, choice.profile or None)
        self._check_many(actor)
        place = await conversation()
        if edit_of is not None:
            self._check_quiet(actor, place.id)
            entry = await self._conversations.entry(actor.user_id, place.id, edit_of)
            if entry.kind != "user":
                raise UsageError("not_a_message", "Only a person's message can be edited.", "Choose one.")
            await self._conversations.go_back(actor.user_id, place.id, entry.parent_id)
        if command:
            return await self._runs.line(actor, lambda: self._conversations.get(actor.user_id, place.id), text)
        if choice.model is not None or choice.profile is not None:
            await self._conversations.choose(
                actor.user_id,
                place.id,
                model=place.model if choice.model is None else choice.model,
                profile=place.profile if choice.profile is None else choice.profile or None,
            )
        return await self._enter(actor, place.id, text)

    async def retry(self, actor: Actor, conversation_id: str, entry_id: int) -> Run:
        """Have the message before an entry answered once more, on a branch of its own.

        Raises:
            AccessError: `conversation_not_found`, `entry_not_found`.
            UsageError: `conversation_busy`, `too_many_runs`, `not_a_message`.
        """
        self._check_many(actor)
        self._check_quiet(actor, conversation_id)
        await self._conversations.get(actor.user_id, conversation_id)
        entry: Entry = await self._conversations.entry(actor.user_id, conversation_id, entry_id)
        while entry.kind != "user":
            if entry.parent_id is None:
                raise UsageError("not_a_message", "No message stands before this.", "Write one.")
            entry = await self._conversations.entry(actor.user_id, conversation_id, entry.parent_id)
        await self._conversations.go_back(actor.user_id, conversation_id, entry.id)
        return await self._enter(actor, conversation_id, "")

    async def show_branch(self, actor: Actor, conversation_id: str, entry_id: int) -> None:
        """Show another branch of a conversation.

        Raises:
            AccessError: `conversation_not_found`, `entry_not_found`.
            UsageError: `conversation_busy`.
        """
        self._check_quiet(actor, conversation_id)
        await self._conversations.get(actor.user_id, conversation_id)
        await self._conversations.show_branch(actor.user_id, conversation_id, entry_id)

    async def edit(self, actor: Actor, run_id: str, text: str) -> None:
        """Change a message that waits for its turn.

        Raises:
            AccessError: `run_not_found`, `key_not_allowed`.
            UsageError: `not_queued`, `message_empty`, `message_too_long`.
        """
        _check(text)
        run, queue = self._queued(actor, run_id)
        run.text = text
        await self._runs.records.change(run.id, text=text)
        if run in queue:
            run.emit("run.queued", text=text, position=queue.index(run) + 1)

    async def send_now(self, actor: Actor, run_id: str) -> None:
        """Stop what is being answered, and answer this message that waits for its turn.

        Raises:
            AccessError: `run_not_found`, `key_not_allowed`.
            UsageError: `not_queued`.
        """
        run, queue = self._queued(actor, run_id)
        assert run.conversation_id is not None
        current = self._answered.get(run.conversation_id)
        if current is not None:
            _check_own(actor, current)
        queue.remove(run)
        queue.insert(0, run)
        for number, one in enumerate(queue, 1):
            one.emit("run.queued", text=one.text, position=number)
        if current is not None:
            await self._runs.stop_run(current)

    async def stop(self, actor: Actor, run_id: str) -> None:
        """End a run; of one that waits for its turn, take it out of the queue.

        Raises:
            AccessError: `run_not_found`, `key_not_allowed`.
        """
        await self._runs.stop_run(self._own(actor, run_id))

    # The host's beginning and end

    async def restore(self) -> None:
        """Take over what an earlier process left: go on with what waits for a person, and say what was interrupted."""
        for record in await self._runs.records.alive_of_all():
            try:
                goes_on = record.kind == "message" and record.state == "waiting" and record.pending
                if not goes_on or record.disabled or self._host.stopping.stopped is not None:
                    await self._interrupted(record)
                else:
                    await self._take_up(record)
            except ToolHostError:
                _log.exception("run %s cannot be taken up", record.id)

    def close(self) -> None:
        """Let nothing begin any more."""
        self._closing = True

    async def stop_all(self) -> None:
        """End everything: what waits for its turn, then what runs."""
        for run in self._runs.unbegun():
            await self._runs.stop_run(run)
        await self._runs.stop_all()

    async def _interrupted(self, record: RunRecord) -> None:
        owner, place = record.user_id, record.conversation_id
        if record.kind == "message":
            if record.state == "queued":
                await self._conversations.append(owner, place, run_id=record.id, kind="user", text=record.text)
            await self._conversations.append(owner, place, run_id=record.id, kind="notice", text="interrupted")
        await self._runs.records.end(record.id, "interrupted")

    async def _take_up(self, record: RunRecord) -> None:
        actor = Actor(
            user_id=record.user_id,
            username=record.username,
            role=record.role,
            channel="web",
            session_id=record.session_id,
        )
        run = self._runs.new(actor, record.conversation_id, "message", run_id=record.id)
        run.text = record.text
        run.events = list(record.events)
        self._begin(run, self._go_on(run, record))

    # Queue

    async def _enter(self, actor: Actor, conversation_id: str, text: str) -> Run:
        if len(self._queues.get(conversation_id, ())) >= LONGEST_QUEUE:
            raise UsageError(
                "queue_full", f"{LONGEST_QUEUE} messages wait for their turn already.", "Wait, or remove one."
            )
        run = self._runs.new(actor, conversation_id, "message")
        run.text = text
        if conversation_id not in self._answered:
            self._begin(run, self._answer(run))
            return run
        # Written down before anybody is told: what is told outlives this process.
        await self._runs.records.begin(
            run.id,
            actor.user_id,
            conversation_id,
            kind="message",
            state="queued",
            text=text,
            session_id=actor.session_id,
        )
        run.recorded = True
        if run.stopping:  # it was stopped while it was written down
            await self._runs.records.end(run.id, "cancelled")
            return run
        if conversation_id not in self._answered:  # its turn has come meanwhile
            self._begin(run, self._answer(run))
            return run
        queue = self._queues.setdefault(conversation_id, [])
        queue.append(run)
        run.leave = partial(self._leave, run, queue)
        run.emit("run.queued", text=text, position=len(queue))
        return run

    @staticmethod
    def _leave(run: Run, queue: list[Run]) -> None:
        if run in queue:
            queue.remove(run)
            for number, one in enumerate(queue, 1):
                one.emit("run.queued", text=one.text, position=number)

    def _begin(self, run: Run, work: Awaitable[None]) -> None:
        conversation_id = run.conversation_id
        assert conversation_id is not None
        self._answered[conversation_id] = run
        self._runs.drive(run, work)
        assert run.task is not None
        run.task.add_done_callback(lambda done: self._next(conversation_id))

    def _next(self, conversation_id: str) -> None:
        del self._answered[conversation_id]
        queue = self._queues.get(conversation_id)
        if queue and not self._closing:
            run = queue.pop(0)
            self._begin(run, self._answer(run))
            for number, one in enumerate(queue, 1):
                one.emit("run.queued", text=one.text, position=number)
        if not queue:
            self._queues.pop(conversation_id, None)

    def _queued(self, actor: Actor, run_id: str) -> tuple[Run, list[Run]]:
        run = self._own(actor, run_id)
        queue = self._queues.get(run.conversation_id or "", [])
        if run not in queue:
            raise UsageError(
                "not_queued", "This message does not wait for its turn any more.", "Edit it in the thread."
            )
        return run, queue

    def _own(self, actor: Actor, run_id: str) -> Run:
        run = self._runs.find(actor, run_id)
        _check_own(actor, run)
        return run

    def _check_many(self, actor: Actor) -> None:
        most = self._models.settings.caps.runs
        if sum(run.task is not None for run in self._runs.alive(actor.user_id, "message")) >= most:
            raise UsageError(
                "too_many_runs", f"{most} of your conversations are being answered.", "Wait for one to end, or stop it."
            )

    def _check_quiet(self, actor: Actor, conversation_id: str) -> None:
        if any(not run.ended for run in self._runs.of(actor.user_id, conversation_id)):
            raise UsageError(
                "conversation_busy", "Something is under way in this conversation.", "Wait for its end, or stop it."
            )

    # Answering

    async def _answer(self, run: Run) -> None:
        owner, place_id = run.actor.user_id, run.conversation_id
        assert place_id is not None
        place = await self._conversations.get(owner, place_id)
        failure, chosen = None, None
        try:
            chosen = await self._models.choose(run.actor, place.model, place.profile)
        except ToolHostError as error:  # said once the message is in the thread
            failure = error
        model = None if chosen is None else chosen.model.name
        profile = None if chosen is None or chosen.profile is None else chosen.profile.name
        begun = {"text": run.text, "model": model, "profile": profile}
        if run.recorded:  # it waited for its turn
            await self._runs.records.change(run.id, state="running", **begun)
        else:
            begun["session_id"] = run.actor.session_id
            await self._runs.records.begin(run.id, owner, place_id, kind="message", state="running", **begun)
        run.emit("run.started", conversation_id=place_id, model=model, profile=profile)
        if run.text:
            await self._runs.calling.entry(run, "user", text=run.text)
        if failure is not None:
            raise failure
        if chosen is None:
            await self._runs.calling.entry(run, "notice", text="no_model")
            return
        # What is said from here on leaves the host, unless the model is of this machine: that is recorded first.
        self._host.audit.write(
            "tools",
            "run.started",
            {
                "run_id": run.id,
                "conversation_id": place_id,
                "model": model,
                "profile": profile,
                "local": chosen.model.local,
            },
            actor=run.actor,
        )
        turn = await self._turn(run, chosen, before=None)
        await self._finish(run, turn, turn.run)

    async def _go_on(self, run: Run, record: RunRecord) -> None:
        chosen = await self._models.choose(run.actor, record.model, record.profile)
        if chosen is None:
            raise UsageError("unknown_model", "The model of this run is not there any more.", "Choose another one.")
        turn = await self._turn(run, chosen, before=record.id)
        turn.messages = load(record.messages)
        for name, value in (record.usage or {}).items():
            setattr(turn.usage, name, value)
        pending = dict(record.pending or {})
        await self._finish(run, turn, lambda: turn.go_on(pending))

    async def _turn(self, run: Run, chosen: Chosen, *, before: str | None) -> Turn:
        """A turn with what was said before it; of a run that goes on, before that run."""
        assert run.conversation_id is not None
        owner = run.actor.user_id
        client = await self._models.client(chosen.model)
        entries = await self._conversations.entries(owner, run.conversation_id)
        said = {
            one.id: one.messages
            for one in await self._runs.records.of(owner, run.conversation_id)
            if one.kind == "message"
        }
        if before is not None:
            said[before] = None  # what it said itself is no history of it

        async def record(call_id: str) -> dict[str, object] | None:
            return await self._host.call_record(call_id, run.actor)

        room = room_for_output(chosen.model.context)
        told = any(entry.kind == "notice" and entry.text == "context_trimmed" for entry in entries)
        return Turn(
            client=client,
            spec=chosen.model,
            profile=chosen.profile,
            caps=self._models.settings.caps,
            surface=Desk(self._host, self._runs, run, chosen, told_of_trimming=told),
            history=await history(entries, said, record, room=room),
            messages=[],
        )

    async def _finish(self, run: Run, turn: Turn, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        finally:
            run.kept = {"messages": dump(turn.messages), "usage": json.dumps(turn.usage.as_json())}


def _check_own(actor: Actor, run: Run) -> None:
    if not actor.owns(run.actor):
        raise AccessError(
            "key_not_allowed", "An API key cannot change or stop what it did not start.", "Sign in and do it there."
        )


def _check(text: str) -> None:
    if not text.strip():
        raise UsageError("message_empty", "The message is empty.", "Type something, or `/` to choose a tool.")
    if len(text) > LONGEST_MESSAGE:
        raise UsageError(
            "message_too_long",
            f"The message has {len(text)} characters; at most {LONGEST_MESSAGE} are accepted.",
            "Put long content into a file of the workspace.",
        )
