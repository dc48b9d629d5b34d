"""Commands that were asked for, as few rules that match them and little else.

Words that all commands of one shape share stay as they are; where they differ stands the narrowest slot that takes
all of them; a path is always a slot, so that it is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from toolhost.policy.compile import TemplateError, compile_template
from toolhost.policy.slots import PathSlot, SlotKind, UrlSlot, parse_slot
from toolhost.policy.template import Dashes, Flag, Flags, Literal, Place, Template, Value

__all__ = ["Word", "generalised"]

Argv = tuple[str, ...]
Word = tuple[str, bool]
"""A word that is a path by the tool's own schema, and whether it is written."""

_URL = re.compile(r"https?://[^\s/]+")


def generalised(commands: Mapping[Argv, Sequence[Word]]) -> Iterator[tuple[str, tuple[Argv, ...]]]:
    """Rules, each with the commands it is for.

    Args:
        commands: The commands, and which of their words are paths.
    """
    shapes: dict[tuple[str, ...], list[Argv]] = {}
    for argv, paths in commands.items():
        shapes.setdefault(tuple(_shape(argv, dict(paths))), []).append(argv)
    for shape, some in shapes.items():
        text = _rule(shape, {argv: dict(commands[argv]) for argv in some})
        if text is not None:
            yield text, tuple(some)
            continue
        for argv in some:  # what cannot be one rule may be several
            text = _rule(shape, {argv: dict(commands[argv])})
            if text is not None:
                yield text, (argv,)


def _shape(argv: Argv, paths: Mapping[str, bool]) -> Iterator[str]:
    """What commands of one rule share: the program, the flags, how many values, and whether these are paths."""
    yield argv[0]
    dashes, before = False, ""
    for word in argv[1:]:
        if word in paths:
            now = "\0write" if paths[word] else "\0read"
        else:
            now = word if word.startswith("-") and word != "-" and not dashes else "\0value"
        dashes = dashes or word == "--"
        if now == before and word in paths:
            continue  # a list of paths of any length
        before = now
        yield now


def _rule(shape: Sequence[str], commands: Mapping[Argv, Mapping[str, bool]]) -> str | None:
    """The text of a rule that matches all the commands as they are, or None."""
    columns = list(zip(*(_columns(argv, paths) for argv, paths in commands.items()), strict=True))
    places: list[Place] = []
    at = 0
    while at < len(columns):
        column, kind = columns[at], shape[at + 1]
        at += 1
        if kind == "--" and column[0] == ("--",):
            places.append(Dashes())
        elif kind in ("\0read", "\0write"):
            places.append(Value(PathSlot(write=kind == "\0write"), any(len(words) > 1 for words in column)))
        elif kind == "\0value":
            words = [words[0] for words in column]
            places.append(Value(_slot(words), many=False) if _differ(words) else Literal(words[0]))
        else:
            value: SlotKind | None = None
            follows = [words[0] for words in columns[at]] if at < len(columns) and shape[at + 1] == "\0value" else []
            if follows and _differ(follows):
                value, at = _slot(follows), at + 1
            places.append(_flag(kind, value))
    text = str(Template(shape[0], tuple(places), bare=False))
    try:
        template = compile_template(text)
    except TemplateError:
        return None
    return text if all(template.match(argv[1:]) is not None for argv in commands) else None


def _columns(argv: Argv, paths: Mapping[str, bool]) -> Iterator[tuple[str, ...]]:
    run: tuple[str, ...] = ()
    for word in argv[1:]:
        if word in paths and (not run or paths[run[0]] == paths[word]):
            run += (word,)
            continue
        if run:
            yield run
        run = (word,) if word in paths else ()
        if word not in paths:
            yield (word,)
    if run:
        yield run


def _flag(name: str, value: SlotKind | None) -> Flags:
    flag = Flag((name,), value, required=True)
    return Flags((flag,), {name: flag})


def _differ(words: Sequence[str]) -> bool:
    """Whether a rule needs a slot for them; also for a word that a template cannot spell."""
    return len(set(words)) > 1 or not words[0] or "|" in words[0] or not words[0].isprintable()


def _slot(words: Sequence[str]) -> SlotKind:
    if all(_URL.match(word) for word in words):
        return UrlSlot()
    narrow = (parse_slot(name) for name in ("int", "ref"))
    return next((slot for slot in narrow if all(map(slot.accepts, words))), parse_slot("text"))
