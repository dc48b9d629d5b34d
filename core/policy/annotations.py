"""The annotations of a tool: they follow from what its policy grants, never from the tool's own claim."""

from __future__ import annotations

from collections.abc import Mapping

from toolhost.policy.values import Policy

__all__ = ["HINTS", "contradiction", "hints_of"]

HINTS = ("readOnlyHint", "destructiveHint", "openWorldHint")
"""Those of MCP."""


def hints_of(policy: Policy | None) -> Mapping[str, bool]:
    """What the tools of a plugin can do, all of them: each has the plugin's folders and may have its network.

    Args:
        policy: The plugin's; None grants nothing.
    """
    if policy is None:
        return {"readOnlyHint": True, "destructiveHint": False, "openWorldHint": False}
    hosts = (*policy.network, *(host for rule in policy.rules for host in policy.network_of(rule)))
    outside = any(not host.startswith("!") for host in hosts)
    writes = any(root.writable for root in policy.roots)
    # What leaves the machine may change something elsewhere.
    return {"readOnlyHint": not (writes or outside), "destructiveHint": writes or outside, "openWorldHint": outside}


def contradiction(hints: Mapping[str, bool], policy: Policy | None) -> str | None:
    """What an author says that the policy does not make true, as the end of a sentence; None where there is nothing.

    Only a promise can be false: a tool may say that it does more than its policy lets it.
    """
    true = hints_of(policy)
    for hint, value in hints.items():
        harmless = hint == "readOnlyHint"
        if value is harmless and true[hint] is not harmless:
            return f"{hint} = {str(value).lower()}, and its policy lets it {_WHAT[hint]}"
    return None


_WHAT = {
    "readOnlyHint": "write, or reach other machines",
    "destructiveHint": "write, or reach other machines",
    "openWorldHint": "reach other machines",
}
