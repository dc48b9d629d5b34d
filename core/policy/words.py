"""What a policy grants, term by term: each a plain sentence, and how far it reaches, so that two policies compare."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from toolhost.policy.limit_table import LIMITS, show_limit
from toolhost.policy.problems import Place
from toolhost.policy.programs import runs_code
from toolhost.policy.values import WORKSPACE, HostPolicy, Policy, Rule

__all__ = ["Term", "sentences", "terms"]

_TOOL_REACH = {"deny": -1, "ask": 1, "allow": 2}
_TOOL_SAID = {
    "allow": "may be called without asking",
    "ask": "may be called when a person agrees",
    "deny": "is refused",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One thing a policy says.

    Attributes:
        key: What it is about: a kind and a name.
        sentence: The same for people.
        reach: How far it reaches; what a policy does not mention reaches 0, and a term below 0 takes something away.
        value: What tells two terms of one reach apart.
        place: Where it is written; its line is 0 where only the file is known.
        risk: The riskier, the earlier it is shown.
    """

    key: tuple[str, str]
    sentence: str
    reach: float = 1
    value: object = None
    place: Place
    risk: int = 0


def terms(policy: Policy) -> dict[tuple[str, str], Term]:
    """Every term of a policy by what it is about, the riskiest first. Of two about one thing the stricter counts."""
    found: dict[tuple[str, str], Term] = {}
    for term in sorted(_all(policy), key=lambda term: (-term.risk, term.key)):
        known = found.get(term.key)
        if known is None or term.reach < known.reach:
            found[term.key] = term
    return found


def sentences(policy: Policy) -> Iterator[str]:
    """What a policy grants for somebody who reads it whole: the terms, those that every policy has in one line each."""
    every = terms(policy).values()
    yield from (term.sentence for term in every if term.key[0] not in ("limit", "protected", "role"))
    limits = HostPolicy().limits(policy.limits)
    held = {name: getattr(limits, name) for name in LIMITS}
    yield f"Its limits: {', '.join(f'{name} {show_limit(name, value)}' for name, value in held.items() if value)}."
    if policy.protected and any(root.writable for root in policy.roots):
        yield f"It cannot change, in any folder: {', '.join(f'`{path}`' for path in policy.protected)}."
    if policy.who.roles:
        yield f"It serves: {', '.join(policy.who.roles)}."


def _all(policy: Policy) -> Iterator[Term]:
    here = Place(file=policy.file, line=0)
    for rule in policy.rules:
        yield from _rule(rule)
    for deny in policy.denies:
        yield Term(
            key=("deny", str(deny.template)), sentence=f"It never runs `{deny.text}`.", reach=-1, place=deny.place
        )
    for tool in policy.tools:
        sentence = f"The tool `{tool.name}` {_TOOL_SAID[tool.outcome]}."
        yield Term(
            key=("tool", tool.name), sentence=sentence, reach=_TOOL_REACH[tool.outcome], place=tool.place, risk=3
        )
    for root in policy.roots:
        what = "the workspace" if root.path == WORKSPACE else root.path
        sentence = f"It can {'read and change' if root.writable else 'read'} {what}."
        risk = 2 if root.path == WORKSPACE else 7 if root.writable else 5
        yield Term(key=("root", root.path), sentence=sentence, reach=1 + root.writable, place=root.place, risk=risk)
    for host in policy.network:
        if not host.startswith("!"):  # the host's deny, not the policy's
            sentence = "It can reach every host." if host == "*" else f"It can reach {host}."
            yield Term(key=("host", host), sentence=sentence, place=here, risk=8)
    for secret in policy.secrets:
        sentence = f"Its calls are given the secret `{secret.name}`, from the {secret.kind} {secret.where}."
        source = (secret.kind, secret.where)
        yield Term(key=("secret", secret.name), sentence=sentence, value=source, place=secret.place, risk=9)
    for path in (*policy.hidden, *policy.hidden_globs):
        yield Term(key=("hidden", path), sentence=f"It cannot see `{path}` in any folder.", reach=-1, place=here)
    for path in policy.protected:
        yield Term(key=("protected", path), sentence=f"It cannot change `{path}` in any folder.", reach=-1, place=here)
    for name in policy.inside:
        sentence = f"The program `{name}` is there for its programs to start."
        yield Term(key=("inside", name), sentence=sentence, place=here, risk=6 if runs_code(name) else 1)
    for path in policy.support:
        yield Term(key=("support", path), sentence=f"Its programs are given {path}, to read.", place=here, risk=1)
    if policy.executable:
        sentence = "Files it writes can be executed."
        yield Term(key=("exec", ""), sentence=sentence, place=here, risk=9)
    if policy.isolation == "conversation":
        sentence = "The calls of a conversation share one sandbox."
        yield Term(key=("isolation", ""), sentence=sentence, place=here, risk=1)
    for name, value in policy.env:
        yield Term(key=("variable", name), sentence=f"The variable {name} is set.", value=value, place=here)
    for name, value in policy.config.items():
        sentence = f"Its setting `{name}` is {json.dumps(value, ensure_ascii=False)}."
        yield Term(key=("setting", name), sentence=sentence, value=value, place=here)
    for name in policy.require:
        sentence = f"It runs only where the limit `{name}` holds for all its processes together."
        yield Term(key=("require", name), sentence=sentence, reach=-1, place=here)
    for kind, names in (("role", policy.who.roles), ("user", policy.who.users)):
        for name in names:
            yield Term(key=(kind, name), sentence=f"It serves the {kind} {name}.", place=policy.who.place)
    for name in policy.who.scopes:
        sentence = f"An API key needs the scope {name}."
        yield Term(key=("scope", name), sentence=sentence, reach=-1, place=policy.who.place)
    limits = HostPolicy().limits(policy.limits)
    for name in LIMITS:
        value = getattr(limits, name)
        shown = "none" if value is None else show_limit(name, value)
        reach = math.inf if value is None else float(value)
        yield Term(key=("limit", name), sentence=f"Its limit `{name}` is {shown}.", reach=reach, place=here)


def _rule(rule: Rule) -> Iterator[Term]:
    name = str(rule.template)
    code = runs_code(rule.template.program)
    asks = rule.outcome == "ask"
    sentence = f"It runs `{rule.text}`" + (" when a person agrees" if asks else " without asking")
    sentence += f"; {rule.template.program} runs any code it is given." if code else "."
    risk = 10 if code else 4
    yield Term(key=("rule", name), sentence=sentence, reach=1 if asks else 2, place=rule.place, risk=risk - asks)
    if rule.network is not None:
        hosts = tuple(sorted(host for host in rule.network if not host.startswith("!")))
        sentence = f"`{rule.text}` has a network of its own: {', '.join(hosts) or 'none'}."
        yield Term(key=("rule's network", name), sentence=sentence, reach=0, value=hosts, place=rule.place, risk=8)
    if rule.limits:
        own = tuple(sorted(rule.limits.items()))
        shown = ", ".join(f"{limit} {show_limit(limit, value)}" for limit, value in own)
        sentence = f"`{rule.text}` has limits of its own: {shown}."
        yield Term(key=("rule's limits", name), sentence=sentence, reach=0, value=own, place=rule.place)
