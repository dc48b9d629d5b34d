"""What is wrong with a policy file, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass

__all__ = ["Place", "Problem", "near"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A position in a policy file.

    Attributes:
        file: The file as people know it: its name in the policies folder, or the path they gave.
        line: From 1.
        column: From 1, in characters.
    """

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to change in a policy file. As a string it is `file:line:column: code: message`.

    Attributes:
        file: The file as people know it.
        line: From 1.
        column: From 1, in characters.
        code: Stable lower_snake code.
        message: One sentence that says what to change.
    """

    file: str
    line: int
    column: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.code}: {self.message}"

    def as_json(self) -> dict[str, str | int]:
        """The same by name."""
        return asdict(self)

    @classmethod
    def at(cls, place: Place, code: str, message: str) -> Problem:
        """A problem at a place."""
        return cls(file=place.file, line=place.line, column=place.column, code=code, message=message)


def near(word: str, known: Iterable[str], *, quote: str = "`") -> str:
    """` Did you mean ...?` for the nearest valid spelling, or an empty string."""
    found = difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    return f" Did you mean {quote}{found[0]}{quote}?" if found else ""
