"""Rules that let a program do more than its template seems to say."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from posixpath import basename

from toolhost.policy.labels import LABELS, Label, labels
from toolhost.policy.lint.admits import admits
from toolhost.policy.lint.risks import RISKS, Effect, Risk
from toolhost.policy.problems import Problem
from toolhost.policy.programs import runs_code
from toolhost.policy.template import Literal
from toolhost.policy.values import Policy, Rule

__all__ = ["wide_rules"]

_LEAK: tuple[Label, ...] = ("reads_private", "ingests_untrusted", "communicates_out")
_SHOWN = 3
_ALIASES = {"mawk": "awk", "gawk": "awk", "nawk": "awk", "original-awk": "awk", "bsdtar": "tar", "ripgrep": "rg"}
_EFFECTS: dict[Effect, str] = {
    "runs_programs": "run other programs",
    "writes_files": "write files that no {write} slot bounds",
    "reads_files": "read files that no {read} slot bounds",
}


def wide_rules(policy: Policy) -> Iterator[Problem]:
    """The rules of a policy that admit more than they seem to and do not say why."""
    for rule in policy.rules:
        yield from _leaks(policy, rule)
        if rule.because:
            continue
        if rule.template.open:
            message = f"`{rule.text}` takes any arguments: name those it needs, or say `because`."
            yield Problem.at(rule.place, "any_arguments", message)
        yield from _risky(policy, rule)


def _risky(policy: Policy, rule: Rule) -> Iterator[Problem]:
    names = _names(policy, rule)
    kind = runs_code(rule.template.program)
    if kind is not None:
        # It runs what it is given: a person who reads that before each call is what can be asked for.
        if rule.outcome == "allow" and any(not isinstance(place, Literal) for place in rule.template.places):
            message = (
                f"`{rule.text}` runs any code it is given, and nobody is asked: move it to `ask`, or say `because`."
            )
            yield Problem.at(rule.place, "runs_code_unasked", message)
        return
    found = [risk for risk in RISKS if risk.command[0] in names and admits(rule.template, risk)]
    for effect, what in _EFFECTS.items():
        of_effect = [risk for risk in found if risk.effect == effect]
        if of_effect:
            more = len(of_effect) - _SHOWN
            listed = "; ".join(map(_shown, of_effect[:_SHOWN])) + (f"; and {more} more" if more > 0 else "")
            message = f"`{rule.text}` can {what}: {listed}. Name only the arguments it needs, or say `because`."
            yield Problem.at(rule.place, effect, message)


def _leaks(policy: Policy, rule: Rule) -> Iterator[Problem]:
    """What reads private files and takes in what others wrote can be told by the one to send the other."""
    if rule.because or not set(_LEAK) <= set(labels(policy, rule, own_workspace=True)):
        return
    what = ", ".join(LABELS[label] for label in _LEAK)
    message = f"`{rule.text}` can leak: {what}. Take one of the three from it, or say `because`."
    yield Problem.at(rule.place, "can_leak", message)


def _names(policy: Policy, rule: Rule) -> frozenset[str]:
    """What the table may know the rule's program by."""
    program = policy.programs.get(rule.template.program)
    names = {basename(rule.template.program)} | ({basename(program.target)} if program else set())
    return frozenset(names | {_ALIASES.get(name, name) for name in names})


def _shown(risk: Risk) -> str:
    return f"`{' '.join((*risk.command, shlex.join(risk.words))).strip()}` {risk.about}"
