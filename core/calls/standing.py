"""Whether a decision still stands when its call, after all waiting, is about to begin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from toolhost.approvals import rules_digests
from toolhost.errors import PolicyError
from toolhost.model import Decision, ExternalContent
from toolhost.policy import Considered, PolicySet
from toolhost.policy.taint import needs_a_person

__all__ = ["check_looked_at", "check_stands"]


def check_stands(considered: Considered, policies: PolicySet, plugin: str, again: Callable[[], Considered]) -> None:
    """Check that the policies in force now would have let the very same thing run, by the same rules if they ask.

    Args:
        considered: What was decided when the call came.
        policies: Those in force now.
        plugin: Whose tool is called.
        again: Considers the call by them.

    Raises:
        PolicyError: `policy_changed`.
    """
    if considered.policies.agrees(policies, plugin):
        return
    then, now = considered.plan, again()
    assert then is not None
    if (
        now.plan is None
        or now.decision.outcome == "deny"
        or rules_digests(now.asked_by) != rules_digests(considered.asked_by)
        # The plan names the policy it was made by, which is another now; everything else must be equal.
        or replace(now.plan, policy_digest=then.policy_digest).digest != then.digest
    ):
        raise PolicyError(
            "policy_changed",
            "The policy was changed while this call waited for its turn, and it does not stand under the new one.",
            "Make the call again.",
            recoverable=True,
        )


def check_looked_at(decision: Decision, labels: Collection[str], external: Sequence[ExternalContent]) -> None:
    """Check that no person must see a call by now that nobody has seen. Arguments as for `needs_a_person`.

    Raises:
        PolicyError: `tainted_meanwhile`.
    """
    if needs_a_person(decision, labels, external):
        raise PolicyError(
            "tainted_meanwhile",
            "The conversation took in content from elsewhere while this call waited.",
            "Make the call again; a person is asked.",
            recoverable=True,
        )
