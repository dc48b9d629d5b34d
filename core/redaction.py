"""Taking the secrets of a call out of everything it says, before anybody else sees or stores it.

What is looked for is each secret, each of its longer lines, and the forms in which programs print them without being
asked: base64 (also in the middle of something longer, and in lines), hexadecimal, URL quoting, JSON. A tool that means
to give a secret away can write it in a form of its own: redaction is against accidents, what the tool can reach decides
about the rest.

Every form is found by one search of its own, each in linear time. A stream is held back only where it ends in what may
be the beginning of a form.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote_from_bytes

__all__ = ["MARK", "SHORTEST", "Redaction", "Stream"]

MARK = b"[redacted]"
"""What stands in place of a secret."""

SHORTEST = 8
"""Bytes of the shortest secret, and of the shortest line of one, that can be told from other text."""

_WIDTHS = (64, 76)  # of a line of base64, by PEM and by base64(1)


class Redaction:
    """The secrets of one call, and how they are taken out.

    Args:
        secrets: Their values.
    """

    __slots__ = ("_forms", "_starts")

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        self._forms = tuple(sorted({form for secret in secrets for piece in _pieces(secret) for form in _forms(piece)}))
        # Every way in which one may just have begun.
        self._starts = frozenset(form[:size] for form in self._forms for size in range(1, SHORTEST))

    def __bool__(self) -> bool:
        return bool(self._forms)

    def stream(self) -> Stream:
        """For bytes that come in pieces."""
        return Stream(self)

    def data(self, data: bytes, *, cut: bool = False) -> bytes:
        """Bytes without the secrets.

        Args:
            data: The bytes.
            cut: Whether they were cut off, so that their end may be a part of a secret.
        """
        stream = self.stream()
        return stream.feed(data) + stream.end(cut=cut)

    def text(self, text: str, *, cut: bool = False) -> str:
        """Text without the secrets; `cut` as for `data`."""
        if not self._forms:
            return text
        # Valid text stays valid: a form begins and ends where characters do, or was no text to begin with.
        return self.data(text.encode("utf-8", "surrogatepass"), cut=cut).decode("utf-8", "replace")

    def value(self, value: Any) -> Any:
        """A JSON value without the secrets, its keys too; a number that shows one becomes a text."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.value(item) for item in value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = str(value)
            told = self.text(shown)
            return value if told == shown else told
        return value

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where the secrets stand, as sorted spans that do not overlap."""
        found = sorted(span for form in self._forms for span in _occurrences(data, form))
        joined: list[tuple[int, int]] = []
        for start, end in found:
            if joined and start < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((start, end))
        return joined

    def complete(self, data: bytes) -> int:
        """How many bytes can be judged without those that follow."""
        most = len(data)
        for size in range(min(SHORTEST - 1, len(data)), 0, -1):
            if data[-size:] in self._starts:
                most = len(data) - size
                break
        for form in self._forms:
            start = form[:SHORTEST]
            begun = data.find(start, max(len(data) - len(form) + 1, 0))
            while 0 <= begun < most:
                if form.startswith(data[begun:]):
                    most = begun
                begun = data.find(start, begun + 1)
        return most


class Stream:
    """One stream of bytes, without the secrets."""

    __slots__ = ("_covered", "_held", "_redaction")

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._held = b""
        self._covered = 0  # of what is held, how much belongs to a secret that was marked already

    def feed(self, data: bytes) -> bytes:
        """What can be shown after one more piece."""
        if not self._redaction:
            return data
        self._held += data
        return self._take(self._redaction.complete(self._held))

    def end(self, *, cut: bool = False) -> bytes:
        """What is left at the end.

        Args:
            cut: Whether the stream was cut off: then what may be the beginning of a secret is taken for one.
        """
        if cut and len(self._held) > self._covered:
            self._held = b""
            return MARK
        return self._take(len(self._held))

    def _take(self, size: int) -> bytes:
        data, covered = self._held, self._covered
        spans = self._redaction.spans(data)
        made = bytearray()
        at = covered
        for start, end in spans:
            if start >= size:
                break
            made += data[at:start] if start > at else b""
            if start >= covered or not covered:
                made += MARK
            at = max(at, end)
        made += data[at:size] if at < size else b""
        self._held = data[size:]
        self._covered = max(at - size, 0)
        return bytes(made)


def _pieces(secret: bytes) -> Iterator[bytes]:
    """A secret without the line end of its file, and its lines."""
    whole = secret.strip(b"\r\n")
    yield whole
    lines = whole.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= SHORTEST)


def _forms(piece: bytes) -> set[bytes]:
    """A piece of a secret as it is, and in the encodings in which programs show it."""
    forms = {piece, piece.hex().encode(), piece.hex().upper().encode(), *_base64(piece)}
    for safe in ("", "/"):
        quoted = quote_from_bytes(piece, safe).encode()
        for form in (quoted, quoted.replace(b"%20", b"+")):
            forms |= {form, re.sub(rb"%..", lambda found: found[0].lower(), form)}
    text = piece.decode("utf-8", "surrogateescape")
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "surrogateescape")
        forms |= {escaped, escaped.replace(b"/", b"\\/")}
    return {form for form in forms if len(form) >= SHORTEST}


def _base64(piece: bytes) -> Iterator[bytes]:
    """The characters that are the same whatever stands before and after the piece, for each place it may begin at."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + piece)
        first, last = -(-8 * before // 6), 8 * (before + len(piece)) // 6
        for form in (encoded, encoded.translate(bytes.maketrans(b"+/", b"-_"))):
            yield form[first:last]
    encoded = base64.b64encode(piece)
    for width in _WIDTHS:
        if len(encoded) > width:
            yield from (encoded[at : at + width].rstrip(b"=") for at in range(0, len(encoded), width))


def _occurrences(data: bytes, form: bytes) -> Iterator[tuple[int, int]]:
    at = data.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = data.find(form, at + 1)  # one that overlaps the last belongs to what is covered too
