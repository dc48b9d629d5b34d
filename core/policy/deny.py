"""Matching a deny: as wide as its words can be read.

An allow must match exactly; a deny must not be avoided by another spelling. So flags count wherever they stand, glued
or not, bundled (`-rf` holds `-f`) or abbreviated (`--forc`), `--` is looked through, options do not hide the word that
a deny begins with, and a program is meant by every name it has. Where a deny errs, it denies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from toolhost.policy.compile import GLOB
from toolhost.policy.slots import PathSlot, SlotKind, TextSlot, UrlSlot
from toolhost.policy.template import Dashes, Flag, Flags, Literal, Optional, Place, Rest, Template, Value

__all__ = ["denies_arguments", "denies_program"]

_VALUE = -1
"""The place of what may be the value of an option before the first word."""


def denies_program(template: Template, names: frozenset[str]) -> bool:
    """Whether a deny means a program, given every name that program has."""
    if template.program in names:
        return True
    return not GLOB.isdisjoint(template.program) and any(fnmatchcase(name, template.program) for name in names)


def denies_arguments(template: Template, arguments: Sequence[str]) -> bool:
    """Whether a deny of the same program means these arguments."""
    if template.whole:
        return True
    # The wide reading may take for one flag what stands for another; what an allow would match is denied in any case.
    if Rest() not in template.places[:-1] and template.match(arguments) is not None:
        return True
    tokens = [token for token in arguments if token != "--"]  # noqa: S105 - an argument, no password
    taken: set[int] = set()
    for place in template.places:
        for flag in place.flags if isinstance(place, Flags) else ():
            found = _taken(flag, tokens)
            if flag.required and not found:
                return False
            taken |= found
    kept = [token for at, token in enumerate(tokens) if at not in taken]
    return _matches(template.places, kept)


def _taken(flag: Flag, tokens: Sequence[str]) -> set[int]:
    """The places of every occurrence of a flag and of its value. A bundle counts for each flag in it."""
    found: set[int] = set()
    at = 0
    while at < len(tokens):
        width = max(_width(flag.value, name, tokens, at) for name in flag.names)
        found.update(range(at, at + width))
        at += width or 1
    return found


def _width(value: SlotKind | str | None, name: str, tokens: Sequence[str], at: int) -> int:
    """How many tokens a flag takes at a place: 0 where it does not stand there."""
    glued = _glued(name, tokens[at])
    if glued is None:
        return 0
    if value is None:
        return 1
    if glued:
        return 1 if _fits(value, glued) else 0
    return 2 if at + 1 < len(tokens) and _fits(value, tokens[at + 1]) else 0


def _glued(name: str, token: str) -> str | None:
    """What a token has after the flag; None where the token is not that flag."""
    if token == name:
        return ""
    if name.startswith("--"):
        spelled, _, value = token.partition("=")
        # GNU and git take any unambiguous beginning of a long flag.
        return value if len(spelled) > 2 and "=" not in name and name.startswith(spelled) else None
    if len(name) != 2:
        return token.removeprefix(f"{name}=") if token.startswith(f"{name}=") else None
    if not token.startswith("-") or token.startswith("--"):
        return None
    place = token.find(name[1], 1)
    return token[place + 1 :] if place > 0 and token[1 : place + 1].isalnum() else None


def _fits(value: SlotKind | str, token: str) -> bool:
    if isinstance(value, str):
        return value == token
    return isinstance(value, TextSlot | PathSlot | UrlSlot) or value.accepts(token)


def _matches(places: Sequence[Place], tokens: Sequence[str]) -> bool:
    """Match positional places with `...` anywhere, by the set of places that each beginning of the tokens can reach.

    Options before a first word are passed over, each with and without the token behind it, which may be its value.
    """
    flat, passed = _flat(places)
    reached = _closed(passed, {0})
    word_first = bool(flat) and isinstance(flat[0], Literal)
    for token in tokens:
        following: set[int] = {0} if _VALUE in reached else set()
        if word_first and 0 in reached and token.startswith("-"):
            following |= {0, _VALUE}
        for at in reached - {len(flat), _VALUE}:
            place = flat[at]
            if isinstance(place, Rest):
                following.add(at)
            elif isinstance(place, Value) and _fits(place.kind, token):
                following |= {at, at + 1} if place.many else {at + 1}
            elif isinstance(place, Literal) and place.text == token:
                following.add(at + 1)
        reached = _closed(passed, following)
    return len(flat) in reached


def _flat(places: Sequence[Place]) -> tuple[list[Place], dict[int, int]]:
    """The positional places, those in brackets among them, and from where to where no token is needed."""
    flat: list[Place] = []
    passed: dict[int, int] = {}
    for place in places:
        inner = place.places if isinstance(place, Optional) else (place,)
        kept = [one for one in inner if not isinstance(one, Flags | Dashes)]
        if kept and isinstance(place, Optional | Rest):
            passed[len(flat)] = len(flat) + len(kept)
        flat += kept
    return flat, passed


def _closed(passed: Mapping[int, int], reached: set[int]) -> set[int]:
    """With every place that is reached without a token."""
    found = set(reached)
    for at, to in passed.items():  # in order: what is passed may lead to what can be passed
        if at in found:
            found.add(to)
    return found
