"""`/ws/chat`: a person's hand on their runs. A socket only watches and asks; what it started goes on without it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from quart import Blueprint, websocket

from toolhost.accounts import Principal
from toolhost.approvals import Answer
from toolhost.conversations import Conversation
from toolhost.errors import MachineError, ToolHostError, UsageError
from toolhost.identifiers import now_ms
from toolhost.model import Actor
from toolhost.rights import Right, check
from toolhost.web.answers import read_answer
from toolhost.web.bodies import parse_object
from toolhost.web.choices import read_choice, read_entry
from toolhost.web.fragments import Fragments
from toolhost.web.guard import current, current_actor, requires
from toolhost.web.live import Run
from toolhost.web.rates import RateLimitedError
from toolhost.web.refusals import record_refusal
from toolhost.web.site import Site, site
from toolhost.web.sockets import NOT_ALLOWED
from toolhost.web.staying import Stay
from toolhost.web.workspaces import check_workspace

__all__ = ["TYPES", "blueprint"]

blueprint = Blueprint("chat", __name__)

TYPES = ("message", "retry", "call", "approve", "refuse", "answer", "stop", "edit", "send_now", "ping", "resume")
"""What a client may send."""

_RIGHTS: dict[str, Right] = {
    "message": "chat",
    "retry": "chat",
    "edit": "chat",
    "send_now": "chat",
    "call": "tools:run",
    "approve": "approve",
    "refuse": "approve",
    "answer": "approve",
}
"""What a message asks of whoever sends it, besides what is asked of whoever opens the socket."""

_ASKED: set[asyncio.Task[None]] = set()  # what sockets asked for and is not done yet


@blueprint.websocket("/ws/chat")
@requires("look", scope="chat")
async def chat() -> None:
    """Serve one socket. `?view=html` adds the rendered fragment to each event that has one."""
    fragments = Fragments.of_request() if websocket.args.get("view") == "html" else None
    await websocket.accept()
    connection = _Connection(site(), current(), current_actor(), fragments)
    await connection.serve()


class _Connection:
    """One open socket."""

    def __init__(self, parts: Site, principal: Principal, actor: Actor, fragments: Fragments | None) -> None:
        self._site = parts
        self._stay = Stay(parts.accounts, principal, actor, self.close_with)
        self._fragments = fragments
        self._wake = asyncio.Event()
        self._replies: deque[dict[str, Any]] = deque()
        self._followed: dict[str, Callable[[], None]] = {}
        self._sent: dict[str, int] = {}
        self._sending = asyncio.Lock()
        self._closing: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def _actor(self) -> Actor:
        return self._stay.actor

    async def recheck(self) -> None:
        """Ask again whose this is."""
        await self._stay.recheck()

    def tell(self, kind: str, user_id: str | None = None) -> None:
        """Send an event that is no run's; where it is one person's, only to them."""
        if user_id in (None, self._actor.user_id):
            self._reply(kind, None)

    def tell_in(self, user_id: str, conversation_id: str, kind: str, **fields: Any) -> None:
        """The same, where it follows a conversation of this person's."""
        if self._actor.user_id == user_id and conversation_id in self._followed:
            self._reply(kind, None, conversation_id=conversation_id, **fields)

    def close_with(self, code: int) -> None:
        """Begin to close."""
        if not self._closing.done():
            self._closing.set_result(code)

    async def serve(self) -> None:
        """Read and write until either side closes."""
        self._site.sockets.add(self)
        halves = [asyncio.create_task(half) for half in (self._read(), self._write(), self._recheck())]
        try:
            waited: list[asyncio.Future[Any]] = [*halves, self._closing]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._closing.done():
                await self._last_words()
                await websocket.close(self._closing.result())
        finally:
            for unsubscribe in self._followed.values():
                unsubscribe()
            self._site.sockets.remove(self)
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)

    # Reading

    async def _read(self) -> None:
        while True:
            raw = await websocket.receive()
            reference: object = None
            try:
                self._site.rates.count("socket", self._actor.ip, self._actor.user_id)
                message = parse_object(raw)
                reference = message.get("ref")
                await self.recheck()
                if self._closing.done():
                    return
                await self._handle(message, reference)
            except RateLimitedError as error:
                self._refuse(error, reference)
                self.close_with(NOT_ALLOWED)
                return
            except ToolHostError as error:
                self._refuse(error, reference)

    async def _handle(self, message: dict[str, Any], reference: object) -> None:
        kind = message.get("type")
        runs = self._site.runs
        if (right := _RIGHTS.get(str(kind))) is not None:
            check(self._actor, right)
            await self._site.host.permitted(self._actor, right, f"/ws/chat {kind}")
        if kind == "ping":
            self._reply("pong", reference)
        elif kind == "message":
            run = await self._site.messages.send(
                self._actor,
                lambda: self._conversation(message, reference),
                _text(message, "text"),
                read_choice(message),
                edit_of=read_entry(message, "edit_of", None),
            )
            self._reply("accepted", reference, started=run.id)
        elif kind == "retry":
            conversation_id, entry = _text(message, "conversation_id"), read_entry(message, "entry_id")
            self._follow(conversation_id, {})
            run = await self._site.messages.retry(self._actor, conversation_id, entry)
            self._reply("accepted", reference, started=run.id)
        elif kind == "edit":
            await self._site.messages.edit(self._actor, _text(message, "run_id"), _text(message, "text"))
            self._reply("accepted", reference, started=None)
        elif kind == "send_now":
            self._spawn(self._now(_text(message, "run_id"), reference))
        elif kind == "call":
            run = await runs.call(
                self._actor,
                lambda: self._conversation(message, reference),
                _text(message, "tool"),
                message.get("arguments", {}),
            )
            self._reply("accepted", reference, started=run.id)
        elif kind in ("approve", "refuse"):
            approval, answer = _text(message, "approval_id"), read_answer(kind, message)
            self._spawn(self._answer(approval, answer, reference))
        elif kind == "answer":
            self._site.host.inquiries.answer(_text(message, "inquiry_id"), self._actor, message.get("answer"))
        elif kind == "stop":
            self._spawn(self._stop(_text(message, "run_id"), reference))
        elif kind == "resume":
            await self._resume(message, reference)
        else:
            raise UsageError(
                "unknown_message_type", f"There is no message type {kind!r}.", f"Types: {', '.join(TYPES)}."
            )

    async def _conversation(self, message: dict[str, Any], reference: object) -> Conversation:
        wanted = message.get("conversation_id")
        if wanted is None:
            workspace = check_workspace(self._site.host, self._actor, message.get("workspace"))
            conversation = await self._site.conversations.create(self._actor.user_id, workspace=workspace)
            self._reply("conversation.created", reference, conversation=conversation.as_json())
        else:
            conversation = await self._site.conversations.get(self._actor.user_id, _text(message, "conversation_id"))
        self._follow(conversation.id, {})
        return conversation

    async def _answer(self, approval_id: str, answer: Answer, reference: object) -> None:
        try:
            await self._site.runs.answer(self._actor, approval_id, answer)
        except ToolHostError as error:
            self._refuse(error, reference)

    async def _stop(self, run_id: str, reference: object) -> None:
        try:
            await self._site.messages.stop(self._actor, run_id)
        except ToolHostError as error:
            self._refuse(error, reference)

    async def _now(self, run_id: str, reference: object) -> None:
        try:
            await self._site.messages.send_now(self._actor, run_id)
        except ToolHostError as error:
            self._refuse(error, reference)

    async def _resume(self, message: dict[str, Any], reference: object) -> None:
        """Follow a conversation, and read on in its runs after the numbers the client has seen."""
        after = message.get("after_seq", 0)
        if not isinstance(after, int) or isinstance(after, bool) or after < 0:
            raise UsageError("message_invalid", "`after_seq` is a number from 0.", "Send the last `seq` you have seen.")
        if message.get("run_id") is not None:
            run = self._site.runs.find(self._actor, _text(message, "run_id"))
            if run.conversation_id is None:
                self._replies.extend(run.since(after))
            else:
                self._follow(run.conversation_id, {})
                self._sent[run.id] = after
            conversation_id = run.conversation_id
        else:
            conversation_id = _text(message, "conversation_id")
            await self._site.conversations.get(self._actor.user_id, conversation_id)
            seen = message.get("seen", {})
            if not isinstance(seen, dict) or not all(isinstance(number, int) for number in seen.values()):
                raise UsageError(
                    "message_invalid", "`seen` maps run ids to numbers.", "Send the last `seq` of each run."
                )
            self._follow(conversation_id, seen, after)
        self._reply("resumed", reference, conversation_id=conversation_id)

    def _follow(self, conversation_id: str, seen: dict[str, int], after: int | None = None) -> None:
        """Send a conversation's events from now on; of its earlier runs what comes after the numbers given."""
        new = conversation_id not in self._followed
        if new:
            self._followed[conversation_id] = self._site.runs.subscribe(
                self._actor.user_id, conversation_id, self._wake.set
            )
        for run in self._site.runs.of(self._actor.user_id, conversation_id):
            if after is not None:
                self._sent[run.id] = seen.get(run.id, after)
            elif new:
                self._sent[run.id] = run.seq

    @staticmethod
    def _spawn(work: Any) -> None:
        """Do what was asked for to its end: who says yes, no or stop and leaves has said it."""
        task: asyncio.Task[None] = asyncio.create_task(work)
        _ASKED.add(task)
        task.add_done_callback(_ASKED.discard)

    # Writing

    def _reply(self, kind: str, reference: object, **fields: Any) -> None:
        event = {"type": kind, "seq": 0, "run_id": None, "timestamp": now_ms(), **fields}
        self._replies.append(event if reference is None else {**event, "ref": reference})
        self._wake.set()

    def _refuse(self, error: ToolHostError, reference: object) -> None:
        try:
            record_refusal(error, self._actor, "/ws/chat")
        except MachineError as failure:
            error = failure
        self._reply("error", reference, error=error.as_json())

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._send_new()

    async def _send_new(self) -> None:
        async with self._sending:  # in order, and all of it before the socket is closed
            while self._replies:
                event = self._replies.popleft()
                if self._fragments is not None and event["type"] == "conversation.tainted":
                    event["html"] = await self._fragments.external(event["external_content"])
                await websocket.send(json.dumps(event, ensure_ascii=False))
            for conversation_id in tuple(self._followed):
                for run in self._site.runs.of(self._actor.user_id, conversation_id):
                    await self._send_run(run)

    async def _send_run(self, run: Run) -> None:
        # Looked up anew each time: while one is sent, the client may ask for those before it again.
        while (sent := max(self._sent.get(run.id, 0), 0)) < run.seq:
            event = run.events[sent]
            self._sent[run.id] = event["seq"]
            shown = event if self._fragments is None else await self._fragments.decorate(event, run)
            await websocket.send(json.dumps(shown, ensure_ascii=False))

    async def _last_words(self) -> None:
        # The last event of each run, if the other side still takes it.
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._send_new()

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(self._stay.patience)
            await self.recheck()


def _text(message: dict[str, Any], key: str, default: str | None = None) -> str:
    value = message.get(key, default)
    if not isinstance(value, str):
        raise UsageError("message_invalid", f"A {message.get('type')!r} message has a text under {key!r}.", "Add it.")
    return value
