"""`POST /api/chat`: a message and its run as server-sent events, for programs without a WebSocket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from quart import Blueprint, Response
from quart.typing import ResponseReturnValue

from toolhost.accounts import Principal
from toolhost.conversations import Conversation
from toolhost.errors import AccessError, UsageError
from toolhost.identifiers import now_ms
from toolhost.model import Actor
from toolhost.web.bodies import read_object
from toolhost.web.choices import read_choice, read_entry
from toolhost.web.guard import abandonable, ask_again, current, current_actor, requires
from toolhost.web.live import Run
from toolhost.web.site import Site, site
from toolhost.web.staying import Stay
from toolhost.web.workspaces import check_workspace

__all__ = ["blueprint"]

blueprint = Blueprint("chat_api", __name__, url_prefix="/api/chat")


@blueprint.post("")
@requires("chat", scope="chat", works=True)
@abandonable
async def chat() -> ResponseReturnValue:
    """Send a message; the events of its run follow. Who hangs up ends the watching, not the run."""
    parts, body = site(), await read_object()
    await ask_again()
    actor = current_actor()
    text, wanted, stream = body.get("message"), body.get("conversation_id"), body.get("stream", True)
    if not isinstance(text, str) or not isinstance(wanted, str | None) or not isinstance(stream, bool):
        raise UsageError(
            "body_invalid",
            "`message` is a text, `conversation_id` an id or null, `stream` true or false.",
            "Send them so.",
        )

    async def conversation() -> Conversation:
        if wanted is not None:
            return await parts.conversations.get(actor.user_id, wanted)
        workspace = check_workspace(parts.host, actor, body.get("workspace"))
        return await parts.conversations.create(actor.user_id, workspace=workspace)

    run = await parts.messages.send(
        actor, conversation, text, read_choice(body), edit_of=read_entry(body, "edit_of", None)
    )
    watcher = _Watcher(parts, run, current(), actor)
    if not stream:
        return await _whole(watcher, run)
    response = Response(_events(watcher), mimetype="text/event-stream")
    response.timeout = None  # an answer takes as long as it takes
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


class _Watcher:
    """Whoever follows a run from here. Ends with the run, or with their right to be here."""

    def __init__(self, parts: Site, run: Run, principal: Principal, actor: Actor) -> None:
        self._site = parts
        self._run = run
        self._stay = Stay(parts.accounts, principal, actor, self.close_with)
        self._wake = asyncio.Event()
        self.closed = False

    async def recheck(self) -> None:
        """Ask again whose this is."""
        await self._stay.recheck()

    def tell(self, kind: str, user_id: str | None = None) -> None:
        """Nothing but the events of the run is sent."""

    def tell_in(self, user_id: str, conversation_id: str, kind: str, **fields: Any) -> None:
        """Likewise."""

    def close_with(self, code: int) -> None:
        """Begin to close."""
        self.closed = True
        self._wake.set()

    async def follow(self) -> AsyncGenerator[dict[str, Any] | None]:
        """The events of the run until its last; None where it has been quiet for a while."""
        run, runs = self._run, self._site.runs
        assert run.conversation_id is not None
        unsubscribe = runs.subscribe(run.actor.user_id, run.conversation_id, self._wake.set)
        self._site.streams.add(self)
        seen, look = 0, time.monotonic() + self._stay.patience
        try:
            while True:
                for event in run.since(seen):
                    if self.closed:
                        return
                    seen = event["seq"]
                    yield event
                if run.ended or runs.closing or self.closed:
                    return
                try:
                    async with asyncio.timeout(max(0.0, look - time.monotonic())):
                        await self._wake.wait()
                except TimeoutError:
                    yield None
                self._wake.clear()
                if time.monotonic() >= look:
                    await self.recheck()
                    look = time.monotonic() + self._stay.patience
        finally:
            self._site.streams.remove(self)
            unsubscribe()


async def _events(watcher: _Watcher) -> AsyncIterator[bytes]:
    async with aclosing(watcher.follow()) as events:
        async for event in events:
            yield b": still here\n\n" if event is None else _spelled(event)
    if watcher.closed:
        said = {"type": "error", "seq": 0, "run_id": None, "timestamp": now_ms(), "error": _gone().as_json()}
        yield _spelled(said)


def _spelled(event: dict[str, Any]) -> bytes:
    data = json.dumps(event, ensure_ascii=False)
    return f"id: {event['seq']}\nevent: {event['type']}\ndata: {data}\n\n".encode()


async def _whole(watcher: _Watcher, run: Run) -> ResponseReturnValue:
    """The answer in one piece; or what it waits for."""
    last: dict[str, Any] = {}
    waiting: list[dict[str, Any]] = []
    said: list[str] = []
    async with aclosing(watcher.follow()) as events:
        async for event in events:
            if event is None:
                continue
            last = event
            if event["type"] == "message.completed" and event["entry"] is not None:
                said.append(event["entry"]["text"])
            elif event["type"] == "approval.required":
                asked = {"approval_id": event["approval_id"], "call_id": event["call_id"], "tool": event["tool"]}
                waiting.append(asked)
            if waiting and run.waiting:
                break
    if watcher.closed:
        raise _gone()
    answer = {
        "run_id": run.id,
        "conversation_id": run.conversation_id,
        "state": last["type"].removeprefix("run.") if run.ended else "waiting",
        "text": "\n\n".join(said),
        "approvals": waiting if run.waiting else [],
        "error": last.get("error") if run.ended else None,
    }
    return answer, 200 if run.ended else 202


def _gone() -> AccessError:
    return AccessError(
        "not_authenticated",
        "The session or key of this request has ended, or its address was blocked.",
        "Sign in again.",
    )
