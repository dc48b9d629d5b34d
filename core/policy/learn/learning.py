"""From calls that did not work to what a policy lacked: every proposal is tried before it is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from toolhost.model import Decision
from toolhost.policy.decide import decide
from toolhost.policy.learn.denials import denied
from toolhost.policy.learn.draft import Draft, Proposal
from toolhost.policy.learn.observed import Failure, Note
from toolhost.policy.learn.symptoms import lacking
from toolhost.policy.policy_set import PolicySet
from toolhost.policy.resolve import resolve

__all__ = ["Learned", "learn"]

_ROUNDS = 4  # what a rule lets through may then lack a folder, and that a host


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What was learned.

    Attributes:
        proposals: Entries, each valid with those before it.
        notes: What is not proposed, and why.
        answered: Denied calls that would then be allowed or asked.
        denied: Denied calls that would still be denied.
    """

    proposals: tuple[Proposal, ...]
    notes: tuple[Note, ...]
    answered: tuple[str, ...]
    denied: tuple[str, ...]


def learn(plugin: str, failures: Sequence[Failure], policies: PolicySet) -> Learned:
    """Find what the policy of a plugin lacked.

    Args:
        plugin: The plugin.
        failures: Calls of its tools that did not work and, if they were denied, still are.
        policies: The policies in force.
    """
    draft = Draft.of(plugin, policies)
    accepted: list[Proposal] = []
    notes: list[Note] = []
    tried: set[tuple[str, str, object]] = set()
    refused = [failure for failure in failures if failure.denied]
    for _ in range(_ROUNDS):
        fresh = [one for one in _lacked(draft, failures, policies) if one.identity not in tried and not draft.has(one)]
        if not fresh:
            break
        for proposal in fresh:
            tried.add(proposal.identity)
            having = draft.having(proposal)
            problems = having.load(policies).problems
            if problems:
                what = f"`{proposal.value}` for `{proposal.key}`"
                notes.append(Note(reason=f"{what}: {problems[0].code}: {problems[0].message}", calls=proposal.calls))
                continue
            accepted += [one for one in proposal.needs if not draft.has(one)]
            accepted.append(replace(proposal, needs=()))
            draft = having
    decided = _decided(draft, refused, policies)
    ran = (one for failure in failures if not failure.denied for one in lacking(failure))
    notes += [one for one in ran if isinstance(one, Note)]
    notes += [one for one in denied(_denials(decided)) if isinstance(one, Note)]
    still = tuple(failure.call_id for failure, _ in _denials(decided))
    return Learned(
        proposals=tuple(accepted),
        notes=tuple(_together(notes)),
        answered=tuple(failure.call_id for failure in refused if failure.call_id not in still),
        denied=still,
    )


def _lacked(draft: Draft, failures: Sequence[Failure], policies: PolicySet) -> list[Proposal]:
    """What is lacking beside a draft, each entry once with all the calls that lack it."""
    refused = _denials(_decided(draft, [failure for failure in failures if failure.denied], policies))
    ran = (one for failure in failures if not failure.denied for one in lacking(failure))
    found: dict[tuple[str, str, object], Proposal] = {}
    for one in (*denied(refused), *ran):
        if isinstance(one, Proposal):
            known = found.get(one.identity, one)
            found[one.identity] = replace(known, calls=tuple(dict.fromkeys((*known.calls, *one.calls))))
    return list(found.values())


def _decided(draft: Draft, failures: Sequence[Failure], policies: PolicySet) -> list[tuple[Failure, Decision]]:
    """What a draft decides of calls."""
    policy = draft.load(policies).policy
    return [
        (failure, decide(resolve(failure.request, policy, policies.host), policy, policies.host))
        for failure in failures
    ]


def _denials(decided: Iterable[tuple[Failure, Decision]]) -> list[tuple[Failure, Decision]]:
    return [(failure, decision) for failure, decision in decided if decision.outcome == "deny"]


def _together(notes: Iterable[Note]) -> Iterator[Note]:
    """Each reason once, with all its calls."""
    found: dict[str, list[str]] = {}
    for note in notes:
        found.setdefault(note.reason, []).extend(note.calls)
    yield from (Note(reason=reason, calls=tuple(dict.fromkeys(calls))) for reason, calls in found.items())
