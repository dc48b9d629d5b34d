"""Whether a person must see a call because of what its conversation has taken in.

Content from elsewhere can carry instructions, and what a model writes after it has read them may be theirs. So from
then on no rule and no standing yes lets a call out of the conversation by itself: a person looks at it first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from toolhost.model import Decision, ExternalContent
from toolhost.policy.labels import LABELS, REACHING
from toolhost.policy.values import WORKSPACE

__all__ = ["TAINTED", "UPLOAD", "judged", "needs_a_person"]

TAINTED = "tainted"
"""Code of a decision that asks because of what the conversation has taken in."""

UPLOAD = "upload"
"""Stands for tool, call and origin where a person put a file into the workspace; none of these is named so."""

_NAMED = 3  # calls and places that a sentence names


def needs_a_person(decision: Decision, labels: Collection[str], external: Sequence[ExternalContent]) -> bool:
    """Whether a person must be asked about a call now, whatever a rule allows and whatever was granted before.

    Args:
        decision: What the policies say of the call.
        labels: The labels of its plan.
        external: What its conversation has taken in so far.
    """
    return decision.outcome != "deny" and bool(external) and not REACHING.isdisjoint(labels)


def judged(decision: Decision, labels: Collection[str], external: Sequence[ExternalContent]) -> Decision:
    """The decision once the conversation's content is taken into account: an `ask` where a person is needed.

    The rule stays its source; a deny stays a deny. Arguments as for `needs_a_person`.
    """
    if not needs_a_person(decision, labels, external):
        return decision
    reach = " and ".join(words for label, words in LABELS.items() if label in REACHING and label in labels)
    content = _listed(map(_content, external), "; ")
    return replace(
        decision,
        outcome="ask",
        code=TAINTED,
        reason=(
            f"{decision.reason} But this conversation holds content from elsewhere: {content}. "
            f"This call is looked at first, because {reach}."
        ),
    )


def _listed(items: Iterable[str], separator: str = ", ") -> str:
    every = list(items)
    more = [f"{len(every) - _NAMED} more"] if len(every) > _NAMED else []
    return separator.join([*every[:_NAMED], *more])


def _content(one: ExternalContent) -> str:
    if one.tool == UPLOAD:
        return "files that were uploaded"
    return f"{_listed(map(_place, one.origins))} by {one.tool} ({one.call_id})"


def _place(origin: str) -> str:
    return "the workspace" if origin == WORKSPACE else f"`{origin}`"
