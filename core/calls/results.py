"""From what happened to the result object."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolhost import metrics
from toolhost.errors import ToolHostError
from toolhost.model import Call, CallResult, Decision, Status
from toolhost.policy import limits_view
from toolhost.redaction import Redaction
from toolhost.sandbox.errors import SandboxError
from toolhost.sandbox.outcome import LimitReport, Outcome
from toolhost.sandbox.plan import SandboxPlan

if TYPE_CHECKING:
    from toolhost.approvals import Question
    from toolhost.pluginhost import WorkerReply

__all__ = ["ended", "failed", "from_outcome", "from_reply", "not_run", "redacted", "unattended"]

_STATUS: dict[str, Status] = {"signaled": "error", "timeout": "timeout", "limit": "limit", "cancelled": "cancelled"}


def ended(call: Call, status: Status, decision: Decision, *, approval_id: str | None = None) -> CallResult:
    """The result of a call that did not run, or not to its end, for a reason that is no failure."""
    errors: dict[str, dict[str, Any] | None] = {
        "denied": _error(decision.code, decision.reason, True, decision.hint),
        "approval_required": _error(
            "approval_required", "A person must approve this call first.", True, "Approve or refuse it."
        ),
        "cancelled": _error("cancelled", "The call was stopped.", True, ""),
    }
    return CallResult(
        call_id=call.id,
        tool=call.tool.name,
        status=status,
        error=errors.get(status),
        decision=decision,
        approval_id=approval_id,
    )


def unattended(decision: Decision) -> Decision:
    """An ask where nobody is there to be asked."""
    return replace(
        decision,
        outcome="deny",
        code="approval_needs_a_person",
        reason=f"{decision.reason} Nobody is there to be asked.",
        hint="Call the tool where a person can answer, or have an administrator allow what it runs.",
    )


def not_run(question: Question) -> CallResult:
    """The result of a call whose question was settled without a yes."""
    why = f": {question.reason}" if question.reason else "."
    who = "A person" if question.decided_by == question.user_id else "An administrator"
    errors = {
        "refused": _error(
            "approval_refused",
            f"{who} refused this call{why}",
            False,
            "Do not ask for the same again; ask what they would rather have.",
        ),
        "expired": _error(
            "approval_expired",
            "Nobody answered within ten minutes, which counts as a refusal.",
            False,
            "Make the call again when somebody is there to answer.",
        ),
        "changed": _error(
            "plan_changed",
            "What would have run was not what was asked about any more, or content from elsewhere had come in since.",
            True,
            "Make the call again and look at the new question.",
        ),
    }
    return CallResult(
        call_id=question.call_id,
        tool=question.tool,
        status="refused",
        error=errors[question.state],
        decision=question.decision,
        approval_id=question.id,
    )


def failed(
    call: Call, status: Status, decision: Decision, error: ToolHostError | SandboxError, approval_id: str | None
) -> CallResult:
    """The result of a call that the host could not carry out."""
    recoverable = isinstance(error, ToolHostError) and error.recoverable
    return CallResult(
        call_id=call.id,
        tool=call.tool.name,
        status=status,
        error=_error(error.code, error.message, recoverable, error.hint),
        decision=decision,
        approval_id=approval_id,
    )


def from_outcome(
    call: Call, plan: SandboxPlan, decision: Decision, approval_id: str | None, outcome: Outcome, started: float
) -> CallResult:
    """The result of a command that ran, and began at `started` by the performance counter."""
    metrics.SANDBOX_STARTS.inc(armed=_word(outcome.armed))
    if outcome.status in ("limit", "timeout"):
        metrics.SANDBOX_KILLS.inc(limit=outcome.limit or "wall")
    status: Status = "ok" if outcome.exit_code == 0 else _STATUS.get(outcome.status, "error")
    stdout = outcome.stdout.decode("utf-8", "replace")
    return CallResult(
        call_id=call.id,
        tool=call.tool.name,
        status=status,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        stdout=stdout,
        stderr=outcome.stderr.decode("utf-8", "replace"),
        truncated=outcome.truncated,
        content=({"type": "text", "text": stdout},) if stdout else (),
        error=_command_error(plan, status, outcome),
        decision=decision,
        approval_id=approval_id,
        sandbox=_sandbox(plan, outcome.limits, outcome.armed, outcome.violations),
        duration_ms=(time.perf_counter() - started) * 1000,
    )


def from_reply(
    call: Call, plan: SandboxPlan, decision: Decision, approval_id: str | None, reply: WorkerReply, started: float
) -> CallResult:
    """The result of a worker tool, likewise."""
    texts = [str(part["text"]) for part in reply.content if part.get("type") == "text"]
    metrics.SANDBOX_STARTS.inc(armed=_word(reply.armed))
    return CallResult(
        call_id=call.id,
        tool=call.tool.name,
        status=reply.status,
        stdout="\n".join(texts),
        stderr=reply.stderr,
        truncated=reply.truncated,
        content=reply.content,
        error=None if reply.error is None else reply.error.as_json(),
        decision=decision,
        approval_id=approval_id,
        sandbox=_sandbox(plan, reply.limits, reply.armed),
        duration_ms=(time.perf_counter() - started) * 1000,
    )


def redacted(result: CallResult, redaction: Redaction) -> CallResult:
    """A result without the secrets of its call, wherever in it they stand."""
    if not redaction:
        return result
    cut = result.truncated
    return replace(
        result,
        stdout=redaction.text(result.stdout, cut=cut),
        stderr=redaction.text(result.stderr, cut=cut),
        content=redaction.value(result.content),
        error=redaction.value(result.error),
        sandbox=redaction.value(result.sandbox),
    )


def _sandbox(
    plan: SandboxPlan, limits: Mapping[str, LimitReport], armed: bool, quarantined: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The `sandbox` object of a result: what held the call, as far as clients need it."""
    more = {"quarantined": list(quarantined)} if quarantined else {}
    return {
        "kind": plan.kind,
        "plan_digest": plan.digest,
        "limits": limits_view(limits),
        "network": list(plan.network),
        "counted_by": "process" if plan.kind == "worker" else "call",
        "armed": armed,
        **more,
    }


def _command_error(plan: SandboxPlan, status: Status, outcome: Outcome) -> dict[str, Any] | None:
    program = plan.argv[0].rpartition("/")[2]
    if status == "ok":
        return None
    if status == "timeout":
        return _error(
            "timeout",
            f"{program} ran longer than {plan.limits.wall:g} s and was ended.",
            True,
            "Ask for less at once, or ask an administrator to raise `wall` in the policy.",
        )
    if status == "limit":
        return _error(
            "limit_exceeded",
            f"{program} went over its limit of {outcome.limit} and was ended.",
            True,
            f"Ask for less at once, or ask an administrator to raise `{outcome.limit}` in the policy.",
        )
    if status == "cancelled":
        return _error("cancelled", "The call was stopped.", True, "")
    if outcome.signal is not None:
        return _error("tool_killed", f"{program} was ended by {_signal_name(outcome.signal)}.", True, "")
    why = "Its stderr says why." if outcome.stderr else "It said nothing; many programs end so when they find nothing."
    return _error("tool_failed", f"{program} ended with exit code {outcome.exit_code}.", True, why)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _error(code: str, message: str, recoverable: bool, hint: str) -> dict[str, Any]:
    return {"code": code, "message": message, "recoverable": recoverable, "hint": hint}


def _word(armed: bool) -> str:
    return "yes" if armed else "no"
