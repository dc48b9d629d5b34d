"""Rules that can never decide anything, and entries that nothing uses."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from posixpath import basename

from toolhost.policy.deny import denies_arguments
from toolhost.policy.document import Document
from toolhost.policy.lint.admits import samples
from toolhost.policy.problems import Problem, near
from toolhost.policy.programs import denying, runs_code
from toolhost.policy.slots import PathSlot, SlotKind, UrlSlot
from toolhost.policy.template import Flags, Optional, Place, Value
from toolhost.policy.values import DenyRule, HostPolicy, Policy, Rule
from toolhost.sandbox.programs import SEARCH

__all__ = ["unmet_rules"]


def unmet_rules(
    policy: Policy, document: Document, host: HostPolicy, tools: Collection[str] | None
) -> Iterator[Problem]:
    """What stands in a policy and never does anything. Arguments as for `lint`."""
    yield from _missing(policy, document)
    stricter = {str(rule.template): rule for rule in policy.rules if rule.outcome == "ask"}
    for rule in policy.rules:
        other = stricter.get(str(rule.template))
        if rule.outcome == "allow" and other is not None:
            message = f"`{rule.text}` is also asked, on line {other.place.line}, and that wins: take one out."
            yield Problem.at(rule.place, "never_decides", message)
        deny = next((deny for deny in (*host.denies, *policy.denies) if _shadows(deny, rule, policy)), None)
        if deny is not None:
            message = f"`{rule.text}` never matches: {deny.place} denies all of it (`{deny.text}`)."
            yield Problem.at(rule.place, "never_decides", message)
        for slot, what in _unfillable(policy, rule):
            message = f"`{rule.text}` never matches: nothing fits `{{{slot}}}`, because {what}."
            yield Problem.at(rule.place, "never_decides", message)
    for outcome, weaker in (("deny", ("allow", "ask")), ("ask", ("allow",))):
        names = {rule.name: rule for rule in policy.tools if rule.outcome == outcome}
        for tool in policy.tools:
            if tool.outcome in weaker and tool.name in names:
                line = names[tool.name].place.line
                message = f"The tool `{tool.name}` also stands in `{outcome}`, on line {line}, and that wins."
                yield Problem.at(tool.place, "never_decides", message)
    for tool in policy.tools:
        if tools is not None and tool.name not in tools:
            message = f"The plugin {policy.plugin} has no tool `{tool.name}`, so this decides nothing."
            yield Problem.at(tool.place, "never_decides", message + near(tool.name, tools))
    yield from _unused(policy, document)
    yield from _unreached_denies(policy, document, host)


def _missing(policy: Policy, document: Document) -> Iterator[Problem]:
    known: list[str] = []
    for name in policy.missing:
        known = known or [entry for folder in SEARCH if os.path.isdir(folder) for entry in os.listdir(folder)]  # noqa: PTH112, PTH208
        places = [rule.place for rule in policy.rules if rule.template.program == name]
        if name in policy.inside:
            places.append(document.value(("commands", "inside", _index(document, name))))
        message = f"`{name}` cannot be used on this machine: {policy.missing[name]}{near(name, known)}"
        yield from (Problem.at(place, "program_missing", message) for place in places)


def _shadows(deny: DenyRule, rule: Rule, policy: Policy) -> bool:
    """Whether a deny without slots takes all that a rule grants, judged by samples of the rule."""
    program = rule.template.program
    if not any(True for _ in denying([deny], program, policy.programs.get(program))) or any(
        _slots(deny.template.places)
    ):
        return False
    return all(denies_arguments(deny.template, sample) for sample in samples(rule.template))


def _unfillable(policy: Policy, rule: Rule) -> Iterator[tuple[SlotKind, str]]:
    """The slots without which a rule does not match, and that no value fits."""
    required = [place for place in rule.template.places if not isinstance(place, Optional)]
    for kind in _slots(required, required=True):
        if isinstance(kind, UrlSlot) and not any(not host.startswith("!") for host in policy.network_of(rule)):
            yield kind, "no host may be reached"
        elif isinstance(kind, PathSlot) and not any(root.writable or not kind.write for root in policy.roots):
            yield kind, "[paths] names no folder for it"


def _slots(places: Iterable[Place], *, required: bool = False) -> Iterator[SlotKind]:
    for place in places:
        if isinstance(place, Value):
            yield place.kind
        elif isinstance(place, Optional):
            yield from _slots(place.places)
        elif isinstance(place, Flags):
            for flag in place.flags:
                if flag.value is not None and not isinstance(flag.value, str) and (flag.required or not required):
                    yield flag.value


def _unused(policy: Policy, document: Document) -> Iterator[Problem]:
    named = [rule.template.program for rule in policy.rules] + list(policy.inside)
    named += [basename(program.target) for program in policy.programs.values()]
    used = {runs_code(name) for name in named}
    for number, name in enumerate(document.data.get("runs_code", ())):
        if runs_code(name) not in used:
            message = f"`{name}` is listed, and no rule and no `inside` names it: take it out."
            yield Problem.at(document.value(("runs_code", number)), "unused_entry", message)
    for name in document.data.get("secrets", {}) if not policy.rules and not policy.tools else ():
        message = f"The secret `{name}` is there for no tool: take it out."
        yield Problem.at(document.key(("secrets", name)), "unused_entry", message)


def _unreached_denies(policy: Policy, document: Document, host: HostPolicy) -> Iterator[Problem]:
    """Denies of some arguments of a program that others may start: only what a tool is called with is compared."""
    starters = [rule for rule in policy.rules if runs_code(rule.template.program)]
    for number, name in enumerate(policy.inside if starters else ()):
        for deny in denying((*host.denies, *policy.denies), name, policy.programs.get(name)):
            message = (
                f"`{name}` is there for `{starters[0].template.program}` to start with any arguments, those too that "
                f"{deny.place} denies (`{deny.text}`): a deny is compared with calls only."
            )
            yield Problem.at(document.value(("commands", "inside", number)), "deny_not_reached", message)


def _index(document: Document, name: str) -> int:
    listed: list[str] = document.data["commands"]["inside"]
    return listed.index(name)
