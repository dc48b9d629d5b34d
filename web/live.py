"""One run and its calls while they are under way: the numbered events, and the state a page shows in between."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from toolhost.agent.store import RunKind
from toolhost.approvals import Question
from toolhost.errors import UsageError
from toolhost.identifiers import now_ms
from toolhost.model import Actor, CallResult

__all__ = ["KEPT_OUTPUT", "Chunk", "Draft", "LiveCall", "LiveState", "Run", "Stream"]

Stream = Literal["stdout", "stderr"]
LiveState = Literal["preparing", "waiting", "running", "expired", "failed", "finished"]

KEPT_OUTPUT = 2 << 20
"""Characters of a call's live output that are kept and sent; the result has what the policy lets it have."""

_GATHER_SECONDS = (
    0.02  # what arrives so soon after an event waits for the next: ten thousand lines are not as many events
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of output."""

    stream: Stream
    text: str


def _decoders() -> dict[str, codecs.IncrementalDecoder]:
    return {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in ("stdout", "stderr")}


@dataclass(slots=True, kw_only=True)
class LiveCall:
    """A call that has not ended yet, as far as it is known.

    Attributes:
        request_id: The model's own name for it, where a model asked; what came before the call's id was known has it.
        change: What it would change in files, where that is known.
        explanation: What a model wrote when it asked for it.
        kept: Characters of output that were sent so far.
        asked: The open questions of what the running call wants the host to run, each as the event that told of it,
            by the question's id; the first is the one that is shown.
        inquired: What its tool wants to know from its person, likewise; shown where nothing waits to be approved.
    """

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
    change: Mapping[str, Any] | None = None
    explanation: str = ""
    created: int = field(default_factory=now_ms)
    started: int | None = None
    output: list[Chunk] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    request_id: str | None = None
    kept: int = 0
    asked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inquired: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    decoders: Mapping[str, codecs.IncrementalDecoder] = field(default_factory=_decoders)


@dataclass(slots=True, kw_only=True)
class Draft:
    """What a model is writing."""

    message_id: str
    model: str
    text: str = ""


class Run:
    """A run: its events so far, its calls, and what its model is writing.

    Args:
        run_id: `r_...`.
        actor: Whose it is.
        conversation_id: Where it is shown, or None for a call made without a conversation.
        kind: Whether a message began it, or a call.
        on_change: Called after each new event.

    Attributes:
        text: The message that began it.
        recorded: Whether it is written down already.
        leave: Takes it out of the queue where it waits for its turn.
        kept: What is written down of it when it ends, besides how.
        calls: Its calls by their id, in the order they were made.
        draft: What its model is writing, until that is an entry of the conversation.
        first_result: How far its first call came at first: its result, or the question it waits for.
    """

    def __init__(
        self,
        run_id: str,
        actor: Actor,
        conversation_id: str | None,
        kind: RunKind,
        on_change: Callable[[], None],
    ) -> None:
        self.id = run_id
        self.actor = actor
        self.conversation_id = conversation_id
        self.kind = kind
        self.text = ""
        self.recorded = False
        self.leave: Callable[[], None] = lambda: None
        self.kept: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self.calls: dict[str, LiveCall] = {}
        self.draft: Draft | None = None
        self.task: asyncio.Task[None] | None = None
        self.first_result: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        self.ended = False
        self.stopping = False
        self._on_change = on_change
        self._gathered: list[_Piece] = []
        self._gathering = ""
        self._flushed = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def seq(self) -> int:
        """The number of the newest event."""
        return len(self.events)

    @property
    def waiting(self) -> bool:
        """Whether a call of it waits for a person."""
        return any(call.state == "waiting" for call in self.calls.values())

    def since(self, seq: int) -> list[dict[str, Any]]:
        """The events after a number."""
        return self.events[max(seq, 0) :]

    def emit(self, kind: str, **fields: Any) -> None:
        """Add an event. What was gathered of output and text comes first."""
        self._flush()
        self._gathering = ""
        self._add(kind, fields)

    def end(self, kind: str, **fields: Any) -> None:
        """Add the run's last event; a second one is ignored."""
        if not self.ended:
            self._flush()
            self.draft = None
            for call in self.calls.values():
                if call.state in ("preparing", "waiting", "running"):
                    call.state, call.error = "failed", fields.get("error")
                    self._add("tool.ended", {"call_id": call.call_id, "error": call.error})
            self.ended = True
            self._add(kind, fields)

    def abandon(self, error: Exception | None = None) -> None:
        """Nobody shall wait for a first result that will not come."""
        if not self.first_result.done():
            self.first_result.set_exception(
                error or UsageError("run_stopped", "The run was stopped before its call ended.", "Make the call again.")
            )
            self.first_result.exception()  # whoever asked may be gone: then nobody reads it, and that is fine

    # What the host tells of a call

    def from_host(self, call: LiveCall, event: dict[str, Any]) -> None:
        """Take an event of the host: the call has started, has printed something, has got further."""
        if self.ended:
            return
        kind = event["type"]
        if kind == "tool.output":
            stream: Stream = "stderr" if event["stream"] == "stderr" else "stdout"
            room = KEPT_OUTPUT - call.kept
            text = call.decoders[stream].decode(event["data"])[: max(room, 0)]
            call.kept += len(text)
            self._gather(_Piece("tool.output", {"call_id": call.call_id, "stream": stream}, text))
        elif kind == "tool.started":
            call.state, call.started = "running", now_ms()
            call.plan, call.decision = event.get("plan"), event.get("decision")
            self.emit(kind, **{key: value for key, value in event.items() if key != "type"})
        elif kind in ("approval.required", "approval.answered", "tool.asked", "tool.answered"):
            self._person(call, kind, event)
        else:
            self.emit(kind, **{key: value for key, value in event.items() if key != "type"})

    def _person(self, call: LiveCall, kind: str, event: Mapping[str, Any]) -> None:
        """The running call waits for a person, or does not any more: it wants the host to run something, or to know."""
        if kind == "approval.required":
            call.asked = {**call.asked, event["approval_id"]: event}
        elif kind == "approval.answered":
            call.asked = {key: asked for key, asked in call.asked.items() if key != event["approval_id"]}
        elif kind == "tool.asked":
            call.inquired = {**call.inquired, event["inquiry_id"]: event}
        else:
            call.inquired = {key: asked for key, asked in call.inquired.items() if key != event["inquiry_id"]}
        call.state = "waiting" if call.asked or call.inquired else "running"
        call.approval_id = next(iter(call.asked), None)
        self.emit(kind, **{key: value for key, value in event.items() if key != "type"})

    def wait_for(self, call: LiveCall, question: Question) -> None:
        """A call waits for a person. Nobody is told before `tell`: what was told must outlive this process."""
        call.state, call.approval_id, call.expires = "waiting", question.id, question.expires
        call.plan, call.decision, call.offers = question.plan, question.decision.as_json(), question.grants
        call.change, call.explanation = question.change, question.explanation
        if any(event.get("approval_id") == question.id for event in self.events):
            return  # it was said before the host was started again
        self._flush()
        self._add(
            "approval.required",
            {
                "approval_id": question.id,
                "call_id": call.call_id,
                "tool": call.tool,
                "expires": question.expires,
                "plan": call.plan,
                "decision": call.decision,
                "scopes": list(question.scopes),
                "grants": dict(call.offers),
                "risk": question.danger.as_json(),
                "change": call.change,
                "explanation": call.explanation,
            },
            tell=False,
        )

    def tell(self) -> None:
        """Let watchers look again."""
        self._on_change()

    def expire(self, call: LiveCall, approval_id: str) -> None:
        """Nobody answered in time."""
        call.state = "expired"
        self.emit("approval.expired", approval_id=approval_id, call_id=call.call_id)

    def fail(self, call: LiveCall, error: Mapping[str, Any]) -> None:
        """A call could not be carried out."""
        call.state, call.error = "failed", error
        self.emit("tool.ended", call_id=call.call_id, error=error)

    def finish(self, call: LiveCall, result: CallResult) -> None:
        """A call has its result."""
        self._flush()
        call.state, call.result = "finished", result.as_json()
        call.output.clear()  # the result has it now
        self.emit("tool.completed", call_id=result.call_id, result=call.result)

    # What a model writes

    def begin_message(self, message_id: str, model: str) -> None:
        """A model begins to write."""
        self.draft = Draft(message_id=message_id, model=model)
        self.emit("message.started", message_id=message_id, model=model)

    def add_text(self, message_id: str, text: str) -> None:
        """A model wrote a piece of its message."""
        self._gather(_Piece("message.delta", {"message_id": message_id}, text))

    def add_thought(self, message_id: str, text: str) -> None:
        """A model let a piece of its reasoning be seen."""
        self._gather(_Piece("message.reasoning", {"message_id": message_id}, text))

    def add_arguments(self, request_id: str, text: str) -> None:
        """A model wrote a piece of a call's arguments."""
        self._gather(_Piece("tool.arguments", {"request_id": request_id}, text))

    def end_message(self, message_id: str, entry: Mapping[str, Any] | None) -> None:
        """A model's message is complete, and an entry of the conversation where it holds any text."""
        self._flush()
        self.draft = None
        self.emit("message.completed", message_id=message_id, entry=entry)

    def _gather(self, piece: _Piece) -> None:
        """Pieces that follow one another closely are one event; what comes after a pause is sent at once."""
        if not piece.text or self.ended:
            return
        if self._gathered and self._gathered[-1].of_the_same(piece):
            self._gathered[-1] = replace(piece, text=self._gathered[-1].text + piece.text)
        else:
            self._gathered.append(piece)
        first, self._gathering = piece.kind != self._gathering, piece.kind
        loop = asyncio.get_running_loop()
        if piece.kind != "tool.output" and (first or loop.time() - self._flushed >= _GATHER_SECONDS):
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(_GATHER_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._gathered:
            self._flushed = asyncio.get_running_loop().time()
            self._add_gathered()

    def _add_gathered(self) -> None:
        pieces, self._gathered = self._gathered, []
        for piece in () if self.ended else pieces:
            if piece.kind == "tool.output":
                self.calls[piece.of["call_id"]].output.append(Chunk(piece.of["stream"], piece.text))
            elif piece.kind == "message.delta" and self.draft is not None:
                self.draft.text += piece.text
            self._add(piece.kind, {**piece.of, "text": piece.text})

    def _add(self, kind: str, fields: Mapping[str, Any], *, tell: bool = True) -> None:
        self.events.append(
            {"type": kind, "seq": len(self.events) + 1, "run_id": self.id, "timestamp": now_ms(), **fields}
        )
        if tell:
            self._on_change()


@dataclass(frozen=True, slots=True)
class _Piece:
    """Text that may become one event together with what follows."""

    kind: str
    of: Mapping[str, Any]
    text: str

    def of_the_same(self, other: _Piece) -> bool:
        return self.kind == other.kind and self.of == other.of
