"""A decision in words: what would run, under which rule, with what; or why not, and what would be allowed instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from toolhost.policy.labels import LABELS
from toolhost.policy.limit_table import LIMITS, show_limit
from toolhost.policy.request import Considered, Request
from toolhost.sandbox.plan import Root, SandboxPlan

__all__ = ["explain", "explain_json"]


def explain(considered: Considered, request: Request) -> str:
    """The decision as text for people; its first line is `decision: allow`, `ask` or `deny`."""
    decision = considered.decision
    lines = [f"decision: {decision.outcome}", f"code: {decision.code}", f"reason: {_visible(decision.reason)}"]
    lines.append(f"rule: {decision.source or 'none'}")
    lines.append(f"tool: {request.tool.name}")
    if considered.plan is not None:
        lines.extend(_plan(considered.plan))
    else:
        if request.argv is not None:
            lines.extend(_block("asked", request.argv))
        if considered.rules:
            lines.extend(
                _block(
                    "would be decided otherwise",
                    (f"{rule.outcome} {rule.place}: {rule.text}" for rule in considered.rules[:10]),
                )
            )
        if decision.hint:
            lines.append(f"hint: {_visible(decision.hint)}")
    lines.extend(f"warning: {warning}" for warning in considered.warnings)
    return "\n".join(lines) + "\n"


def explain_json(considered: Considered, request: Request) -> dict[str, Any]:
    """The same as a JSON object."""
    plan = considered.plan
    return {
        "decision": considered.decision.as_json(),
        "hint": considered.decision.hint,
        "tool": request.tool.name,
        "asked": None if request.argv is None else list(request.argv),
        "plan": None if plan is None else _plan_json(plan),
        "instead": [
            {"outcome": rule.outcome, "rule": rule.text, "source": str(rule.place)} for rule in considered.rules
        ],
        "warnings": list(considered.warnings),
    }


def _plan(plan: SandboxPlan) -> Iterator[str]:
    yield from _block("argv", plan.argv)
    if plan.arguments is not None:
        yield f"arguments: {plan.arguments}"
    yield f"cwd: {_visible(plan.cwd)}"
    yield from _block("mounts", (_mount(root) for root in plan.roots))
    yield from _block(
        "programs",
        (
            f"{program.path}{f' -> {program.target}' if program.target != program.path else ''} {program.digest}"
            for program in plan.programs
        ),
    )
    if plan.support:
        yield from _block("support", plan.support)
    if plan.files:
        yield from _block("files", (file.target for file in plan.files))
    yield f"env: {' '.join(name for name, _ in plan.env)}"
    yield f"limits: {', '.join(_limits(plan))}"
    yield f"network: {', '.join(plan.network) or 'none'}"
    yield from _block("labels", (f"{label}  {words}" for label, words in LABELS.items() if label in plan.labels))
    if plan.isolation == "conversation":
        yield "isolation: one sandbox for the calls of a conversation, in turn; /tmp is kept between them"
    yield f"plan: {plan.digest}"


def _plan_json(plan: SandboxPlan) -> dict[str, Any]:
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
                "hidden": list(root.hidden),
                "protected": list(root.protected),
            }
            for root in plan.roots
        ],
        "programs": [
            {"name": program.name, "path": program.path, "target": program.target, "digest": program.digest}
            for program in plan.programs
        ],
        "support": list(plan.support),
        "files": [file.target for file in plan.files],
        "env": [name for name, _ in plan.env],
        "limits": {name: getattr(plan.limits, name) for name in LIMITS},
        "network": list(plan.network),
        "labels": list(plan.labels),
        "isolation": plan.isolation,
        "plan_digest": plan.digest,
        "policy_digest": plan.policy_digest,
    }


def _mount(root: Root) -> str:
    parts = [root.target, "read-write" if root.writable else "read-only"]
    if root.source != root.target:
        parts.append(f"from {root.source}")
    if root.writable and root.executable:
        parts.append("executable")
    if root.hidden:
        parts.append(f"hidden: {', '.join(root.hidden)}")
    if root.protected:
        parts.append(f"protected: {', '.join(root.protected)}")
    return "  ".join(parts)


def _limits(plan: SandboxPlan) -> Iterator[str]:
    for name in LIMITS:
        value = getattr(plan.limits, name)
        if value is not None:
            yield f"{name} {show_limit(name, value)}"


def _block(name: str, items: Iterable[str]) -> Iterator[str]:
    yield f"{name}:"
    found = False
    for item in items:
        found = True
        yield f"  {_visible(item)}"
    if not found:
        yield "  none"


def _visible(text: str) -> str:
    """One line, whatever the text holds: what could rewrite the terminal or look like another line is escaped."""
    if text == "":
        return '""'
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
