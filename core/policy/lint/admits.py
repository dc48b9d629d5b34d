"""Whether a rule would let certain words through: tried on the rule's own template, as a call would try it.

A template matches endless commands, so a few stand for all: each slot is filled with a sample that it is made to take,
once with everything in brackets and once without. Into these the words are put wherever they could stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from toolhost.policy.lint.risks import WITH_SUBCOMMANDS, Risk
from toolhost.policy.slots import PathSlot, SlotKind, UrlSlot
from toolhost.policy.template import Dashes, Flag, Flags, Literal, Optional, PathValue, Place, Template, Value

__all__ = ["admits", "samples"]

_SAMPLE = "\N{SECTION SIGN}"


def samples(template: Template) -> list[list[str]]:
    """Commands that stand for all that a template matches, without the program."""
    return [list(_filled(template.places, optional=False)), list(_filled(template.places, optional=True))]


def admits(template: Template, risk: Risk) -> bool:
    """Whether a template of the risk's program lets its words through, other than as a path it may write."""
    opened = _opened(template)
    return any(_through(opened, words, risk) for words in _candidates(template, risk))


def _through(template: Template, words: Sequence[str], risk: Risk) -> bool:
    spelled = template.match(words)
    if spelled is None:
        return False
    if risk.effect == "writes_files" and any(isinstance(word, PathValue) and word.write for word in spelled):
        return False
    # A word that became a path is a path, whatever it looks like.
    first = risk.words[0].partition("=")[0] if risk.words else ""
    return not first or any(isinstance(word, str) and word.startswith(first) for word in spelled)


def _candidates(template: Template, risk: Risk) -> Iterator[list[str]]:
    begin = list(risk.command[1:])
    at_once = risk.command[0] in WITH_SUBCOMMANDS and not begin
    for sample in samples(template):
        for base in (sample, begin + sample, begin + sample[len(begin) :]):
            if base[: len(begin)] != begin:
                continue
            if not risk.words:
                yield base
                continue
            end = base.index("--") if "--" in base and risk.words[0].startswith("-") else len(base)
            for at in range(len(begin), len(begin) + 1 if at_once else end + 1):
                yield [*base[:at], *risk.words, *base[at:]]
                for left_out in range(1, min(len(risk.words), len(base) - at) + 1):
                    yield [*base[:at], *risk.words, *base[at + left_out :]]


def _filled(places: Sequence[Place], *, optional: bool) -> Iterator[str]:
    for place in places:
        match place:
            case Flags():
                for flag in place.flags:
                    if flag.required or optional:
                        yield flag.names[0]
                        if flag.value is not None:
                            yield flag.value if isinstance(flag.value, str) else _SAMPLE
            case Literal():
                yield place.text
            case Dashes():
                yield "--"
            case Value():
                yield _SAMPLE
            case Optional() if optional:
                yield from _filled(place.places, optional=optional)


# -- templates whose slots take the sample as well ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _OrSample:
    """A slot, and the sample besides. As a flag's own value no word is a flag, whatever it looks like."""

    kind: SlotKind
    own: bool

    def accepts(self, value: str) -> bool:
        return value == _SAMPLE or (self.kind.accepts(value) and not (self.own and value.startswith("-")))


def _opened(template: Template) -> Template:
    return replace(template, places=tuple(map(_open_place, template.places)))


def _open_place(place: Place) -> Place:
    match place:
        case Flags():
            flags = tuple(_open_flag(flag) for flag in place.flags)
            return Flags(flags, {name: flag for flag in flags for name in flag.names})
        case Value():
            return _open_value(place)
        case Optional():
            inner = tuple(_open_value(part) if isinstance(part, Value) else part for part in place.places)
            return Optional(inner)
        case _:
            return place


def _open_value(place: Value) -> Value:
    return replace(place, kind=_open_kind(place.kind, own=False))


def _open_flag(flag: Flag) -> Flag:
    if flag.value is None or isinstance(flag.value, str):
        return flag
    return replace(flag, value=_open_kind(flag.value, own=True))


def _open_kind(kind: SlotKind, *, own: bool) -> SlotKind:
    return kind if isinstance(kind, PathSlot | UrlSlot) else _OrSample(kind, own)
