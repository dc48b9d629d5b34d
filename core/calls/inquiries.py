"""Inquiries: what a running tool wants to know from the person whose call it is.

The words are the plugin's, and untrusted; whoever shows them says so. An answer goes to that tool and nowhere else: it
is no approval, and nothing is decided by it. An inquiry lives in memory, as the call does that waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolhost.approvals import LIFETIME_MS
from toolhost.errors import AccessError, ToolHostError, UsageError
from toolhost.identifiers import new_id, now_ms
from toolhost.model import Actor, Call
from toolhost.pluginhost.schemas import clean_text
from toolhost.pluginhost.wire import whole_text

if TYPE_CHECKING:
    from toolhost.audit import AuditLog
    from toolhost.calls.telling import Telling

__all__ = ["MOST_CHARACTERS", "Inquiries", "Inquiry"]

MOST_CHARACTERS = 4000
"""Of a question, and of an answer."""
_MOST_CHOICES = 20
_LONGEST_CHOICE = 200
_MOST = 16
"""Inquiries of one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """One of them.

    Attributes:
        id: `i_...`.
        call_id: The call that asks.
        user_id: Whose call that is: nobody else can answer.
        conversation_id: Where the call was made, or None.
        tool: `plugin.tool`.
        question: The plugin's words, without what could rewrite the line they are shown in.
        choices: What can be answered; empty for any text.
        expires: Milliseconds since the epoch.
    """

    id: str
    call_id: str
    user_id: str
    conversation_id: str | None
    tool: str
    question: str
    choices: tuple[str, ...]
    expires: int

    def as_json(self) -> dict[str, Any]:
        """The inquiry as clients are told of it."""
        return {
            "inquiry_id": self.id,
            "call_id": self.call_id,
            "tool": self.tool,
            "question": self.question,
            "choices": list(self.choices),
            "expires": self.expires,
        }


class Inquiries:
    """All that are open. One per host.

    Args:
        audit: Where each is recorded, with its answer.

    Attributes:
        on_change: Told who is asked something else than before.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self.on_change: Callable[[str], None] = lambda user_id: None
        self._open: dict[str, tuple[Inquiry, asyncio.Future[str | None]]] = {}
        self._asked: dict[str, int] = {}

    async def ask(
        self,
        call: Call,
        wanted: Mapping[str, Any],
        telling: Telling,
        standing: Callable[[], AbstractContextManager[None]],
    ) -> str:
        """Ask the person whose call it is, and wait for the answer.

        Args:
            call: The call that wants to know.
            wanted: What its worker says: unchecked.
            telling: Tells the call's listener; without one, nobody can be asked.
            standing: Stops the call's clock meanwhile.

        Raises:
            ToolHostError: `nobody_to_ask`, `inquiry_declined`, `inquiry_expired`, `too_many_inquiries`,
                `invalid_errand`, `audit_unavailable`.
        """
        if not call.attended or not telling.heard:
            raise ToolHostError(
                "nobody_to_ask",
                "The tool wants to know something, and nobody is there to be asked.",
                "Call it where a person can answer, or give it what it needs in its arguments.",
            )
        inquiry = self._read(call, wanted, telling)
        answered: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._record("tool.asked", call, inquiry, question=inquiry.question, choices=list(inquiry.choices))
        self._open[inquiry.id] = inquiry, answered
        self.on_change(inquiry.user_id)
        outcome, answer = "ended", None
        telling.inquired(inquiry.as_json())
        try:
            with standing():
                async with asyncio.timeout(LIFETIME_MS / 1000):
                    answer = await answered
            outcome = "declined" if answer is None else "answered"
        except TimeoutError:
            outcome = "expired"
        finally:
            del self._open[inquiry.id]
            self.on_change(inquiry.user_id)
            telling.inquiry_settled(inquiry.id, outcome)
            said = None if answer is None else telling.redaction.text(answer)
            self._record("tool.answered", call, inquiry, outcome=outcome, answer=said)
        if answer is None:
            raise _unanswered(outcome)
        return answer

    def forget(self, call_id: str) -> None:
        """A call has ended."""
        self._asked.pop(call_id, None)

    def of(self, actor: Actor) -> list[Inquiry]:
        """What the actor is asked now, the oldest first."""
        return [inquiry for inquiry, _ in self._open.values() if inquiry.user_id == actor.user_id]

    def answer(self, inquiry_id: str, actor: Actor, answer: object) -> None:
        """Answer one of the actor's own; None declines.

        Raises:
            AccessError: `inquiry_not_found`, also for somebody else's; `answer_needs_a_person`.
            UsageError: `answer_invalid`; it stays open.
        """
        inquiry, answered = self._open.get(inquiry_id, (None, None))
        if inquiry is None or answered is None or answered.done() or inquiry.user_id != actor.user_id:
            raise AccessError(
                "inquiry_not_found",
                "No tool waits for this answer of yours.",
                "It was answered, or the call has ended.",
            )
        if not actor.attended:
            raise AccessError(
                "answer_needs_a_person", "An API key cannot answer for a person.", "Sign in and answer there."
            )
        if answer is not None:
            answer = _checked(inquiry, answer)
        answered.set_result(answer)

    def _read(self, call: Call, wanted: Mapping[str, Any], telling: Telling) -> Inquiry:
        """What a worker wants to know, as it may be shown."""
        question, choices = wanted.get("question"), wanted.get("choices")
        told = () if choices is None else choices
        if (
            not isinstance(question, str)
            or not isinstance(told, list | tuple)
            or not all(isinstance(one, str) for one in told)
        ):
            raise ToolHostError(
                "invalid_errand", "The tool asked for something malformed: a question is a text, and so is each choice."
            )
        shown = clean_text(telling.redaction.text(question), MOST_CHARACTERS)
        offered = tuple(clean_text(telling.redaction.text(one), _LONGEST_CHOICE) for one in told[: _MOST_CHOICES + 1])
        if not shown or not all(offered) or len(set(offered)) != len(offered) or len(offered) > _MOST_CHOICES:
            raise ToolHostError(
                "invalid_errand",
                f"The tool asked for something malformed: a question has words, and at most {_MOST_CHOICES} choices, "
                "each with words of its own.",
            )
        self._asked[call.id] = self._asked.get(call.id, 0) + 1
        if self._asked[call.id] > _MOST:
            raise ToolHostError("too_many_inquiries", f"A call can ask a person at most {_MOST} questions.")
        return Inquiry(
            id=new_id("i"),
            call_id=call.id,
            user_id=call.actor.user_id,
            conversation_id=call.conversation_id,
            tool=call.tool.name,
            question=shown,
            choices=offered,
            expires=now_ms() + LIFETIME_MS,
        )

    def _record(self, event: str, call: Call, inquiry: Inquiry, **more: object) -> None:
        self._audit.write(
            "tools", event, {"tool": inquiry.tool, "inquiry_id": inquiry.id, **more}, actor=call.actor, call_id=call.id
        )


def _checked(inquiry: Inquiry, answer: object) -> str:
    if isinstance(answer, str) and (answer in inquiry.choices if inquiry.choices else len(answer) <= MOST_CHARACTERS):
        return whole_text(answer)
    what = "one of the choices" if inquiry.choices else f"a text of up to {MOST_CHARACTERS} characters"
    raise UsageError("answer_invalid", f"The answer is {what}, or null to say nothing.", "Send one of these.")


def _unanswered(outcome: str) -> ToolHostError:
    if outcome == "expired":
        return ToolHostError(
            "inquiry_expired", "Nobody answered the tool's question in time.", "Call it again when somebody is there."
        )
    return ToolHostError("inquiry_declined", "The person did not want to answer.", "Do without, or say why it matters.")
