"""What a call can do beside its work, in four labels: they follow from the policy, never from a tool's own claim.

The labels say what a rule grants, not what a program does with it: every root of the policy is mounted for each of its
commands, so a command that opens no file reads private folders all the same as long as they are there.
"""

from __future__ import annotations

from typing import Literal, get_args

from toolhost.policy.values import WORKSPACE, Policy, Rule

__all__ = ["LABELS", "REACHING", "Label", "labels", "origins"]

Label = Literal["reads_private", "ingests_untrusted", "communicates_out", "writes_outside_workspace"]

LABELS: dict[Label, str] = {
    "reads_private": "it can read what is not in the workspace",
    "ingests_untrusted": "it can take in content that this conversation did not write",
    "communicates_out": "it can send to other machines",
    "writes_outside_workspace": "it can write outside the workspace",
}
"""Each label, in plain words."""

REACHING: frozenset[Label] = frozenset({"communicates_out", "writes_outside_workspace"})
"""Labels of calls whose effects leave the conversation."""

assert tuple(LABELS) == get_args(Label)


def labels(policy: Policy, rule: Rule | None, *, own_workspace: bool, fetching: bool = False) -> tuple[Label, ...]:
    """The labels of what a rule grants, in their fixed order.

    Args:
        policy: The policy.
        rule: The rule of `[commands]` that a command runs under; None for a tool in a worker, whose rule in `[tools]`
            is a name and grants nothing besides.
        own_workspace: Whether the workspace holds only what the conversation's own calls wrote into it.
        fetching: Whether a worker has the host fetch something for it. What it sends can hold whatever it could read.
    """
    others = [grant for grant in policy.roots if grant.path != WORKSPACE]
    holds: dict[Label, bool] = {
        "reads_private": bool(others or policy.secrets),
        "ingests_untrusted": bool(origins(policy, rule, own_workspace=own_workspace, fetching=fetching)),
        "communicates_out": bool(_hosts(policy, rule, fetching=fetching)),
        "writes_outside_workspace": any(grant.writable for grant in others),
    }
    return tuple(label for label in LABELS if holds[label])


def origins(policy: Policy, rule: Rule | None, *, own_workspace: bool, fetching: bool = False) -> tuple[str, ...]:
    """Where content that the conversation did not write can come from: hosts, folders, a workspace that was there.

    Args:
        policy: The policy.
        rule: As for `labels`.
        own_workspace: As for `labels`. What its own calls bring from elsewhere into the folder that a conversation is
            given when it begins, and what a person uploads there, has counted before it is there.
        fetching: As for `labels`.
    """
    folders = (grant.path for grant in policy.roots if grant.path != WORKSPACE or not own_workspace)
    return (*_hosts(policy, rule, fetching=fetching), *folders)


def _hosts(policy: Policy, rule: Rule | None, *, fetching: bool) -> tuple[str, ...]:
    """The hosts that may be reached under a rule. A worker has no network, whatever its policy grants its errands."""
    if rule is None and not fetching:
        return ()
    granted = policy.network if rule is None else policy.network_of(rule)
    return tuple(host for host in granted if not host.startswith("!"))
