"""From the text of a rule to a template, or to the character at which it is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from toolhost.argv_syntax import Anything, Group, Node, Slot, TemplateSyntaxError, Word, parse
from toolhost.policy.slots import SlotError, SlotKind, parse_slot
from toolhost.policy.template import Dashes, Flag, Flags, Literal, Optional, Place, Rest, Template, Value, is_flag

__all__ = ["GLOB", "TemplateError", "compile_template"]

GLOB = frozenset("*?")
"""Characters that make the program of a deny a pattern."""

_ESCAPES = re.compile(r"[\\'\"]")
_GROUPS = re.compile(r"(?:^|(?<= ))(\[[^\[\]]+\])(?= |$)")
_REST_LAST = "`...` stands last, where it ends the rule; only a deny may have it elsewhere."


class TemplateError(ValueError):
    """Raised for a template that is not one.

    Attributes:
        code: Stable code.
        offset: Zero-based character at which it goes wrong.
    """

    def __init__(self, offset: int, message: str, code: str = "bad_template") -> None:
        super().__init__(message)
        self.code = code
        self.offset = offset


@lru_cache(maxsize=1 << 14)
def compile_template(text: str, *, deny: bool = False) -> Template:
    """Compile the text of a rule; kept, because most rules of a file that is read again are as they were.

    Args:
        text: As the policy writes it.
        deny: Whether it is a deny, which may be wider: `...` anywhere, a glob for the program.

    Raises:
        TemplateError: With the character at which it goes wrong.
    """
    return _from_known(text, deny=deny) or _from_scratch(text, deny=deny)


def _from_known(text: str, *, deny: bool) -> Template | None:
    """The template, most of it from groups that other rules have too; None where that is not so simple, or is none."""
    if _ESCAPES.search(text):
        return None
    first, *rest = _GROUPS.split(text)
    try:
        program, *nodes = parse(first)
        items = [*_places(nodes)]
        for at, piece in enumerate(rest):
            if at % 2 == 0:
                items.append(_known_group(piece))
            elif piece != " ":
                items.extend(_places(parse(piece)))
        if not isinstance(program, Word):
            return None
        places = tuple(_gather(items))
        flat = _flat(places)
        if _disorder(places, flat, deny=deny) is not None:
            return None
        return Template(_program(program, deny=deny), places, _is_bare(flat))
    except ValueError:  # of either kind: from the beginning it can be said where it is wrong
        return None


@lru_cache(maxsize=1 << 12)
def _known_group(text: str) -> Flag | Optional:
    (group,) = parse(text)
    assert isinstance(group, Group)
    return _group(group)


def _from_scratch(text: str, *, deny: bool) -> Template:
    try:
        nodes = parse(text)
    except TemplateSyntaxError as error:
        message = str(error)
        raise TemplateError(error.offset, f"{message[:1].upper()}{message[1:]}.") from None
    if not nodes or not isinstance(nodes[0], Word):
        raise TemplateError(0, "A rule starts with the name of a program.")
    places = tuple(_gather(_places(nodes[1:])))
    flat = _flat(places)
    disorder = _disorder(places, flat, deny=deny)
    if disorder is not None:
        rests = [node.offset for node in nodes if isinstance(node, Anything)] if disorder == _REST_LAST else []
        raise TemplateError(rests[0] if rests else nodes[-1].offset if nodes[1:] else 0, disorder)
    return Template(_program(nodes[0], deny=deny), places, _is_bare(flat))


def _is_bare(flat: Sequence[Place]) -> bool:
    return not any(isinstance(place, Flags | Dashes | Rest) for place in flat)


def _program(word: Word, *, deny: bool) -> str:
    name = word.text
    if "/" in name:
        parts = name.split("/")[1:]
        if not name.startswith("/") or not all(parts) or "." in parts or ".." in parts:
            message = f"A program is a name or an absolute path, not `{name}`: a workspace could hold another."
            raise TemplateError(
                word.offset, f"{message} Did you mean `{parts[-1]}`?" if parts[-1] else message, "bad_program"
            )
    if name.startswith("-") or any(ord(char) < 33 or char == "\x7f" for char in name) or name in (".", "..", ""):
        raise TemplateError(word.offset, f"`{name}` is no name of a program.", "bad_program")
    if not deny and GLOB & set(name):
        raise TemplateError(
            word.offset, f"`{name}`: only a deny may name programs by a glob; name each.", "bad_program"
        )
    return name


def _places(nodes: Sequence[Node]) -> Iterator[Flag | Place]:
    at = 0
    while at < len(nodes):
        node = nodes[at]
        at += 1
        match node:
            case Word() if node.text == "--":
                yield Dashes()
            case Slot() if node.flag:
                yield _glued_flag(node, node.flag[:-1], _slot(node), required=True)
            case Word() if is_flag(node.text) and (parts := _fixed(node)) is not None:
                yield _glued_flag(node, *parts, required=True)
            case Word() if is_flag(node.text):
                value = nodes[at] if at < len(nodes) else None
                own = isinstance(value, Slot) and not value.many and not value.flag
                yield _flag(node, value if own and isinstance(value, Slot) else None, required=True)
                at += own
            case Word() | Slot():
                yield _positional_place(node)
            case Group():
                yield _group(node)
            case Anything():
                yield Rest()


def _group(group: Group) -> Flag | Optional:
    first, rest = group.items[0], group.items[1:]
    own: tuple[str, SlotKind | str] | None = None
    if isinstance(first, Word):
        own = _fixed(first)
    elif first.flag:
        own = (first.flag[:-1], _slot(first))
    if own is not None:
        if rest:
            raise TemplateError(
                rest[0].offset, "The flag has its value already: give what follows brackets of its own."
            )
        return _glued_flag(first, *own, required=False)
    if isinstance(first, Word) and is_flag(first.text):
        if len(rest) > 1 or (rest and _is_flag_word(rest[0])):
            raise TemplateError(group.offset, "Brackets hold one flag and at most one value: [-n {int}].")
        if rest and isinstance(rest[0], Slot) and rest[0].many:
            raise TemplateError(rest[0].offset, "A flag takes one value: write it without `...`.")
        return _flag(first, rest[0] if rest else None, required=False)
    return Optional(
        tuple(
            Dashes() if isinstance(item, Word) and item.text == "--" else _positional_place(item)
            for item in group.items
        )
    )


def _is_flag_word(item: Word | Slot) -> bool:
    return bool(item.flag) if isinstance(item, Slot) else is_flag(item.text)


def _flag(word: Word, value: Word | Slot | None, *, required: bool) -> Flag:
    names = tuple(word.text.split("|"))
    if not all(is_flag(name) for name in names):
        raise TemplateError(word.offset, f"`{word.text}`: every name of a flag begins with `-`.")
    if len(set(names)) != len(names):
        raise TemplateError(word.offset, f"`{word.text}` names a flag twice.")
    if isinstance(value, Slot):
        return Flag(names, _slot(value), required)
    return Flag(names, value.text if value else None, required)


def _fixed(word: Word) -> tuple[str, str] | None:
    """`--color=always` as a flag and its fixed value; None for any other word. `-n=5` is one of one letter and `=5`."""
    name, equals, value = word.text.partition("=")
    return (name, value) if equals and is_flag(word.text) and len(name.rpartition("|")[2]) > 2 else None


def _glued_flag(item: Word | Slot, name: str, value: SlotKind | str, *, required: bool) -> Flag:
    """A flag whose value stands behind a `=`."""
    flag = _flag(Word(name, item.offset), None, required=required)
    if all(len(each) == 2 for each in flag.names):
        raise TemplateError(
            item.offset, f"`{name}=`: a flag of one letter takes its value without `=`: {name} {{...}}."
        )
    if isinstance(value, str) and "|" in value:
        raise TemplateError(item.offset, f"`{value}`: alternatives are for flags; write {name}={{choice:{value}}}.")
    return replace(flag, value=value, glued=True)


def _positional_place(item: Word | Slot) -> Literal | Value:
    if isinstance(item, Slot) and item.flag:
        raise TemplateError(item.offset, f"`{item.flag}` stands after a value in the same brackets: give it its own.")
    if isinstance(item, Slot):
        return Value(_slot(item), item.many)
    if is_flag(item.text):
        raise TemplateError(item.offset, f"`{item.text}` stands after a value in the same brackets: give it its own.")
    if "|" in item.text:
        raise TemplateError(item.offset, f"`{item.text}`: alternatives are for flags; write {{choice:...}}.")
    return Literal(item.text)


def _slot(slot: Slot) -> SlotKind:
    try:
        return parse_slot(slot.body)
    except SlotError as error:
        raise TemplateError(slot.offset, str(error), "bad_slot") from None


def _gather(items: Iterable[Flag | Place]) -> Iterator[Place]:
    """Join neighbouring flags to one place."""
    run: list[Flag] = []
    for item in items:
        if isinstance(item, Flag):
            run.append(item)
            continue
        if run:
            yield _flags(run)
            run = []
        yield item
    if run:
        yield _flags(run)


def _flags(run: Sequence[Flag]) -> Flags:
    return Flags(tuple(run), {name: flag for flag in run for name in flag.names})


def _disorder(places: Sequence[Place], flat: Sequence[Place], *, deny: bool) -> str | None:
    """Why places cannot stand together like this, or None. `flat`: the same, those in brackets among them."""
    names = [name for place in places if isinstance(place, Flags) for flag in place.flags for name in flag.names]
    if len(set(names)) < len(names):
        return f"The flag `{next(name for name in names if names.count(name) > 1)}` stands twice."
    kinds = [type(place) for place in flat]
    if kinds.count(Dashes) > 1:
        return "`--` stands twice."
    if Dashes in kinds and Flags in kinds[kinds.index(Dashes) :]:
        return "After `--` nothing is a flag: write the flags before it."
    if sum(isinstance(place, Value) and place.many for place in flat) > 1:
        return "Two lists cannot be told apart: one `...` slot a template."
    if not deny and Rest in map(type, places[:-1]):
        return _REST_LAST
    return None


def _flat(places: Sequence[Place]) -> list[Place]:
    """The places, those in brackets among them."""
    return [inner for place in places for inner in (place.places if isinstance(place, Optional) else (place,))]
