"""Text that others wrote as HTML: what cannot be seen stands there as a labelled mark, and nothing is interpreted."""

from __future__ import annotations

import hashlib
import re

from markupsafe import Markup, escape

from toolhost.finding import MATCH_END, MATCH_START
from toolhost.shown import is_hidden, name_of, picture, shown

__all__ = ["chip", "excerpt", "prose", "visible", "visible_text"]

_KEPT = "\n\t"
_LONG = 2000  # characters of a token that a card shows at once
_END = 600  # of a longer one: how many from its beginning and from its end
_REMEMBERED = 20_000  # characters


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


class _Marks(dict[int, str]):
    """What stands for each character: itself, its entity, or a mark that names it. Filled as characters are met."""

    def __init__(self, keep: str) -> None:
        super().__init__()
        self._keep = keep

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in self._keep or not is_hidden(char):
            found = str(escape(char))
        else:
            # A line end is marked, and ends the line.
            ending = char if char == "\n" else ""
            found = f'<span class="mark" title="{escape(name_of(char))}">{picture(char)}</span>{ending}'
        if len(self) < _REMEMBERED:
            self[code] = found
        return found


_MARKS = {keep: _Marks(keep) for keep in (_KEPT, "")}


def _marked(text: str, keep: str) -> Markup:
    if text.isascii() and text.isprintable():
        return escape(text)
    return Markup(text.translate(_MARKS[keep]))  # noqa: S704  # every character is escaped there


_SET = "\u202f"  # what French sets before a mark, and after one that opens
_SET_MARKED = re.escape(str(_marked(_SET, "")))
_SET_IN_PLACE = re.compile(f"{_SET_MARKED}(?=[:;?!»])|(?<=«){_SET_MARKED}")


def prose(text: str) -> Markup:
    """A sentence of ours as HTML: what it quotes in backticks is set as code, and French keeps its narrow spaces."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        parts = [text]
    pieces = [f"<code>{visible(part)}</code>" if at % 2 else _sentence(part) for at, part in enumerate(parts)]
    return Markup("".join(pieces))  # noqa: S704  # every part was escaped above


def _sentence(text: str) -> str:
    return _SET_IN_PLACE.sub(_SET, str(visible(text)))


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
