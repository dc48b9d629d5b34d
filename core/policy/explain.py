"""A decision in words: what would run, under which rule, with what; or why not, and what would be allowed instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from toolhost.policy.decide import alternatives
from toolhost.policy.nearest import nearest
from toolhost.policy.request import Considered, Request
from toolhost.policy.risk import danger_of
from toolhost.policy.view import block, limits_view, plan_lines, plan_view, visible
from toolhost.sandbox.outcome import LimitReport
from toolhost.shown import token

__all__ = ["explain", "explain_json", "explain_lines"]

_UNKNOWN: Mapping[str, LimitReport] = MappingProxyType({})


def explain(considered: Considered, request: Request, enforcement: Mapping[str, LimitReport] = _UNKNOWN) -> str:
    """The decision as text for people; its first line is `decision: allow`, `ask` or `deny`. See `explain_json`."""
    return "\n".join(explain_lines(explain_json(considered, request, enforcement))) + "\n"


def explain_json(
    considered: Considered, request: Request, enforcement: Mapping[str, LimitReport] = _UNKNOWN
) -> dict[str, Any]:
    """The decision as a JSON object.

    Args:
        considered: What came of the request.
        request: What was asked.
        enforcement: What will enforce each limit; empty where this machine cannot make a sandbox.
    """
    plan, decision = considered.plan, considered.decision
    view = None if plan is None else plan_view(plan)
    policy = considered.policies.policy(request.tool.plugin)
    rules = tuple(alternatives(request, policy)) if decision.outcome == "deny" else ()
    closest = nearest(rules, request.argv) if request.argv else None
    return {
        "decision": decision.as_json(),
        "hint": decision.hint,
        "tool": request.tool.name,
        "asked": None if request.argv is None else list(request.argv),
        "plan": view,
        "risk": None if view is None else danger_of(view, decision.code).as_json(),
        "limits": limits_view(enforcement),
        "instead": [{"outcome": rule.outcome, "rule": rule.text, "source": str(rule.place)} for rule in rules],
        "nearest": None
        if closest is None
        else {
            "outcome": closest.rule.outcome,
            "rule": closest.rule.text,
            "source": str(closest.rule.place),
            "fits": closest.fits,
            "stops_at": closest.stops,
            "expected": closest.expected,
        },
        "changed_by": None if plan is not None else _changed_by(considered, request),
        "warnings": list(considered.warnings),
    }


def explain_lines(explained: Mapping[str, Any]) -> Iterator[str]:
    """The same as lines of text."""
    decision = explained["decision"]
    yield f"decision: {decision['outcome']}"
    yield f"code: {decision['code']}"
    yield f"reason: {visible(decision['reason'])}"
    yield f"rule: {decision['source'] or 'none'}"
    yield f"tool: {explained['tool']}"
    if explained["plan"] is not None:
        yield f"risk: {danger_of(explained['plan'], decision['code'])}"
        yield from plan_lines(explained["plan"], explained["limits"])
    else:
        yield from _denial(explained)
    yield from (f"warning: {warning}" for warning in explained["warnings"])


def _denial(explained: Mapping[str, Any]) -> Iterator[str]:
    if explained["asked"] is not None:
        yield from block("asked", explained["asked"], token)
    if explained["instead"]:
        rules = (f"{rule['outcome']} {rule['source']}: {rule['rule']}" for rule in explained["instead"][:10])
        yield from block("would be decided otherwise", rules)
    closest = explained["nearest"]
    if closest is not None:
        yield f"nearest: {closest['source']}: {visible(closest['rule'])}"
        yield f"stops fitting: {visible(_stop(closest))}"
    if explained["hint"]:
        yield f"hint: {visible(explained['hint'])}"
    yield f"can be changed by: {explained['changed_by']}"


def _stop(closest: Mapping[str, Any]) -> str:
    expected = closest["expected"]
    if closest["stops_at"] is None and not expected:
        return "nowhere; what it has for one of the rule's slots is refused, and the reason says why"
    wanted = f"the rule has `{expected}` there" if expected else "the rule takes nothing more"
    stops = closest["stops_at"]
    return f"the command ends too early, {wanted}" if stops is None else f"at `{stops}`: {wanted}"


def _changed_by(considered: Considered, request: Request) -> str:
    """Whose file holds what denies."""
    source = considered.decision.source
    file = source.rpartition(":")[0] if source else f"{request.tool.plugin}.toml"
    return f"an administrator, in {file}"
