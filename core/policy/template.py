"""Argv templates: what a rule of `[commands]` says, compiled.

    git log [--oneline] [-n|--count {int:1..500}] [--] [{read...}]

A template is a program and a sequence of places. Neighbouring flags form one place at which they may stand in any
order, each at most once; everything else stands in the order it is written. Matching gives back the arguments in the
template's own spelling, so that what was judged is what is spawned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from toolhost.policy.slots import PathSlot, SlotKind, UrlSlot

__all__ = [
    "Dashes",
    "Flag",
    "Flags",
    "Literal",
    "Optional",
    "PathValue",
    "Place",
    "Rest",
    "Taken",
    "Template",
    "UrlValue",
    "Value",
    "is_flag",
    "unglue",
]


@dataclass(frozen=True, slots=True)
class PathValue:
    """An argument that a path slot took, not yet looked up. `flag`: what stands before it in the same argument."""

    value: str
    write: bool
    flag: str = ""


@dataclass(frozen=True, slots=True)
class UrlValue:
    """An argument that a URL slot took, its host not yet judged. `flag` as for a path."""

    value: str
    flag: str = ""


Taken = str | PathValue | UrlValue
"""One argument in a template's spelling."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag, its other names, and its value: a slot, a fixed word, or none.

    `glued`: the value is spawned in the same argument, behind a `=`. That is so for every name but those of one letter.
    """

    names: tuple[str, ...]
    value: SlotKind | str | None
    required: bool
    glued: bool = False

    def __str__(self) -> str:
        text = "|".join(_escape(name) for name in self.names)
        if self.value is not None:
            text += "=" if self.glued else " "
            text += _escape(self.value) if isinstance(self.value, str) else f"{{{self.value}}}"
        return text if self.required else f"[{text}]"


@dataclass(frozen=True, slots=True)
class Flags:
    """Neighbouring flags, in any order."""

    flags: tuple[Flag, ...]
    by_name: dict[str, Flag] = field(compare=False, repr=False)

    def __str__(self) -> str:
        return " ".join(map(str, self.flags))


@dataclass(frozen=True, slots=True)
class Literal:
    """A word that stands as it is."""

    text: str

    def __str__(self) -> str:
        return _escape(self.text)


@dataclass(frozen=True, slots=True)
class Value:
    """A positional slot: one value, or one or more."""

    kind: SlotKind
    many: bool

    def __str__(self) -> str:
        return f"{{{self.kind}{'...' if self.many else ''}}}"


@dataclass(frozen=True, slots=True)
class Dashes:
    """`--`: after it nothing is a flag."""

    def __str__(self) -> str:
        return "--"


@dataclass(frozen=True, slots=True)
class Optional:
    """Places that may be left out together."""

    places: tuple[Literal | Value | Dashes, ...]

    def __str__(self) -> str:
        return f"[{' '.join(map(str, self.places))}]"


@dataclass(frozen=True, slots=True)
class Rest:
    """`...`: any arguments."""

    def __str__(self) -> str:
        return "..."


Place = Flags | Literal | Value | Dashes | Optional | Rest


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template.

    Attributes:
        program: A name or an absolute path; in a deny possibly a glob.
        places: What follows it.
        bare: Whether it has neither flags nor `--`, so that a path beginning with `-` can be nothing else.
    """

    program: str
    places: tuple[Place, ...]
    bare: bool

    def __str__(self) -> str:
        return " ".join((_escape(self.program), *map(str, self.places)))

    @property
    def whole(self) -> bool:
        """Whether a deny means the program whatever its arguments are."""
        return not self.places or self.places == (Rest(),)

    @property
    def open(self) -> bool:
        """Whether it ends in any arguments."""
        return Rest() in self.places

    @property
    def weight(self) -> int:
        """How many words it fixes."""
        return sum(isinstance(place, Literal) for place in self.places)

    def match(self, arguments: Sequence[str]) -> tuple[Taken, ...] | None:
        """The arguments in the template's spelling, or None where they do not match.

        Args:
            arguments: What follows the program.
        """
        return _match(self.places, arguments, 0, ended=False, bare=self.bare, failed=set())


# -- matching ----------------------------------------------------------------------------------------------------------

_Spelled = tuple[Taken, ...]
_Failed = set[tuple[int, int, bool]]


def _match(
    places: tuple[Place, ...], tokens: Sequence[str], at: int, *, ended: bool, bare: bool, failed: _Failed
) -> _Spelled | None:
    """Match the places from here on.

    Args:
        places: The places.
        tokens: All arguments.
        at: The first that is left.
        ended: `--` was seen.
        bare: The template has neither flags nor `--`.
        failed: Where brackets were tried in vain: how many places follow, `at` and `ended`. Many brackets would else be
            tried in every combination.
    """
    if not places:
        return () if at == len(tokens) else None
    place, rest = places[0], places[1:]
    match place:
        case Flags():
            taken = _take_flags(place, tokens, at)
            if taken is None:
                return None
            spelled, at = taken
            return _then(spelled, _match(rest, tokens, at, ended=ended, bare=bare, failed=failed))
        case Literal():
            if at == len(tokens) or tokens[at] != place.text:
                return None
            return _then((place.text,), _match(rest, tokens, at + 1, ended=ended, bare=bare, failed=failed))
        case Dashes():
            if ended or at == len(tokens) or tokens[at] != "--":
                return None
            return _then(("--",), _match(rest, tokens, at + 1, ended=True, bare=bare, failed=failed))
        case Optional():
            if (len(rest), at, ended) in failed:
                return None
            found = _match((*place.places, *rest), tokens, at, ended=ended, bare=bare, failed=failed)
            if found is None:
                found = _match(rest, tokens, at, ended=ended, bare=bare, failed=failed)
            if found is None:
                failed.add((len(rest), at, ended))
            return found
        case Value():
            return _match_value(place, rest, tokens, at, ended=ended, bare=bare, failed=failed)
        case Rest():
            return tuple(tokens[at:])


def _match_value(
    place: Value, rest: tuple[Place, ...], tokens: Sequence[str], at: int, *, ended: bool, bare: bool, failed: _Failed
) -> _Spelled | None:
    most = at
    while most < len(tokens) and (place.many or most == at) and _positional(place.kind, tokens[most], ended or bare):
        most += 1
    spelled = tuple(_spell(place.kind, token) for token in tokens[at:most])
    for end in range(most, at, -1):
        found = _match(rest, tokens, end, ended=ended, bare=bare, failed=failed)
        if found is not None:
            return spelled[: end - at] + found
    return None


def _positional(kind: SlotKind, token: str, dashes_are_data: bool) -> bool:
    """Whether a slot takes a token that is no flag's own value. A path may begin with `-` where no flag could stand."""
    if token.startswith("-") and not (dashes_are_data and isinstance(kind, PathSlot)):
        return False
    return kind.accepts(token)


def _spell(kind: SlotKind, token: str) -> Taken:
    if isinstance(kind, PathSlot):
        return PathValue(token, kind.write)
    return UrlValue(token) if isinstance(kind, UrlSlot) else token


def _then(first: _Spelled, rest: _Spelled | None) -> _Spelled | None:
    return None if rest is None else first + rest


def _take_flags(place: Flags, tokens: Sequence[str], at: int) -> tuple[_Spelled, int] | None:
    """The flags that stand here and where they end; None where a required one is missing."""
    seen: set[tuple[str, ...]] = set()
    spelled: list[Taken] = []
    while at < len(tokens) and is_flag(tokens[at]):
        found = _take_flag(place, tokens, at)
        if found is None:
            break
        flag, words, at = found
        if flag.names in seen:
            return None
        seen.add(flag.names)
        spelled.extend(words)
    if any(flag.required and flag.names not in seen for flag in place.flags):
        return None
    return tuple(spelled), at


def _take_flag(place: Flags, tokens: Sequence[str], at: int) -> tuple[Flag, _Spelled, int] | None:
    token = tokens[at]
    flag = place.by_name.get(token)
    if flag is not None:
        if flag.value is None:
            return flag, (token,), at + 1
        if at + 1 < len(tokens) and (value := _own_value(flag, tokens[at + 1])) is not None:
            return flag, _written(flag, token, value), at + 2
        return None
    for name, glued in unglue(token):
        flag = place.by_name.get(name)
        if flag is not None and flag.value is not None and (value := _own_value(flag, glued)) is not None:
            return flag, _written(flag, name, value), at + 1
    return None


def _written(flag: Flag, name: str, value: Taken) -> _Spelled:
    """A flag and its value as the template writes them."""
    if not flag.glued or len(name) == 2:
        return name, value
    if isinstance(value, str):
        return (f"{name}={value}",)
    return (replace(value, flag=f"{name}="),)


def is_flag(token: str) -> bool:
    """Whether an argument is read as a flag where flags may stand."""
    return token.startswith("-") and token not in ("-", "--")


def unglue(token: str) -> Iterator[tuple[str, str]]:
    """`--count=5`, `-n5` and `-count=5` as name and value, in every way in which they can be read."""
    name, equals, value = token.partition("=")
    if equals and len(name) > 2:
        yield name, value
    if len(token) > 2 and not token.startswith("--"):
        yield token[:2], token[2:]


def _own_value(flag: Flag, token: str) -> Taken | None:
    if isinstance(flag.value, str):
        return token if token == flag.value else None
    if flag.value is None or not flag.value.accepts(token):
        return None
    return _spell(flag.value, token)


def _escape(word: str) -> str:
    if word == "...":
        return "\\..."
    return "".join(f"\\{char}" if char in " []{}\\'\"" else char for char in word) or "''"
