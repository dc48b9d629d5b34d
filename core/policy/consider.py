"""The one function behind a call, `explain`, an approval and an example: resolve, decide, plan."""

from __future__ import annotations

from dataclasses import replace

from toolhost.model import Decision
from toolhost.policy.decide import asked_by, chosen, decide
from toolhost.policy.labels import origins
from toolhost.policy.planning import plan
from toolhost.policy.policy_set import PolicySet
from toolhost.policy.request import Considered, Request
from toolhost.policy.resolve import resolve

__all__ = ["consider"]


def consider(request: Request, policies: PolicySet) -> Considered:
    """What the policies say of a request, and what would run.

    Args:
        request: The request.
        policies: The policies of one moment.
    """
    host, policy = policies.host, policies.policy(request.tool.plugin)
    facts = resolve(request, policy, host)
    decision = decide(facts, policy, host)
    if policy is None:
        return Considered(
            decision=_why_none(decision, request, policies), policies=policies, arguments=request.arguments
        )
    if decision.outcome == "deny":
        return Considered(
            decision=decision,
            policies=policies,
            arguments=request.arguments,
            warnings=policy.warnings,
        )
    match = chosen(facts)
    return Considered(
        decision=decision,
        policies=policies,
        plan=plan(facts, decision, policy, host),
        arguments=facts.arguments,
        secrets=policy.secrets,
        asked_by=asked_by(facts, policy) if decision.outcome == "ask" else (),
        origins=origins(
            policy,
            None if match is None else match.rule,
            own_workspace=request.workspace_own,
            fetching=request.errand == "fetch",
        ),
        warnings=policy.warnings,
        steady=facts.steady,
    )


def _why_none(decision: Decision, request: Request, policies: PolicySet) -> Decision:
    """Tell a policy that is missing from one that cannot be used."""
    files = (f"{request.tool.plugin}.toml", "host.toml")
    problem = next((problem for problem in policies.problems if problem.file in files), None)
    if problem is None:
        return decision
    return replace(
        decision,
        code="policy_invalid",
        reason=f"The policy cannot be used: {problem.file}:{problem.line}: {problem.message}",
        source=f"{problem.file}:{problem.line}",
        hint="An administrator can see everything wrong with it by `toolhost policy check`.",
    )
