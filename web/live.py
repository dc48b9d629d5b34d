"""One run and its call while they are under way: the numbered events, and the state a page shows in between."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from toolhost.approvals import Question
from toolhost.errors import UsageError
from toolhost.identifiers import now_ms
from toolhost.model import Actor, CallResult

__all__ = ["KEPT_OUTPUT", "Chunk", "LiveCall", "LiveState", "Run", "Stream"]

Stream = Literal["stdout", "stderr"]
LiveState = Literal["preparing", "waiting", "running", "expired", "failed", "finished"]

KEPT_OUTPUT = 2 << 20
"""Characters of a call's live output that are kept and sent; the result has what the policy lets it have."""

_GATHER_SECONDS = 0.04  # output that arrives within this is one event: ten thousand lines are not ten thousand events


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of output."""

    stream: Stream
    text: str


@dataclass(slots=True, kw_only=True)
class LiveCall:
    """A call that has not ended yet, as far as it is known."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any]
    argv: tuple[str, ...] = ()
    state: LiveState = "preparing"
    plan: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None
    approval_id: str | None = None
    expires: int | None = None
    offers: Mapping[str, str] = field(default_factory=dict)
    created: int = field(default_factory=now_ms)
    started: int | None = None
    output: list[Chunk] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: Mapping[str, Any] | None = None


class Run:
    """A run: its events so far, and its call.

    Args:
        run_id: `r_...`.
        actor: Whose it is.
        conversation_id: Where it is shown, or None for a call made without a conversation.
        on_change: Called after each new event.

    Attributes:
        first_result: How far the call came at first: its result, or the question it waits for.
    """

    def __init__(self, run_id: str, actor: Actor, conversation_id: str | None, on_change: Callable[[], None]) -> None:
        self.id = run_id
        self.actor = actor
        self.conversation_id = conversation_id
        self.events: list[dict[str, Any]] = []
        self.call: LiveCall | None = None
        self.task: asyncio.Task[None] | None = None
        self.answered: asyncio.Future[Callable[[], Awaitable[CallResult]]]
        self.first_result: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        self.ended = False
        self.stopping = False
        self._on_change = on_change
        self._gathered: list[Chunk] = []
        self._kept = 0
        self._timer: asyncio.TimerHandle | None = None
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in ("stdout", "stderr")}

    @property
    def seq(self) -> int:
        """The number of the newest event."""
        return len(self.events)

    def since(self, seq: int) -> list[dict[str, Any]]:
        """The events after a number."""
        return self.events[max(seq, 0) :]

    def emit(self, kind: str, **fields: Any) -> None:
        """Add an event. What was gathered of the output comes first."""
        self._flush()
        self._add(kind, fields)

    def end(self, kind: str, **fields: Any) -> None:
        """Add the run's last event; a second one is ignored."""
        if not self.ended:
            self._flush()
            self.ended = True
            if self.call is not None and self.call.state in ("preparing", "waiting", "running"):
                self.call.state, self.call.error = "failed", fields.get("error")
            self._add(kind, fields)

    def abandon(self, error: Exception | None = None) -> None:
        """Nobody shall wait for a first result that will not come."""
        if not self.first_result.done():
            self.first_result.set_exception(
                error or UsageError("run_stopped", "The run was stopped before its call ended.", "Make the call again.")
            )
            self.first_result.exception()  # whoever asked may be gone: then nobody reads it, and that is fine

    # What the host tells of the call

    def from_host(self, event: dict[str, Any]) -> None:
        """Take an event of the host: the call has started, has printed something, has got further."""
        call = self.call
        if call is None or self.ended:
            return
        kind = event["type"]
        if kind == "tool.output":
            stream: Stream = "stderr" if event["stream"] == "stderr" else "stdout"
            self._gather(stream, self._decoders[stream].decode(event["data"]))
        elif kind == "tool.started":
            call.state, call.started = "running", now_ms()
            call.plan, call.decision = event.get("plan"), event.get("decision")
            self.emit(kind, **{key: value for key, value in event.items() if key != "type"})
        else:
            self.emit(kind, **{key: value for key, value in event.items() if key != "type"})

    def wait_for(self, question: Question) -> None:
        """The call waits for a person."""
        assert self.call is not None
        call = self.call
        call.state, call.approval_id, call.expires = "waiting", question.id, question.expires
        call.plan, call.decision, call.offers = question.plan, question.decision.as_json(), question.grants
        self.emit(
            "approval.required",
            approval_id=question.id,
            call_id=call.call_id,
            tool=call.tool,
            expires=question.expires,
            plan=call.plan,
            decision=call.decision,
            scopes=list(question.scopes),
            grants=dict(call.offers),
        )

    def expire(self, approval_id: str) -> None:
        """Nobody answered in time."""
        assert self.call is not None
        self.call.state = "expired"
        self.emit("approval.expired", approval_id=approval_id, call_id=self.call.call_id)

    def finish(self, result: CallResult) -> None:
        """The call has its result."""
        assert self.call is not None
        self._flush()
        self.call.state, self.call.result = "finished", result.as_json()
        self.call.output.clear()  # the result has it now
        self.emit("tool.completed", call_id=result.call_id, result=self.call.result)

    def _gather(self, stream: Stream, text: str) -> None:
        room = KEPT_OUTPUT - self._kept
        if not text or room <= 0:
            return
        text = text[:room]
        self._kept += len(text)
        if self._gathered and self._gathered[-1].stream == stream:
            self._gathered[-1] = Chunk(stream, self._gathered[-1].text + text)
        else:
            self._gathered.append(Chunk(stream, text))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._gathered or self.call is None or self.ended:
            return
        chunks, self._gathered = self._gathered, []
        for chunk in chunks:
            self.call.output.append(chunk)
            self._add("tool.output", {"call_id": self.call.call_id, "stream": chunk.stream, "text": chunk.text})

    def _add(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.events.append(
            {"type": kind, "seq": len(self.events) + 1, "run_id": self.id, "timestamp": now_ms(), **fields}
        )
        self._on_change()
