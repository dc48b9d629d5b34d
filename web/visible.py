"""Text that others wrote as HTML: what cannot be seen stands there as a labelled mark, and nothing is interpreted."""

from __future__ import annotations

import hashlib

from markupsafe import Markup, escape

from toolhost.finding import MATCH_END, MATCH_START
from toolhost.shown import is_hidden, name_of, picture, shown

__all__ = ["chip", "excerpt", "prose", "visible", "visible_text"]

_KEPT = "\n\t"
_LONG = 2000  # characters of a token that a card shows at once
_END = 600  # of a longer one: how many from its beginning and from its end


def visible(text: str) -> Markup:
    """The text as HTML, with each hidden character as a mark that names it."""
    return _marked(text, _KEPT)


def chip(token: str) -> Markup:
    """One argument as HTML: as `visible`, line ends and tabs marked as well, spaces at its ends too.

    The middle of a long one is folded away behind how much it is and its digest, and opens.
    """
    if len(token) <= _LONG:
        return _chip(token)
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    mark = f"‹+{len(token) - 2 * _END} · sha256:{digest}›"
    head, tail = _chip(token[:_END]), _chip(token[-_END:])
    return Markup('<details class="long"><summary>{}<span class="mark">{}</span>{}</summary>{}</details>').format(
        head, mark, tail, _chip(token)
    )


def _chip(token: str) -> Markup:
    inner = token.strip(" ")
    before = len(token) - len(token.lstrip(" ")) if inner else len(token)
    after = len(token) - before - len(inner)
    space = Markup('<span class="mark">␠</span>')
    return space * before + _marked(inner, "") + space * after


def _marked(text: str, keep: str) -> Markup:
    if text.isascii() and (text.isprintable() or not any(char not in keep and is_hidden(char) for char in text)):
        return escape(text)
    parts: list[str] = []
    plain: list[str] = []
    for char in text:
        if char in keep or not is_hidden(char):
            plain.append(char)
            continue
        parts.append(str(escape("".join(plain))))
        plain.clear()
        # A line end is marked, and ends the line.
        ending = char if char == "\n" else ""
        parts.append(f'<span class="mark" title="{escape(name_of(char))}">{picture(char)}</span>{ending}')
    parts.append(str(escape("".join(plain))))
    return Markup("".join(parts))  # noqa: S704  # every part was escaped above


def prose(text: str) -> Markup:
    """A sentence of ours as HTML: what it quotes in backticks is set as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return visible(text)
    pieces = [f"<code>{visible(part)}</code>" if at % 2 else str(visible(part)) for at, part in enumerate(parts)]
    return Markup("".join(pieces))  # noqa: S704  # every part was escaped above


def excerpt(text: str) -> Markup:
    """Part of a message as HTML, what was looked for between marks of its own."""
    before, *rest = text.split(MATCH_START)
    pieces = [visible(before)]
    for part in rest:
        found, _, after = part.partition(MATCH_END)
        pieces.append(Markup("<mark>{}</mark>{}").format(visible(found), visible(after)))
    return Markup("").join(pieces)


def visible_text(text: str) -> str:
    """The same for places that take plain text, such as an attribute or a title."""
    return shown(text, _KEPT)
