"""What a call says while it runs, told to whoever listens without the secrets of the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from toolhost.redaction import Redaction, Stream

if TYPE_CHECKING:
    from toolhost.approvals import Question
    from toolhost.model import Call

__all__ = ["OnEvent", "Telling"]

OnEvent = Callable[[dict[str, Any]], None]


class Telling:
    """Tells of one call.

    Args:
        call_id: The call.
        on_event: Who listens.
        redaction: Of the call's secrets.
        heard: Whether somebody does listen, who can be asked something.

    Attributes:
        redaction: The same.
        heard: The same.
    """

    def __init__(self, call_id: str, on_event: OnEvent, redaction: Redaction, *, heard: bool) -> None:
        self._call_id = call_id
        self._on_event = on_event
        self.redaction = redaction
        self.heard = heard
        self._streams: dict[str, Stream] = {}

    def output(self, stream: str, data: bytes) -> None:
        """A piece of output. What may be the beginning of a secret is told with the next piece."""
        if self.redaction:
            data = self._streams.setdefault(stream, self.redaction.stream()).feed(data)
        self._output(stream, data)

    def asked(self, question: Question, errand: Call) -> None:
        """A person is asked for something that the call's worker wants."""
        self._on_event(
            {
                "type": "approval.required",
                "approval_id": question.id,
                "call_id": errand.id,
                "parent_id": self._call_id,
                "tool": question.tool,
                "arguments": dict(question.arguments),
                "plan": dict(question.plan),
                "decision": question.decision.as_json(),
                "scopes": list(question.scopes),
                "grants": dict(question.grants),
                "risk": question.danger.as_json(),
                "change": question.change,
                "explanation": question.explanation,
                "expires": question.expires,
            }
        )

    def answered(self, question: Question, errand: Call, *, approved: bool) -> None:
        """And that is settled."""
        self._on_event(
            {
                "type": "approval.answered",
                "approval_id": question.id,
                "call_id": errand.id,
                "parent_id": self._call_id,
                "decision": "approve" if approved else "refuse",
            }
        )

    def inquired(self, inquiry: Mapping[str, Any]) -> None:
        """The call's tool wants to know something from its person."""
        self._on_event({"type": "tool.asked", **inquiry})

    def inquiry_settled(self, inquiry_id: str, outcome: str) -> None:
        """And that is over: `answered`, `declined`, `expired`, or `ended` with the call."""
        told = {"call_id": self._call_id, "inquiry_id": inquiry_id, "outcome": outcome}
        self._on_event({"type": "tool.answered", **told})

    def tainted(self, event: dict[str, Any]) -> None:
        """What the call's conversation has taken in meanwhile."""
        self._on_event(event)

    def progress(self, progress: Mapping[str, Any]) -> None:
        """How far it is."""
        told = self.redaction.value(dict(progress))
        self._on_event({"type": "tool.progress", "call_id": self._call_id, **told})

    def end(self, *, cut: bool) -> None:
        """The rest of the output, once there is no more; `cut` where the host cut it off."""
        for stream, held in self._streams.items():
            self._output(stream, held.end(cut=cut))

    def _output(self, stream: str, data: bytes) -> None:
        if data:
            self._on_event({"type": "tool.output", "call_id": self._call_id, "stream": stream, "data": data})
