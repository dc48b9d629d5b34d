"""What of a plan is shown and recorded: everything but file contents and the values of variables."""

from __future__ import annotations

from typing import Any

from toolhost.sandbox.outcome import LimitReport
from toolhost.sandbox.plan import SandboxPlan

__all__ = ["plan_view", "sandbox_facts"]


def plan_view(plan: SandboxPlan) -> dict[str, Any]:
    """The plan as people read it, on a card and in the audit log."""
    return {
        "kind": plan.kind,
        "argv": list(plan.argv),
        "arguments": plan.arguments,
        "cwd": plan.cwd,
        "mounts": [
            {
                "path": root.target,
                "source": root.source,
                "mode": "write" if root.writable else "read",
                "exec": root.executable,
                "hidden": [*root.hidden, *root.hidden_globs],
                "protected": list(root.protected),
            }
            for root in plan.roots
        ],
        "programs": [program.path for program in plan.programs],
        "env": [name for name, _ in plan.env],
        "network": list(plan.network),
        "isolation": plan.isolation,
        "labels": list(plan.labels),
        "plan_digest": plan.digest,
        "policy_digest": plan.policy_digest,
    }


def sandbox_facts(
    plan: SandboxPlan, limits: dict[str, LimitReport], armed: bool, quarantined: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The `sandbox` object of a result."""
    more = {"quarantined": list(quarantined)} if quarantined else {}
    return {
        "kind": plan.kind,
        "plan_digest": plan.digest,
        "limits": {name: {"value": report.value, "enforced_by": report.enforced_by} for name, report in limits.items()},
        "network": list(plan.network),
        "armed": armed,
        **more,
    }
