"""How two policies differ in what they grant, not in how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from toolhost.policy.network_table import covers
from toolhost.policy.values import Policy
from toolhost.policy.words import Term, terms

__all__ = ["Difference", "differences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that two policies say differently.

    Attributes:
        effect: Whether the new one grants more, less, or something else.
        plugin: Whose policy.
        old: What the old policy says; None where it does not mention it.
        new: What the new policy says, likewise.
    """

    effect: Literal["wider", "narrower", "changed"]
    plugin: str
    old: Term | None
    new: Term | None

    @property
    def key(self) -> tuple[str, str]:
        """What it is about: a kind and a name."""
        said = self.new or self.old
        assert said is not None
        return said.key


def differences(old: Policy | None, new: Policy | None) -> Iterator[Difference]:
    """Every difference, the riskiest of each effect first. A policy that is not there grants nothing."""
    before = terms(old) if old else {}
    after = terms(new) if new else {}
    whole = old is None or new is None
    plugin = (new or old).plugin if (new or old) else ""  # type: ignore[union-attr]  # one of them is there
    for key in dict.fromkeys((*after, *before)):
        first, second = before.get(key), after.get(key)
        was, now = first.reach if first else 0, second.reach if second else 0
        if _is_covered(key, before if first is None else after):
            continue
        if whole and (first or second) and (was < 0 or now < 0 or key[0] == "limit"):
            continue  # where nothing is granted on one side, nothing is taken away from it either
        if was != now:
            yield Difference(effect="wider" if now > was else "narrower", plugin=plugin, old=first, new=second)
        elif (first and first.value) != (second and second.value) or (first is None) != (second is None):
            yield Difference(effect="changed", plugin=plugin, old=first, new=second)


def _is_covered(key: tuple[str, str], others: Iterable[tuple[str, str]]) -> bool:
    """Whether a host is among those of a wider entry."""
    kind, host = key
    return kind == "host" and any(other != host and covers(other, host) for what, other in others if what == "host")
