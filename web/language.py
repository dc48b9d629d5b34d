"""Languages: every string people read, from one catalogue a language, chosen by cookie or Accept-Language."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

__all__ = ["DEFAULT", "Languages", "Translator"]

DEFAULT = "en"
_NAMES = ("en", "fr")
_APART = re.compile(r" (?=[:;?!»])|(?<=«) ")
"""Where French has a space at which no line may end."""


@dataclass(frozen=True, slots=True)
class Translator:
    """One language.

    Attributes:
        code: `en`, `fr`.
        strings: Text by dotted key.
    """

    code: str
    strings: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, its placeholders filled in. An unknown key is a programming error."""
        text = self.strings[key]
        return text.format(**values) if values else text

    def count(self, key: str, number: int) -> str:
        """The text of `key.one` or `key.other`, whichever this language says for a number."""
        singular = number in (0, 1) if self.code == "fr" else number == 1
        return self(f"{key}.{'one' if singular else 'other'}", n=number)

    def maybe(self, key: str, otherwise: str) -> str:
        """The text of a key that may be unknown here, such as a code that a plugin made up."""
        return self.strings.get(key, otherwise)

    def told(self, key: str, words: str, **values: object) -> str:
        """What the host says, in this language where it is known by its code: the host's own words are English."""
        text = None if self.code == DEFAULT else self.strings.get(key)
        return words if text is None else text.format(**values)

    def units(self, amount: str) -> str:
        """An amount with the units of this language: French counts in octets."""
        return amount.replace("iB", "io").replace(" B", " o") if self.code == "fr" else amount

    def section(self, prefix: str) -> dict[str, str]:
        """Every text under a prefix, by the rest of its key."""
        head = prefix + "."
        return {key.removeprefix(head): text for key, text in self.strings.items() if key.startswith(head)}


class Languages:
    """The catalogues of the package."""

    def __init__(self) -> None:
        self._by_code = {code: Translator(code, _catalogue(code)) for code in _NAMES}

    @property
    def codes(self) -> tuple[str, ...]:
        """The languages there are."""
        return tuple(self._by_code)

    def choose(self, cookie: str | None, accept: str | None) -> Translator:
        """The language of a request: the person's choice, else the browser's, else English."""
        if cookie in self._by_code:
            return self._by_code[cookie]
        for code in _preferred(accept or ""):
            if code in self._by_code:
                return self._by_code[code]
        return self._by_code[DEFAULT]


def _catalogue(code: str) -> dict[str, str]:
    """`locale/en.toml` and, for each part of the site that has its own, `locale/en/PART.toml`."""
    folder = resources.files("toolhost.web") / "locale"
    strings: dict[str, str] = {}
    for file in (folder / f"{code}.toml", *(folder / code).iterdir()):
        for key, text in _flatten(tomllib.loads(file.read_text("utf-8"))):
            assert key not in strings, f"{file.name} says {key} again"
            strings[key] = _APART.sub("\u202f", text) if code == "fr" else text
    return strings


def _preferred(header: str) -> list[str]:
    """Primary language tags of an Accept-Language header, best first."""
    weighted: list[tuple[float, str]] = []
    for part in header[:500].split(","):
        tag, _, parameter = part.strip().partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            weight = float(value) if name == "q" else 1.0
        except ValueError:
            weight = 0.0
        if weight > 0:
            weighted.append((-weight, tag.strip().lower().split("-")[0]))
    return [tag for _, tag in sorted(weighted, key=lambda pair: pair[0])]


def _flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            pairs.extend(_flatten(value, f"{prefix}{key}."))
        else:
            pairs.append((prefix + key, str(value)))
    return pairs
