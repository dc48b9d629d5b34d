r"""The usage-line syntax that argv templates share, whether a policy or a plugin's manifest writes them.

A template is words separated by spaces. A word is a literal, a slot in braces (`{int:1..9}`, `{read...}`), `...` for
any arguments, or a group of words in brackets that may be left out. A backslash takes the next character literally.
What a slot's body means is the reader's business: a type in a policy, the name of an input in a manifest.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Anything", "Group", "Node", "Slot", "TemplateSyntaxError", "Word", "parse"]


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
    """`{body}` for one value, `{body...}` for one or more."""

    body: str
    many: bool
    offset: int


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


def _word(text: str, start: int) -> tuple[Word | Anything, int]:
    letters: list[str] = []
    at = start
    while at < len(text) and text[at] not in " ]":
        char = text[at]
        if char == "\\":
            at += 1
            if at == len(text):
                raise TemplateSyntaxError(at - 1, "a backslash with nothing after it")
            char = text[at]
        elif char in "{}[":
            raise TemplateSyntaxError(at, f"`{char}` inside a word: separate it with a space or write `\\{char}`")
        letters.append(char)
        at += 1
    word = "".join(letters)
    if text[start:at] == "...":
        return Anything(start), at
    return Word(word, start), at
