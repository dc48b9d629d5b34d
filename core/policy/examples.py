"""`[[tests]]`: examples in a policy file, decided at load exactly as a call is."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from toolhost.model import Actor, Decision, Tool
from toolhost.policy.decide import alternatives, decide
from toolhost.policy.problems import Place, Problem
from toolhost.policy.request import Facts, Request
from toolhost.policy.resolve import INSIDE_WORKSPACE, resolve_example
from toolhost.policy.values import DenyRule, HostPolicy, Policy, Rule, ToolRule
from toolhost.sandbox.plan import Program

__all__ = ["Example", "Trial", "participle", "served_actor", "tried", "uncovered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example: a command line (words as a shell would split them), or a tool, and the outcome expected."""

    run: str | None
    tool: str | None
    expect: str
    because: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of an example.

    Attributes:
        example: The example.
        decision: What was decided; None where its command line is none.
        problem: Why it is not as expected, or None.
        met: Where each rule that fits it is written.
    """

    example: Example
    decision: Decision | None = None
    problem: Problem | None = None
    met: frozenset[Place] = frozenset()


def tried(examples: Iterable[Example], policy: Policy, host: HostPolicy) -> tuple[Trial, ...]:
    """Decide every example."""
    return tuple(_tried(example, policy, host) for example in examples)


def uncovered(trials: Iterable[Trial], policy: Policy) -> tuple[Rule | DenyRule | ToolRule, ...]:
    """The rules of a policy that no example meets, in the order of the file."""
    met = frozenset[Place]().union(*(trial.met for trial in trials))
    rules: tuple[Rule | DenyRule | ToolRule, ...] = (*policy.tools, *policy.rules, *policy.denies)
    return tuple(
        sorted((rule for rule in rules if rule.place not in met), key=lambda rule: (rule.place.line, rule.place.column))
    )


def _tried(example: Example, policy: Policy, host: HostPolicy) -> Trial:
    try:
        argv = tuple(shlex.split(example.run)) if example.run is not None else None
    except ValueError as error:
        message = f"`{example.run}` cannot be split into words: {error}."
        return Trial(example=example, problem=Problem.at(example.place, "bad_value", message))
    if argv == ():
        message = "An example's `run` names a program."
        return Trial(example=example, problem=Problem.at(example.place, "bad_value", message))
    request = Request(
        tool=_tool(policy, example.tool),
        actor=served_actor(policy),
        argv=argv,
        workspace=INSIDE_WORKSPACE,
    )
    facts = resolve_example(request, policy, host)
    if facts.program is None and argv is not None:
        # What a policy means does not depend on what this machine has installed.
        facts = replace(facts, program=_imagined(argv[0]))
    decision = decide(facts, policy, host)
    problem = None if decision.outcome == example.expect else _unexpected(example, decision, facts, policy)
    return Trial(example=example, decision=decision, problem=problem, met=frozenset(_met(example, facts, policy)))


def _unexpected(example: Example, decision: Decision, facts: Facts, policy: Policy) -> Problem:
    because = f" ({example.because})" if example.because else ""
    closest = next(alternatives(facts.request, policy), None) if decision.code == "no_rule" else None
    nearest = f" The nearest is `{closest.text}` on line {closest.place.line}." if closest else ""
    return Problem.at(
        example.place,
        "example_failed",
        f"`{example.run or example.tool}` is expected to be {participle(example.expect)}{because}, and it is "
        f"{participle(decision.outcome)}: {decision.code}: {decision.reason}{nearest}",
    )


def _met(example: Example, facts: Facts, policy: Policy) -> Iterator[Place]:
    if example.tool is not None:
        yield from (rule.place for rule in policy.tool_rules(example.tool))
    yield from (match.rule.place for match in facts.matches if match.refusal is None)
    yield from (rule.place for rule in facts.denies)


def _tool(policy: Policy, name: str | None) -> Tool:
    return Tool(name=f"{policy.plugin}.{name or 'example'}", plugin=policy.plugin, about="", input_schema={})


def served_actor(policy: Policy) -> Actor:
    """Somebody the policy serves, for questions that are about what, and not about who."""
    role = policy.who.roles[0] if policy.who.roles else "user"
    username = "example" if policy.who.roles else next(iter(policy.who.users), "example")
    return Actor(user_id="example", username=username, role=role, channel="example")


def _imagined(name: str) -> Program:
    return Program(name=name, path=name, target=name, device=0, inode=0, size=0, modified_ns=0, digest="")


def participle(outcome: str) -> str:
    """An outcome as a sentence has it: `allowed`, `asked`, `denied`."""
    return {"allow": "allowed", "ask": "asked", "deny": "denied"}[outcome]
