"""What a tool card shows: one value, made from a stored record or from a call that is still under way."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolhost.approvals import Question
from toolhost.hints import Risk, Script, risks, script_of
from toolhost.policy.risk import Danger, danger_of
from toolhost.web.live import Chunk, LiveCall

__all__ = ["SHOWN_OUTPUT", "Card", "Limit", "card_of_live", "card_of_record", "output_of"]

SHOWN_OUTPUT = 48 * 1024
"""Characters of output that a card holds until somebody asks for all of it."""

_SHOWN_JSON = 64 * 1024
_SUMMARY = 96  # characters of a command on the folded card

_STATES = {
    "ok": "done",
    "error": "error",
    "denied": "denied",
    "approval_required": "waiting",
    "refused": "refused",
    "limit": "error",
    "timeout": "error",
    "cancelled": "cancelled",
    "unavailable": "error",
    "running": "interrupted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit as people read it."""

    name: str
    value: str
    enforced_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A tool card.

    Attributes:
        call_id: The call.
        tool: `plugin.tool`.
        state: `preparing`, `waiting`, `running`, `done`, `error`, `denied`, `refused`, `cancelled`, `expired`,
            `interrupted`.
        summary: The command, or the arguments, on one line.
        argv: One token each; empty for a tool in a worker.
        arguments: Name and value as text.
        script: The script it hands to a shell, taken apart to be read; or None.
        risks: Hints that make a person look twice.
        plan: As `plan_view` gives it, or None.
        decision: Outcome, code, reason, source; or None.
        error: Code, message, hint; or None.
        output: Standard output and error, told apart, as far as it is shown.
        hidden_output: Characters that are not shown.
        parts: Pieces of the result that are not text.
        limits: Each limit, with what enforced it where the call has run.
        sandbox: The result's sandbox facts, or None.
        exit_code: Of a command that ran to its end.
        duration: Such as `12 ms`; empty while it runs.
        started: Milliseconds since the epoch, while it runs.
        approval_id: The open question, while it waits.
        expires: When the question does, milliseconds since the epoch.
        offers: How much further than this call a yes may reach, and what would then be written down.
        change: While it waits, what it would change in files, from `toolhost.calls.change`; None where nobody knows.
        explanation: While it waits, what a model wrote when it asked for it, unchecked.
        danger: While it waits, how much it could do, from what its plan grants; or None.
        own: Whether the call itself waits, whose arguments can be changed, and not what it wants the host to run.
        inquiry: What its tool wants to know, in the plugin's words, while it waits for that; or None.
        truncated: Whether the output was cut by its limit.
        json: The result object as text.
    """

    call_id: str
    tool: str
    state: str
    summary: str
    argv: tuple[str, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    script: Script | None = None
    risks: tuple[Risk, ...] = ()
    plan: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    output: tuple[Chunk, ...] = ()
    hidden_output: int = 0
    parts: tuple[Mapping[str, Any], ...] = ()
    limits: tuple[Limit, ...] = ()
    sandbox: Mapping[str, Any] | None = None
    exit_code: int | None = None
    duration: str = ""
    started: int | None = None
    approval_id: str | None = None
    expires: int | None = None
    offers: Mapping[str, str] = field(default_factory=dict)
    change: Mapping[str, Any] | None = None
    explanation: str = ""
    danger: Danger | None = None
    own: bool = True
    inquiry: Mapping[str, Any] | None = None
    truncated: bool = False
    json: str = ""

    @property
    def open(self) -> bool:
        """Whether the call has not ended."""
        return self.state in ("preparing", "waiting", "running")

    @property
    def rule_file(self) -> str | None:
        """The policy file of the rule that decided, without the line."""
        source = None if self.decision is None else self.decision.get("source")
        return None if source is None else str(source).partition(":")[0]


def card_of_live(call: LiveCall, *, output: Sequence[Chunk] = ()) -> Card:
    """The card of a call that is under way, or has just ended."""
    if call.result is not None:
        return _finished(call.call_id, call.tool, call.arguments, call.argv, call.plan, call.result)
    state = call.state
    failed = "cancelled" if call.error is None else "error"
    shown, hidden = _tail(output)
    plan, decision, arguments, argv = call.plan, call.decision, call.arguments, call.argv
    offers, expires, change, explanation = call.offers, call.expires, call.change, call.explanation
    asked = call.asked.get(call.approval_id or "") if state == "waiting" else None
    if asked is not None:  # what a yes would run is shown, and not the call that wants it
        plan, decision, arguments, argv = asked["plan"], asked["decision"], asked["arguments"], ()
        offers, expires, change, explanation = asked["grants"], asked["expires"], None, ""
    waits = state == "waiting"
    return Card(
        call_id=call.call_id,
        tool=call.tool,
        state=failed if state == "failed" else state,
        inquiry=next(iter(call.inquired.values()), None) if waits and call.approval_id is None else None,
        plan=plan,
        decision=decision,
        error=call.error,
        output=shown,
        hidden_output=hidden,
        limits=_planned_limits(plan),
        started=call.started if state == "running" else None,
        approval_id=call.approval_id if waits else None,
        offers=offers,
        expires=expires,
        change=change,
        explanation=explanation,
        danger=_danger(plan, decision) if state == "waiting" else None,
        own=asked is None,
        json=_pretty({"call_id": call.call_id, "tool": call.tool, "arguments": dict(call.arguments)}),
        **_command(plan, arguments, argv),
    )


def card_of_record(record: Mapping[str, Any], pending: Question | None, argv: tuple[str, ...]) -> Card:
    """The card of a stored call.

    Args:
        record: As `Host.call_record` gives it.
        pending: Its open approval, or None.
        argv: The command it stands for, also where it was never planned.
    """
    state = _STATES[record["status"]]
    if state == "waiting" and pending is None:
        state = "expired"
    result = record["result"]
    if result is None or state in ("waiting", "expired"):
        decision = (result or {}).get("decision")
        return Card(
            call_id=record["call_id"],
            tool=record["tool"],
            state=state,
            plan=record["plan"],
            decision=decision,
            limits=_planned_limits(record["plan"]),
            approval_id=None if pending is None else pending.id,
            offers={} if pending is None else pending.grants,
            expires=None if pending is None else pending.expires,
            change=None if pending is None else pending.change,
            explanation="" if pending is None else pending.explanation,
            danger=None if pending is None else pending.danger,
            own=record["parent_id"] is None,
            json=_pretty(result or {"call_id": record["call_id"], "tool": record["tool"]}),
            **_command(record["plan"], record["arguments"], argv),
        )
    return _finished(record["call_id"], record["tool"], record["arguments"], argv, record["plan"], result)


def output_of(result: Mapping[str, Any] | None) -> tuple[Chunk, ...]:
    """All the output of a result."""
    if result is None:
        return ()
    chunks: list[Chunk] = []
    if result["stdout"]:
        chunks.append(Chunk("stdout", result["stdout"]))
    if result["stderr"]:
        chunks.append(Chunk("stderr", result["stderr"]))
    return tuple(chunks)


def _finished(
    call_id: str,
    tool: str,
    arguments: Mapping[str, Any],
    argv: tuple[str, ...],
    plan: Mapping[str, Any] | None,
    result: Mapping[str, Any],
) -> Card:
    shown, hidden = _head(output_of(result))
    sandbox = result["sandbox"]
    ran = result["status"] not in ("denied", "refused")
    return Card(
        call_id=call_id,
        tool=tool,
        state="expired" if (result["error"] or {}).get("code") == "approval_expired" else _STATES[result["status"]],
        plan=plan,
        decision=result["decision"],
        error=result["error"],
        output=shown,
        hidden_output=hidden,
        parts=_parts(result, shown),
        limits=_planned_limits(plan) if sandbox is None else _limits(sandbox["limits"]),
        sandbox=sandbox,
        exit_code=result["exit_code"],
        duration=_duration(result["duration_ms"]) if ran else "",
        truncated=bool(result["truncated"]),
        json=_pretty(result),
        **_command(plan, arguments, argv),
    )


def _parts(result: Mapping[str, Any], shown: Sequence[Chunk]) -> tuple[Mapping[str, Any], ...]:
    """What is not text. A value that a text already tells stays on the JSON tab."""
    told = frozenset({"text", "json"}) if shown else frozenset({"text"})
    return tuple(part for part in result["content"] if part.get("type") not in told)


def _command(
    plan: Mapping[str, Any] | None, arguments: Mapping[str, Any], attempted: tuple[str, ...]
) -> dict[str, Any]:
    argv = tuple(plan["argv"]) if plan is not None and plan["kind"] == "command" else attempted
    pairs = tuple((key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
                  for key, value in arguments.items())  # fmt: skip
    if argv:
        program = argv[0].rpartition("/")[2]
        line = shlex.join((program, *argv[1:]))
    else:
        line = " ".join(f"{key}={shlex.quote(value)}" for key, value in pairs)
    return {
        "argv": argv,
        "arguments": pairs,
        "summary": _middle(" ".join(line.split())),
        "script": script_of(argv),
        "risks": risks(argv),
    }


def _danger(plan: Mapping[str, Any] | None, decision: Mapping[str, Any] | None) -> Danger | None:
    return None if plan is None or decision is None else danger_of(plan, str(decision["code"]))


def _middle(line: str) -> str:
    """The line, its middle left out where it is long: the end of a command matters as much as its beginning."""
    if len(line) <= _SUMMARY:
        return line
    half = (_SUMMARY - 1) // 2
    return f"{line[:half]}…{line[-half:]}"


def _head(chunks: Sequence[Chunk]) -> tuple[tuple[Chunk, ...], int]:
    room, shown, hidden = SHOWN_OUTPUT, [], 0
    for chunk in chunks:
        text = chunk.text[:room]
        room -= len(text)
        hidden += len(chunk.text) - len(text)
        if text:
            shown.append(Chunk(chunk.stream, text))
    return tuple(shown), hidden


def _tail(chunks: Sequence[Chunk]) -> tuple[tuple[Chunk, ...], int]:
    room, shown, hidden = SHOWN_OUTPUT, [], 0
    for chunk in reversed(chunks):
        text = chunk.text[-room:] if room else ""
        room -= len(text)
        hidden += len(chunk.text) - len(text)
        if text:
            shown.append(Chunk(chunk.stream, text))
    return tuple(reversed(shown)), hidden


_BYTES = frozenset({"memory", "file_size", "output", "scratch", "workspace"})
_SECONDS = frozenset({"wall", "cpu"})


def _limits(limits: Mapping[str, Mapping[str, Any]]) -> tuple[Limit, ...]:
    return tuple(
        Limit(name=name, value=_amount(name, report["value"]), enforced_by=str(report["enforced_by"]))
        for name, report in limits.items()
    )


def _planned_limits(plan: Mapping[str, Any] | None) -> tuple[Limit, ...]:
    if plan is None:
        return ()
    return tuple(
        Limit(name=name, value=_amount(name, value), enforced_by="") for name, value in plan.get("limits", {}).items()
    )


def _amount(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name in _SECONDS:
        return f"{value:g} s"
    if name in _BYTES:
        for unit in ("B", "KiB", "MiB"):
            if value < 1024:
                return f"{value:g} {unit}"
            value /= 1024
        return f"{value:g} GiB"
    return f"{value:g}"


def _duration(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


def _pretty(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text if len(text) <= _SHOWN_JSON else text[:_SHOWN_JSON] + "\n…"
