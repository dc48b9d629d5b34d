"""What a slot accepts: `{text}` `{int:1..9}` `{choice:a|b}` `{ref}` `{url}` `{regex:...}` `{read}` `{write}`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from toolhost.policy.problems import near

__all__ = ["MAX_TEXT", "PathSlot", "SlotError", "SlotKind", "UrlSlot", "parse_slot"]

MAX_TEXT = (128 << 10) - 1
"""Bytes of the longest single argument Linux passes on (MAX_ARG_STRLEN, less its NUL)."""

_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_RANGE = re.compile(rf"({_INT.pattern})\.\.({_INT.pattern})")
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\+]|\.\.|@\{|//")
_KINDS = ("text", "int", "choice", "ref", "url", "regex", "read", "write")


class SlotError(ValueError):
    """Raised for a slot that cannot be read; the message says how to write it."""


class SlotKind(Protocol):
    """One kind of slot. `str()` gives its body as a template writes it."""

    def accepts(self, value: str) -> bool:
        """Whether a value is one of the slot's, wherever it stands."""


@dataclass(frozen=True, slots=True)
class TextSlot:
    """Any text: tab and newline, no other control character."""

    def accepts(self, value: str) -> bool:
        return _is_text(value, "\t\n")

    def __str__(self) -> str:
        return "text"


@dataclass(frozen=True, slots=True)
class IntSlot:
    """A decimal integer, in a range if there is one."""

    low: int | None = None
    high: int | None = None

    def accepts(self, value: str) -> bool:
        if not _INT.fullmatch(value):
            return False
        number = int(value)
        return (self.low is None or self.low <= number) and (self.high is None or number <= self.high)

    def __str__(self) -> str:
        return "int" if self.low is None else f"int:{self.low}..{self.high}"


@dataclass(frozen=True, slots=True)
class ChoiceSlot:
    """One of a few words."""

    words: tuple[str, ...]

    def accepts(self, value: str) -> bool:
        return value in self.words

    def __str__(self) -> str:
        return "choice:" + "|".join(self.words)


@dataclass(frozen=True, slots=True)
class RefSlot:
    """A git ref name as git-check-ref-format(1) has it (one level is enough), without `+`."""

    def accepts(self, value: str) -> bool:
        if not _is_text(value, "") or len(value) > 1024 or value in ("", "@") or value[0] in "-/" or value[-1] in "/.":
            return False
        if _REF_FORBIDDEN.search(value):
            return False
        return not any(part.startswith(".") or part.endswith(".lock") for part in value.split("/"))

    def __str__(self) -> str:
        return "ref"


@dataclass(frozen=True, slots=True)
class RegexSlot:
    """A full match of a pattern, by RE2: linear time whatever the value holds."""

    pattern: str
    compiled: Any = field(compare=False, repr=False)

    def accepts(self, value: str) -> bool:
        return _is_text(value, "") and self.compiled.fullmatch(value) is not None

    def __str__(self) -> str:
        return f"regex:{self.pattern}"


@dataclass(frozen=True, slots=True)
class UrlSlot:
    """An http or https address. Whether the network rules allow its host is looked up when a call is resolved."""

    def accepts(self, value: str) -> bool:
        """True for any text: an address that cannot be used gets its own reason instead of "no rule matches"."""
        return _is_text(value, "")

    def __str__(self) -> str:
        return "url"


@dataclass(frozen=True, slots=True)
class PathSlot:
    """A path inside a readable or writable root. What the path leads to is looked up when a call is resolved."""

    write: bool

    def accepts(self, value: str) -> bool:
        """True: a path that cannot be used gets its own reason instead of "no rule matches"."""
        return True

    def __str__(self) -> str:
        return "write" if self.write else "read"


@lru_cache(maxsize=1024)
def parse_slot(body: str) -> SlotKind:
    """The kind of slot a template's braces name; kept, because the rules of a host have the same few over and over.

    Args:
        body: What stands between the braces, without `...`.

    Raises:
        SlotError: Where it is no slot of the language.
    """
    name, colon, detail = body.partition(":")
    if name not in _KINDS:
        hint = near(name, _KINDS) or f" Slots: {', '.join(_KINDS)}."
        raise SlotError(f"`{{{body}}}` is no slot.{hint}")
    if name in ("choice", "regex"):
        if not detail:
            raise SlotError(f"`{{{name}}}` needs its {'words' if name == 'choice' else 'pattern'}: {{{name}:...}}.")
        return _choice(detail) if name == "choice" else _regex(detail)
    if name == "int" and colon:
        found = _RANGE.fullmatch(detail)
        if not found or int(found[1]) > int(found[2]):
            raise SlotError(f"`{{{body}}}` needs a range from low to high, such as {{int:1..500}}.")
        return IntSlot(int(found[1]), int(found[2]))
    if colon:
        raise SlotError(f"`{{{name}}}` takes nothing after it, and this is `{{{body}}}`.")
    kinds: dict[str, SlotKind] = {
        "text": TextSlot(),
        "int": IntSlot(),
        "ref": RefSlot(),
        "url": UrlSlot(),
        "read": PathSlot(write=False),
        "write": PathSlot(write=True),
    }
    return kinds[name]


def _choice(detail: str) -> ChoiceSlot:
    words = tuple(detail.split("|"))
    if not all(words) or len(set(words)) != len(words):
        raise SlotError(f"`{{choice:{detail}}}` has an empty or repeated word.")
    return ChoiceSlot(words)


def _regex(pattern: str) -> RegexSlot:
    import re2  # only policies that use a pattern pay for the engine

    options = re2.Options()
    options.log_errors = False
    try:
        return RegexSlot(pattern, re2.compile(pattern, options=options))
    except re2.error as error:
        message = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error.args[0]
        raise SlotError(f"`{{regex:{pattern}}}` is no pattern of RE2: {message}.") from None


def _is_text(value: str, controls: str) -> bool:
    """Whether a value can be an argument: UTF-8 of bounded size, no control character but these."""
    if value.isascii() and value.isprintable():
        return len(value) <= MAX_TEXT
    try:
        if len(value.encode()) > MAX_TEXT:
            return False
    except UnicodeEncodeError:
        return False
    return all(char in controls or unicodedata.category(char) != "Cc" for char in value)
