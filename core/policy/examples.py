"""`[[tests]]`: examples in a policy file, decided at load exactly as a call is."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from toolhost.model import Actor, Tool
from toolhost.policy.decide import alternatives, decide
from toolhost.policy.problems import Place, Problem
from toolhost.policy.request import Request
from toolhost.policy.resolve import INSIDE_WORKSPACE, resolve_example
from toolhost.policy.values import HostPolicy, Policy
from toolhost.sandbox.plan import Program

__all__ = ["Example", "failing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example: a command line (words as a shell would split them), or a tool, and the outcome expected."""

    run: str | None
    tool: str | None
    expect: str
    because: str
    place: Place


def failing(examples: Iterable[Example], policy: Policy, host: HostPolicy) -> Iterator[Problem]:
    """The examples that come out otherwise than expected."""
    for example in examples:
        try:
            argv = tuple(shlex.split(example.run)) if example.run is not None else None
        except ValueError as error:
            yield Problem.at(example.place, "bad_value", f"`{example.run}` cannot be split into words: {error}.")
            continue
        if argv == ():
            yield Problem.at(example.place, "bad_value", "An example's `run` names a program.")
            continue
        request = Request(
            tool=_tool(policy, example.tool),
            actor=_actor(policy),
            argv=argv,
            workspace=INSIDE_WORKSPACE,
        )
        facts = resolve_example(request, policy, host)
        if facts.program is None and argv is not None:
            # What a policy means does not depend on what this machine has installed.
            facts = replace(facts, program=_imagined(argv[0]))
        decision = decide(facts, policy, host)
        if decision.outcome != example.expect:
            what = f"`{example.run or example.tool}`"
            because = f" ({example.because})" if example.because else ""
            rules = alternatives(facts, policy) if decision.code == "no_rule" else ()
            nearest = f" The nearest is `{rules[0].text}` on line {rules[0].place.line}." if rules else ""
            yield Problem.at(
                example.place,
                "example_failed",
                f"{what} is expected to be {_participle(example.expect)}{because}, and it is "
                f"{_participle(decision.outcome)}: {decision.code}: {decision.reason}{nearest}",
            )


def _tool(policy: Policy, name: str | None) -> Tool:
    return Tool(name=f"{policy.plugin}.{name or 'example'}", plugin=policy.plugin, about="", input_schema={})


def _actor(policy: Policy) -> Actor:
    """Somebody the policy serves: examples are about what, not about who."""
    role = policy.who.roles[0] if policy.who.roles else "user"
    username = "example" if policy.who.roles else next(iter(policy.who.users), "example")
    return Actor(user_id="example", username=username, role=role, channel="example")


def _imagined(name: str) -> Program:
    return Program(name=name, path=name, target=name, device=0, inode=0, size=0, modified_ns=0, digest="")


def _participle(outcome: str) -> str:
    return {"allow": "allowed", "ask": "asked", "deny": "denied"}[outcome]
