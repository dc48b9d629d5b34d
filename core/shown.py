"""Text that others wrote, made visible: the one spelling of it in cards, questions, `explain` and on terminals.

A bidirectional override can make `rm` read as something else, a zero-width or tag character can hide a word, an escape
sequence can repaint a terminal. Here each of them is written out: a control character as its picture (`␛`), any other
as `‹U+202E›`. Those marks are written out as well where they stand in the text itself, so two texts never look alike.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

__all__ = ["MARKS", "is_hidden", "name_of", "picture", "shown", "token"]

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})  # of these only the space is plain
# Drawn as nothing, or as a space, although their category is a letter's or a mark's (Unicode: default ignorable).
_IGNORABLE = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors
    (0x2065, 0x2065),
    (0x2800, 0x2800),  # the empty Braille pattern
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),  # tags and further variation selectors
)
MARKS = "‹›" + "".join(map(chr, range(0x2400, 0x2427)))
"""What the marks themselves are made of."""


@lru_cache(maxsize=4096)
def is_hidden(char: str) -> bool:
    """Whether a character is written out: it cannot be seen, it moves others, or it could be one of our marks."""
    if " " <= char <= "~":
        return False
    code = ord(char)
    return (
        unicodedata.category(char) in _CATEGORIES
        or char in MARKS
        or any(first <= code <= last for first, last in _IGNORABLE)
    )


def picture(char: str) -> str:
    """How a hidden character is written out."""
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"‹U+{code:04X}›"


def name_of(char: str) -> str:
    """Its code and its name, for whoever wants to know more."""
    return f"U+{ord(char):04X} {unicodedata.name(char, 'control character')}"


def shown(text: str, keep: str = "") -> str:
    """The text with every hidden character written out.

    Args:
        text: Anything.
        keep: Characters that stay as they are: a newline and a tab where text may have lines.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep or not is_hidden(char) else picture(char) for char in text)


def token(text: str) -> str:
    """One argument as one piece of a line: in quotes where it is empty or has a space or a quote in it."""
    visible = shown(text)
    if text and not any(char in text for char in ' "'):
        return visible
    quoted = visible.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
