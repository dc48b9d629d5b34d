"""What the audit log has of a call: why it was denied; or what was about to run, whom it reached, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from toolhost.audit import Encoded
from toolhost.calls.connections import connection_details
from toolhost.calls.results import failed
from toolhost.errors import MachineError
from toolhost.model import Call, CallResult, Decision
from toolhost.policy import Considered, plan_view
from toolhost.redaction import Redaction

if TYPE_CHECKING:
    from toolhost.audit import AuditLog
    from toolhost.sandbox import Connection
    from toolhost.sandbox.plan import SandboxPlan

__all__ = ["Recording"]


class Recording:
    """Writes it. A record that cannot be written raises `audit_unavailable`, but for that of what has run already.

    Args:
        audit: The log.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def denied(self, call: Call, considered: Considered, attempted: object) -> None:
        """It was denied, and that is the whole of it.

        Args:
            call: The call.
            considered: What came of it.
            attempted: Its argument vector, or a worker tool's arguments.
        """
        decision = considered.decision
        self._audit.write(
            "security",
            "command_blocked",
            {
                "tool": call.tool.name,
                "command": attempted,
                "reason": decision.code,
                "rule": decision.source,
                "decision": decision.as_record(),
                "policy_digest": considered.policies.digest(call.tool.plugin),
                **_parent(call),
            },
            actor=call.actor,
            call_id=call.id,
            level="WARNING",
        )

    def tainted(self, call: Call, origins: Sequence[str]) -> None:
        """It is the first of its tool that may bring content from elsewhere into its conversation."""
        self._audit.write(
            "security",
            "conversation.tainted",
            {"tool": call.tool.name, "conversation_id": call.conversation_id, "origins": list(origins)},
            actor=call.actor,
            call_id=call.id,
        )

    def intent(self, call: Call, plan: SandboxPlan, decision: Decision, approval_id: str | None) -> None:
        """It is about to run."""
        self._audit.write(
            "tools",
            "tool.intent",
            {
                "tool": call.tool.name,
                "plan": plan.derived("encoded view", _encoded_view),
                "decision": decision.as_record(),
                "approval_id": approval_id,
                "conversation_id": call.conversation_id,
                **({} if call.asked is None else {"asked": dict(call.asked)}),
                **_parent(call),
            },
            actor=call.actor,
            call_id=call.id,
        )

    def connection(self, call: Call, made: Connection, redaction: Redaction) -> None:
        """It has reached, or tried to reach, another machine."""
        self._audit.write(
            "security",
            "egress.connection",
            {"tool": call.tool.name, **connection_details(made, redaction.text(made.host))},
            actor=call.actor,
            call_id=call.id,
            level="INFO" if made.code == "ok" else "WARNING",
        )

    def outcome(self, call: Call, plan: SandboxPlan, result: CallResult) -> CallResult:
        """It has ended. Its result; where that cannot be recorded, one that says so, and withholds it."""
        try:
            self._ended(call, plan, result)
        except MachineError as error:
            why = self._audit.failing[1] if self._audit.failing is not None else error.message
            told = MachineError(
                "outcome_unrecorded",
                f"It ran and ended with `{result.status}`, and that could not be recorded: {why}.",
                "Look at what it changed before you call it again.",
            )
            withheld = failed(call, "unavailable", result.decision, told, result.approval_id)
            return replace(withheld, duration_ms=result.duration_ms)
        return result

    def _ended(self, call: Call, plan: SandboxPlan, result: CallResult) -> None:
        self._audit.write(
            "tools",
            "tool.outcome",
            {
                "tool": call.tool.name,
                "status": result.status,
                "exit_code": result.exit_code,
                "signal": result.signal,
                "stdout_bytes": len(result.stdout),
                "stderr_bytes": len(result.stderr),
                "truncated": result.truncated,
                "quarantined": (result.sandbox or {}).get("quarantined", []),
                "error": None if result.error is None else result.error["code"],
                "plan_digest": plan.digest,
                "duration_ms": round(result.duration_ms, 3),
                **_parent(call),
            },
            actor=call.actor,
            call_id=call.id,
            level="INFO" if result.status == "ok" else "WARNING",
        )


def _encoded_view(plan: SandboxPlan) -> Encoded:
    return Encoded.of(plan.derived("view", plan_view))


def _parent(call: Call) -> dict[str, str]:
    """What the record of an errand has besides."""
    return {} if call.parent_id is None else {"parent_id": call.parent_id}
