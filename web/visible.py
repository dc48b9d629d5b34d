"""Text that others wrote, made safe to look at: what cannot be seen is shown, and nothing is interpreted.

A bidirectional override can make `rm` read as something else, a zero-width character can hide a word, an escape
sequence can repaint a terminal. On a page whose text a person approves, each of them stands there as a labelled mark.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from markupsafe import Markup, escape

__all__ = ["prose", "visible", "visible_text"]

_KEPT = "\n\t"
_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Not format characters by category, yet drawn as nothing or as a plain space.
_BLANK = frozenset("\u00a0\u034f\u115f\u1160\u17b4\u17b5\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
                   "\u200a\u202f\u205f\u2800\u3000\u3164\uffa0")  # fmt: skip


def visible(text: str) -> Markup:
    """The text as HTML, with each hidden character as a mark that names it."""
    if text.isascii() and (text.isprintable() or not any(_hidden(char) for char in text)):
        return escape(text)
    parts: list[str] = []
    plain: list[str] = []
    for char in text:
        if _hidden(char):
            parts.append(str(escape("".join(plain))))
            plain.clear()
            parts.append(f'<span class="mark" title="{escape(_title(char))}">{escape(_label(char))}</span>')
        else:
            plain.append(char)
    parts.append(str(escape("".join(plain))))
    return Markup("".join(parts))  # noqa: S704  # every part was escaped above


def prose(text: str) -> Markup:
    """A sentence of ours as HTML: what it quotes in backticks is set as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return visible(text)
    pieces = [f"<code>{visible(part)}</code>" if at % 2 else str(visible(part)) for at, part in enumerate(parts)]
    return Markup("".join(pieces))  # noqa: S704  # every part was escaped above


def visible_text(text: str) -> str:
    """The same for places that take plain text, such as an attribute or a title."""
    return "".join(_label(char) if _hidden(char) else char for char in text)


@lru_cache(maxsize=4096)
def _hidden(char: str) -> bool:
    return char not in _KEPT and (unicodedata.category(char) in _CATEGORIES or char in _BLANK)


def _label(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)  # the control pictures: ␛ for escape
    return "␡" if code == 0x7F else f"U+{code:04X}"


def _title(char: str) -> str:
    return f"U+{ord(char):04X} {unicodedata.name(char, 'control character')}"
