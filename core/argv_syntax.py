r"""The usage-line syntax that argv templates share, whether a policy or a plugin's manifest writes them.

A template is words separated by spaces. A word is a literal, a slot in braces (`{int:1..9}`, `{read...}`), `...` for
any arguments, or a group of words in brackets that may be left out. A slot may be glued to a flag: `--color={text}`. A
backslash takes the next character literally, and so does a part in quotes, single or double, as in a shell.
What a slot's body means is the reader's business: a type in a policy, the name of an input in a manifest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Anything", "Group", "Node", "Slot", "TemplateSyntaxError", "Word", "parse"]


_PLAIN = re.compile(r"[^ \[\]{}\\'\"]+")
"""Characters that stand for themselves, as nearly all do: a policy may have thousands of words."""


class TemplateSyntaxError(ValueError):
    """Raised for a template that cannot be read.

    Attributes:
        offset: Zero-based character at which it goes wrong.
    """

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Word:
    """A literal word."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Slot:
    """`{body}` for one value, `{body...}` for one or more.

    Attributes:
        body: What stands in the braces.
        many: Whether `...` follows it there.
        offset: Where the slot begins, the flag that it is glued to included.
        flag: That flag with its `=`, or an empty string.
    """

    body: str
    many: bool
    offset: int
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Anything:
    """`...`: any arguments."""

    offset: int


@dataclass(frozen=True, slots=True)
class Group:
    """`[...]`: words that may be left out together. Groups do not nest."""

    items: tuple[Word | Slot, ...]
    offset: int


Node = Word | Slot | Anything | Group


def parse(text: str) -> tuple[Node, ...]:
    """Read a template.

    Raises:
        TemplateSyntaxError: For an unbalanced bracket or brace, an empty slot or group, a nested group, or a slot glued
            to a word.
    """
    nodes: list[Node] = []
    group: list[Word | Slot] | None = None
    group_offset = 0
    at = 0
    while at < len(text):
        char = text[at]
        if char == " ":
            at += 1
        elif char == "[":
            if group is not None:
                raise TemplateSyntaxError(at, "a bracket inside brackets: groups do not nest, give each its own")
            group, group_offset = [], at
            at += 1
        elif char == "]":
            if group is None:
                raise TemplateSyntaxError(at, "`]` without `[`: write `\\]` for the character")
            if not group:
                raise TemplateSyntaxError(group_offset, "empty brackets: leave them out")
            nodes.append(Group(tuple(group), group_offset))
            group = None
            at += 1
            _expect_boundary(text, at)
        else:
            item, at = _slot(text, at) if char == "{" else _word(text, at)
            if isinstance(item, Word) and at < len(text) and text[at] == "{":
                item, at = _glued(text, item, at)
            if group is None:
                nodes.append(item)
            elif isinstance(item, Anything):
                raise TemplateSyntaxError(item.offset, "`...` cannot stand inside brackets")
            else:
                group.append(item)
    if group is not None:
        raise TemplateSyntaxError(
            group_offset, "`[` is never closed: end it with `]`, or write `\\[` for the character"
        )
    return tuple(nodes)


def _expect_boundary(text: str, at: int) -> None:
    if at < len(text) and text[at] not in " ]":
        raise TemplateSyntaxError(at, "a space is missing here")


def _slot(text: str, start: int) -> tuple[Slot, int]:
    depth, at = 0, start
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                break
        at += 1
    else:
        raise TemplateSyntaxError(start, "`{` is never closed")
    body = text[start + 1 : at]
    many = body.endswith("...")
    body = body.removesuffix("...")
    if not body:
        raise TemplateSyntaxError(start, "an empty slot")
    _expect_boundary(text, at + 1)
    return Slot(body, many, start), at + 1


def _glued(text: str, flag: Word, at: int) -> tuple[Slot, int]:
    """A flag and the slot glued to it."""
    slot, end = _slot(text, at)
    if slot.many:
        raise TemplateSyntaxError(at, "a flag takes one value: write it without `...`")
    return Slot(slot.body, many=False, offset=flag.offset, flag=flag.text), end


def _quoted(text: str, start: int) -> tuple[str, int]:
    """What stands in quotes, as a shell reads it, and where the rest begins."""
    quote, letters, at = text[start], list[str](), start + 1
    while at < len(text) and text[at] != quote:
        if quote == '"' and text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\"):
            at += 1
        elif text[at] == "{":
            raise TemplateSyntaxError(
                at,
                "a slot in quotes would be read as it is written: a slot stands alone, and takes spaces without quotes",
            )
        elif text.startswith("...", at):
            raise TemplateSyntaxError(at, "`...` in quotes would be three dots: write it without the quotes")
        letters.append(text[at])
        at += 1
    if at == len(text):
        raise TemplateSyntaxError(
            start, f"the quote {quote} is never closed: end it, or write \\{quote} for the character"
        )
    return "".join(letters), at + 1


def _word(text: str, start: int) -> tuple[Word | Anything, int]:
    letters: list[str] = []
    at = start
    while at < len(text) and text[at] not in " ]":
        plain = _PLAIN.match(text, at)
        if plain is not None:
            letters.append(plain[0])
            at = plain.end()
            continue
        char = text[at]
        if char in "'\"":
            part, at = _quoted(text, at)
            letters.append(part)
            continue
        if char == "\\":
            at += 1
            if at == len(text):
                raise TemplateSyntaxError(at - 1, "a backslash with nothing after it")
            char = text[at]
        elif char == "{" and letters and letters[0].startswith("-") and letters[-1].endswith("="):
            break  # the value of a flag
        elif char in "{}[":
            raise TemplateSyntaxError(at, f"`{char}` inside a word: separate it with a space or write `\\{char}`")
        letters.append(char)
        at += 1
    word = "".join(letters)
    if text[start:at] == "...":
        return Anything(start), at
    return Word(word, start), at
