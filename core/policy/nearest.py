"""The rule that a denied command came closest to, and the word at which it stopped fitting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from toolhost.policy.template import Flags, Optional, Place, Template
from toolhost.policy.values import Rule

__all__ = ["Nearest", "nearest"]

_LONGEST = 64
"""Words of a command that are compared; beyond them a rule is as near as can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """A rule that nearly matched.

    Attributes:
        rule: The rule.
        fits: How many words of the command fit, the program among them.
        stops: The word that does not; None where the command ends too early.
        expected: What the rule has in its place; empty where it has nothing more.
    """

    rule: Rule
    fits: int
    stops: str | None
    expected: str


def nearest(rules: Iterable[Rule], argv: Sequence[str]) -> Nearest | None:
    """Of the rules for a command's program, the one whose template it follows furthest.

    Args:
        rules: Allows and asks, nearest by their words first.
        argv: The command as it was asked for.
    """
    found = [_walked(rule, argv) for rule in rules if rule.template.program == argv[0]]
    return max(found, key=lambda one: one.fits, default=None)  # the first of equals


def _walked(rule: Rule, argv: Sequence[str]) -> Nearest:
    template, words = rule.template, argv[1 : _LONGEST + 1]
    fits, rest = 0, template.places
    for start, after in _beginnings(template.places):
        part = Template(program=template.program, places=start, bare=template.bare)
        most = next((count for count in range(len(words), -1, -1) if part.match(words[:count]) is not None), -1)
        if most > fits:
            fits, rest = most, after
    stops = argv[fits + 1] if fits + 1 < len(argv) else None
    return Nearest(rule=rule, fits=fits + 1, stops=stops, expected=" ".join(map(str, rest)))


def _beginnings(places: tuple[Place, ...]) -> Iterator[tuple[tuple[Place, ...], tuple[Place, ...]]]:
    """Every beginning of a template, shortest first, and what follows it; also those that end within a place."""
    yield (), places
    for at, place in enumerate(places):
        before, after = places[:at], places[at + 1 :]
        yield (*before, place), after
        if isinstance(place, Flags) and any(flag.required for flag in place.flags):
            eased = tuple(replace(flag, required=False) for flag in place.flags)
            by_name = {name: flag for flag in eased for name in flag.names}
            yield (*before, Flags(eased, by_name)), (place, *after)
        if isinstance(place, Optional):
            for inner in range(1, len(place.places)):
                yield (*before, *place.places[:inner]), (*place.places[inner:], *after)
