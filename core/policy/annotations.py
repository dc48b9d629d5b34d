"""The annotations of a tool: they follow from what its policy grants it, never from the tool's own claim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile

from toolhost.model import Tool
from toolhost.policy.template import Literal
from toolhost.policy.values import Policy, Rule

__all__ = ["HINTS", "contradiction", "hints_of"]

HINTS = ("readOnlyHint", "destructiveHint", "openWorldHint")
"""Those of MCP."""


def hints_of(policy: Policy | None, tool: Tool) -> Mapping[str, bool]:
    """What a tool can do.

    Each tool has the plugin's folders: they are mounted for all of them. The network is that of the rules that the
    tool's command can meet; a tool in a worker may ask for everything that its plugin is granted.

    Args:
        policy: The plugin's; None grants nothing.
        tool: The tool.
    """
    if policy is None:
        return {"readOnlyHint": True, "destructiveHint": False, "openWorldHint": False}
    hosts = [host for rule in _rules(policy, tool) for host in policy.network_of(rule)]
    if tool.command is None and not tool.server:
        hosts += policy.network  # what it fetches
    outside = any(not host.startswith("!") for host in hosts)
    writes = any(root.writable for root in policy.roots)
    # What leaves the machine may change something elsewhere.
    return {"readOnlyHint": not (writes or outside), "destructiveHint": writes or outside, "openWorldHint": outside}


def contradiction(policy: Policy | None, tool: Tool) -> str | None:
    """What an author says that the policy does not make true, as the end of a sentence; None where there is nothing.

    Only a promise can be false: a tool may say that it does more than its policy lets it.
    """
    true = hints_of(policy, tool)
    for hint, value in tool.hints.items():
        harmless = hint == "readOnlyHint"
        if value is harmless and true[hint] is not harmless:
            return f"{hint} = {str(value).lower()}, and its policy lets it {_WHAT[hint]}"
    return None


def _rules(policy: Policy, tool: Tool) -> Iterator[Rule]:
    """The rules that what a tool runs can meet: those of its program that begin with the same words."""
    words = list(tool.server) if tool.command is None else tool.command.text.split()
    program, own = words[0] if words else None, list(takewhile(_is_literal, words[1:]))
    for rule in policy.rules:
        fixed = [place.text for place in takewhile(lambda place: isinstance(place, Literal), rule.template.places)
                 if isinstance(place, Literal)]  # fmt: skip
        if program is None or (rule.template.program == program and all(map(str.__eq__, own, fixed))):
            yield rule


def _is_literal(word: str) -> bool:
    """Whether a word of a tool's command stands as it is; a flag may stand elsewhere in a rule."""
    return not word.startswith("-") and not set("{}[]\\'\"") & set(word)


_WHAT = {
    "readOnlyHint": "write, or reach other machines",
    "destructiveHint": "write, or reach other machines",
    "openWorldHint": "reach other machines",
}
