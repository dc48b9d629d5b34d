"""`POST /api/chat`: a message and its run as server-sent events, for programs without a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from quart import Blueprint, Response
from quart.typing import ResponseReturnValue

from toolhost.conversations import Conversation
from toolhost.errors import UsageError
from toolhost.web.bodies import read_object
from toolhost.web.choices import read_choice, read_entry
from toolhost.web.guard import current_actor, requires
from toolhost.web.live import Run
from toolhost.web.runs import Runs
from toolhost.web.site import site
from toolhost.web.workspaces import check_workspace

__all__ = ["blueprint"]

blueprint = Blueprint("chat_api", __name__, url_prefix="/api/chat")

_QUIET_SECONDS = 15.0  # after so long without an event a comment keeps proxies from closing the connection


@blueprint.post("")
@requires("chat", scope="chat", works=True)
async def chat() -> ResponseReturnValue:
    """Send a message; the events of its run follow. Who hangs up ends the watching, not the run."""
    parts, actor, body = site(), current_actor(), await read_object()
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
    if not stream:
        return await _whole(parts.runs, run)
    response = Response(_events(parts.runs, run), mimetype="text/event-stream")
    response.timeout = None  # an answer takes as long as it takes
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


async def _events(runs: Runs, run: Run) -> AsyncIterator[bytes]:
    async for event in _follow(runs, run):
        if event is None:
            yield b": still here\n\n"
        else:
            data = json.dumps(event, ensure_ascii=False)
            yield f"id: {event['seq']}\nevent: {event['type']}\ndata: {data}\n\n".encode()


async def _whole(runs: Runs, run: Run) -> ResponseReturnValue:
    """The answer in one piece; or what it waits for."""
    last: dict[str, Any] = {}
    waiting: list[dict[str, Any]] = []
    said: list[str] = []
    async for event in _follow(runs, run):
        if event is None:
            continue
        last = event
        if event["type"] == "message.completed" and event["entry"] is not None:
            said.append(event["entry"]["text"])
        elif event["type"] == "approval.required":
            waiting.append({"approval_id": event["approval_id"], "call_id": event["call_id"], "tool": event["tool"]})
        if waiting and run.waiting:
            break
    answer = {
        "run_id": run.id,
        "conversation_id": run.conversation_id,
        "state": last["type"].removeprefix("run.") if run.ended else "waiting",
        "text": "\n\n".join(said),
        "approvals": waiting if run.waiting else [],
        "error": last.get("error") if run.ended else None,
    }
    return answer, 200 if run.ended else 202


async def _follow(runs: Runs, run: Run) -> AsyncIterator[dict[str, Any] | None]:
    """The events of a run until its last; None where it has been quiet for a while."""
    wake = asyncio.Event()
    assert run.conversation_id is not None
    unsubscribe = runs.subscribe(run.actor.user_id, run.conversation_id, wake.set)
    seen = 0
    try:
        while True:
            for event in run.since(seen):
                seen = event["seq"]
                yield event
            if run.ended or runs.closing:
                return
            try:
                async with asyncio.timeout(_QUIET_SECONDS):
                    await wake.wait()
            except TimeoutError:
                yield None
            wake.clear()
    finally:
        unsubscribe()
