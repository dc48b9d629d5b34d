"""The second stage of a decision: pure. Facts and policies in, one decision out; the disk is never touched.

Deny beats ask beats allow, the order of rules never matters, and what nothing allows is denied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from toolhost.model import Decision, DecisionOutcome
from toolhost.policy.request import Facts, Match, Request
from toolhost.policy.values import DenyRule, HostPolicy, Policy, Rule, ToolRule

__all__ = ["alternatives", "asked_by", "chosen", "decide"]

_PATH = "a path inside the folders"
_USABLE = dict.fromkeys(("bad_url", "bad_host", "destination_not_allowed"), "an address of a host")
_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}


def decide(facts: Facts, policy: Policy | None, host: HostPolicy) -> Decision:
    """What the policies say of a request.

    Args:
        facts: What `resolve` found.
        policy: The plugin's policy, or None.
        host: The host policy.
    """
    tool = facts.request.tool
    if policy is None:
        return Decision(
            outcome="deny",
            code="no_policy",
            reason=f"There is no policy for the plugin {tool.plugin}, and without one nothing is granted.",
            hint=f"An administrator can write {tool.plugin}.toml in the policies folder.",
        )
    if not policy.who.includes(facts.request.actor):
        return Decision(
            outcome="deny",
            code="actor_not_served",
            reason=f"{policy.file} does not serve {facts.request.actor.username} ({facts.request.actor.role}).",
            source=str(policy.who.place),
            hint=f"An administrator can change [who] in {policy.file}.",
        )
    if missing := policy.scopes_missing(facts.request.actor):
        return Decision(
            outcome="deny",
            code="scope_missing",
            reason=f"{policy.file} serves API keys with more scopes than this one has: {', '.join(missing)}.",
            source=str(policy.who.place),
            hint=f"Use a key with these scopes; an administrator can change [who] in {policy.file}.",
        )
    if facts.host_denies:
        rule = _first(facts.host_denies)
        return _denied(rule, "host_deny", f"{rule.place} denies `{_brief(rule.text)}` to every plugin.", host.file)
    tool_rules = list(policy.tool_rules(_short(tool.name)))
    if denying := [rule for rule in tool_rules if rule.outcome == "deny"]:
        rule_ = min(denying, key=lambda rule: rule.place.line)
        return Decision(
            outcome="deny",
            code="tool_deny",
            reason=f"{rule_.place} denies the tool {tool.name}.",
            source=str(rule_.place),
            hint=f"An administrator can change [tools] in {policy.file}.",
            rule=rule_.text,
        )
    if facts.denies:
        rule = _first(facts.denies)
        return _denied(rule, "rule_deny", f"{rule.place} denies `{_brief(rule.text)}`.", policy.file)
    if facts.request.errand == "fetch":
        return _by_network(facts, policy)
    if facts.refusal is not None:
        return Decision(outcome="deny", code=facts.refusal.code, reason=facts.refusal.reason)
    if facts.request.argv is None:
        return _by_tool(tool_rules, facts, policy)
    if facts.request.server is not None:
        return _by_server(tool_rules, facts, policy)
    # Whoever made the call was asked about its tool; its commands are decided by their own rules.
    return _by_command([] if facts.request.errand else tool_rules, facts, policy)


def chosen(facts: Facts) -> Match | None:
    """The match a command runs under: the strictest; of equals the one that fixes most, then by its text."""
    usable = [match for match in facts.matches if match.refusal is None]
    return min(usable, key=_precedence, default=None)


def asked_by(facts: Facts, policy: Policy) -> tuple[Rule | ToolRule, ...]:
    """The rules behind an ask: the one a command runs under, and every rule that asks before its tool."""
    match = chosen(facts)
    tool = _short(facts.request.tool.name)
    asking = [rule for rule in policy.tool_rules(tool) if rule.outcome == "ask" and not facts.request.errand]
    return (*asking, *([] if match is None else [match.rule, *_also_asking(match, facts)]))


def alternatives(request: Request, policy: Policy | None) -> Iterator[Rule]:
    """What a denied command's policy would allow or ask: of the same program, nearest first."""
    return iter(()) if policy is None or not request.argv else policy.rule_index.nearest(request.argv)


def _by_tool(rules: list[ToolRule], facts: Facts, policy: Policy) -> Decision:
    if not rules:
        return _no_rule(f"No rule of [tools] in {policy.file} names {facts.request.tool.name}.", policy)
    rule = max(rules, key=lambda rule: (_STRICTNESS[rule.outcome], -rule.place.line))
    return _granted(rule, f"the tool {facts.request.tool.name}")


def _by_network(facts: Facts, policy: Policy) -> Decision:
    source = None if policy.network_place is None else str(policy.network_place)
    if facts.refusal is not None:
        return Decision(
            outcome="deny",
            code=facts.refusal.code,
            reason=facts.refusal.reason,
            source=source,
            hint=f"An administrator can add the host to [network] in {policy.file}.",
        )
    reason = f"{source} lets the plugin reach this host."
    return Decision(outcome="allow", code="rule_allow", reason=reason, source=source)


def _by_server(rules: list[ToolRule], facts: Facts, policy: Policy) -> Decision:
    """A tool of an MCP server: its name needs a rule, and so does the command that starts the server."""
    by_tool, by_command = _by_tool(rules, facts, policy), _by_command([], facts, policy)
    if by_tool.outcome != "deny" and by_command.code == "no_rule":
        reason = f"No rule of [commands] in {policy.file} allows what starts the server of {policy.plugin}."
        by_command = replace(by_command, code="server_not_granted", reason=reason)
    return max((by_tool, by_command), key=lambda decision: _STRICTNESS[decision.outcome])


def _by_command(rules: list[ToolRule], facts: Facts, policy: Policy) -> Decision:
    match = chosen(facts)
    if match is None:
        return _unmatched(facts, policy)
    if facts.program is None:
        name = match.rule.template.program
        return Decision(
            outcome="deny",
            code="program_missing",
            reason=f"`{name}` cannot be used on this machine: {policy.missing.get(name, 'it was not found.')}",
            source=str(match.rule.place),
            hint="An administrator can install it, or take the rule away.",
            rule=match.rule.text,
        )
    strictest = max(rules, key=lambda rule: _STRICTNESS[rule.outcome], default=None)
    if strictest is not None and _STRICTNESS[strictest.outcome] > _STRICTNESS[match.rule.outcome]:
        return _granted(strictest, f"the tool {facts.request.tool.name}")
    if asking := _also_asking(match, facts):
        return _granted(asking[0], f"`{_brief(asking[0].text)}`, and the command can be read as that")
    return _granted(match.rule, f"`{_brief(match.rule.text)}`")


def _also_asking(match: Match, facts: Facts) -> tuple[Rule, ...]:
    """The asks that a command must not get around by another spelling: an allow of any arguments means no spelling."""
    return facts.asks if match.rule.outcome == "allow" and match.rule.template.open else ()


def _unmatched(facts: Facts, policy: Policy) -> Decision:
    refused = [match for match in facts.matches if match.refusal is not None]
    if refused:
        match = min(refused, key=_precedence)
        assert match.refusal is not None
        return Decision(
            outcome="deny",
            code=match.refusal.code,
            reason=match.refusal.reason,
            source=str(match.rule.place),
            hint=f"{match.rule.place} would take {_USABLE.get(match.refusal.code, _PATH)} that {policy.file} grants.",
            rule=match.rule.text,
        )
    argv = facts.request.argv or ("",)
    instead = [rule.text for rule in islice(alternatives(facts.request, policy), 3)]
    hint = f"It has rules for: {'; '.join(f'`{_brief(text)}`' for text in instead)}. " if instead else ""
    return _no_rule(f"No rule of {policy.file} matches this `{_visible(argv[0])}` command.", policy, hint)


def _granted(rule: Rule | ToolRule, what: str) -> Decision:
    verb = "allows" if rule.outcome == "allow" else "asks before"
    outcome: DecisionOutcome = rule.outcome
    return Decision(
        outcome=outcome,
        code=f"rule_{outcome}",
        reason=f"{rule.place} {verb} {what}.",
        source=str(rule.place),
        rule=rule.text,
    )


def _denied(rule: DenyRule, code: str, sentence: str, file: str) -> Decision:
    reason = f"{sentence} {rule.because[:1].upper()}{rule.because[1:]}".strip()
    if not reason.endswith("."):
        reason += "."
    return Decision(
        outcome="deny",
        code=code,
        reason=reason,
        source=str(rule.place),
        hint=f"An administrator can change {file}; nothing else lifts a deny.",
        rule=rule.text,
    )


def _no_rule(reason: str, policy: Policy, hint: str = "") -> Decision:
    return Decision(
        outcome="deny",
        code="no_rule",
        reason=reason,
        hint=f"{hint}An administrator can add a rule to {policy.file}.",
    )


def _first(rules: Iterable[DenyRule]) -> DenyRule:
    return min(rules, key=lambda rule: (rule.template.whole, rule.text, rule.place.line))


def _precedence(match: Match) -> tuple[bool, bool, int, str]:
    return match.rule.precedence


def _short(name: str) -> str:
    return name.partition(".")[2] or name


def _brief(rule: str) -> str:
    """Enough of a rule to know it by in a sentence; its place says where the whole is."""
    return rule if len(rule) <= 80 else rule[:79] + "…"


def _visible(word: str) -> str:
    short = word if len(word) <= 60 else word[:57] + "..."
    return short if short.isprintable() else ascii(short)[1:-1]
