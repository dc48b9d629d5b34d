"""From a decision to the plan: the one value that is shown, approved, enforced and recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from toolhost.model import Decision
from toolhost.policy.decide import chosen
from toolhost.policy.environment import BASE, NETWORK, git_environment, git_file
from toolhost.policy.labels import labels
from toolhost.policy.request import Facts
from toolhost.policy.values import HostPolicy, Policy
from toolhost.sandbox.plan import HostFile, Limits, Program, SandboxPlan

__all__ = ["plan"]


def plan(facts: Facts, decision: Decision, policy: Policy, host: HostPolicy) -> SandboxPlan:
    """What runs if a request goes ahead.

    Args:
        facts: What `resolve` found.
        decision: An allow or an ask.
        policy: The plugin's policy.
        host: The host policy.
    """
    if decision.outcome == "deny":
        raise ValueError("a denied request has no plan")
    if facts.request.argv is None:
        return _worker(facts, policy, host)
    if facts.request.errand == "fetch":
        return _fetch(facts, policy, host)
    command = _command(facts, policy, host)
    return command if facts.request.server is None else _server(command, facts)


def _command(facts: Facts, policy: Policy, host: HostPolicy) -> SandboxPlan:
    match = chosen(facts)
    if match is None or facts.program is None:
        raise ValueError("a command is planned only under a rule, with its program")
    inside = (policy.programs[name] for name in policy.inside if name in policy.programs)
    programs = (facts.program, *(program for program in inside if program.path != facts.program.path))
    network = policy.network_of(match.rule)
    variables = dict(BASE)
    files: tuple[HostFile, ...] = ()
    if any(_is_git(program) for program in programs):
        variables |= git_environment(facts.request.actor, network=bool(network))
        files = (git_file(),)
    variables |= dict(policy.env)
    if network:
        variables |= NETWORK
    return SandboxPlan(
        kind="command",
        tool=facts.request.tool.name,
        argv=(facts.program.path, *match.arguments),
        cwd=facts.cwd,
        env=tuple(sorted(variables.items())),
        programs=programs,
        support=policy.support,
        files=files,
        secrets=tuple(secret.name for secret in policy.secrets),
        roots=facts.roots,
        limits=_sooner(host.limits(policy.limits, match.rule.limits), facts.request.wall),
        stdin=facts.request.stdin,
        require=policy.require,
        network=network,
        isolation=policy.isolation,
        conversation=facts.request.conversation if policy.isolation == "conversation" else "",
        labels=labels(policy, match.rule, own_workspace=facts.request.workspace_own),
        policy_digest=policy.digest,
        plugin_digest=facts.request.tool.plugin_digest,
    )


def _worker(facts: Facts, policy: Policy, host: HostPolicy) -> SandboxPlan:
    # Without a network, whatever the policy grants its commands: a worker lives through many calls.
    runtime = facts.request.runtime
    if runtime is None:
        raise ValueError("a worker tool is planned only with its worker")
    variables = BASE | dict(policy.env) | dict(runtime.env)
    return SandboxPlan(
        kind="worker",
        tool=facts.request.tool.name,
        argv=runtime.argv,
        cwd=facts.cwd,
        env=tuple(sorted(variables.items())),
        programs=runtime.programs,
        support=(*runtime.support, *policy.support),
        secrets=tuple(secret.name for secret in policy.secrets),
        roots=facts.roots,
        limits=host.limits(policy.limits),
        require=policy.require,
        arguments=_canonical(facts.arguments),
        config=_canonical(policy.config) if policy.config else None,
        labels=labels(policy, None, own_workspace=facts.request.workspace_own),
        policy_digest=policy.digest,
        plugin_digest=facts.request.tool.plugin_digest,
    )


def _server(command: SandboxPlan, facts: Facts) -> SandboxPlan:
    """The plan of a tool of an MCP server: the server's command, granted as every command is, kept for many calls."""
    return replace(command, kind="worker", isolation="call", conversation="", arguments=_canonical(facts.arguments))


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _fetch(facts: Facts, policy: Policy, host: HostPolicy) -> SandboxPlan:
    # A program of the host's own in a sandbox of its own, with the policy's network and none of its folders or secrets:
    # what to send it is told on standard input.
    runtime, asked = facts.request.runtime, facts.request.argv
    if runtime is None or asked is None:
        raise ValueError("a fetch is planned only with what fetches")
    return SandboxPlan(
        kind="command",
        tool=facts.request.tool.name,
        argv=(*runtime.argv, *asked),
        cwd=facts.cwd,
        env=tuple(sorted((BASE | NETWORK | dict(runtime.env)).items())),
        programs=runtime.programs,
        support=runtime.support,
        limits=_sooner(host.limits(policy.limits), facts.request.wall),
        stdin=facts.request.stdin,
        require=policy.require,
        network=policy.network,
        labels=labels(policy, None, own_workspace=facts.request.workspace_own, fetching=True),
        policy_digest=policy.digest,
        plugin_digest=facts.request.tool.plugin_digest,
    )


def _sooner(limits: Limits, wall: float | None) -> Limits:
    return limits if wall is None or wall >= limits.wall else replace(limits, wall=wall)


def _is_git(program: Program) -> bool:
    return "git" in (PurePosixPath(program.path).name, PurePosixPath(program.target).name)
