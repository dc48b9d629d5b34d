"""Reading a table key by key: exact types, every problem collected, unknown keys named with the nearest valid one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from toolhost.policy.courtesy import breathe
from toolhost.policy.document import Document, KeyPath
from toolhost.policy.problems import Place, Problem, near

__all__ = ["Located", "Table"]

_TRUTH = dict.fromkeys(("yes", "on", "true", "1"), "true") | dict.fromkeys(("no", "off", "false", "0"), "false")


@dataclass(frozen=True, slots=True)
class Located:
    """A string and where it is written."""

    text: str
    place: Place


class Table:
    """One table of a document.

    Attributes:
        path: Where it stands in the document.
        problems: The list that every problem found here is added to; shared by all tables of a file.
    """

    def __init__(
        self,
        document: Document,
        problems: list[Problem],
        keys: Iterable[str],
        *,
        path: KeyPath = (),
        data: Mapping[str, Any] | None = None,
        elsewhere: Mapping[str, str] | None = None,
    ) -> None:
        """Begin a table and report its unknown keys.

        Args:
            document: The file.
            problems: Where problems go.
            keys: Every key that may stand here.
            path: Where the table stands.
            data: The table; the whole document by default.
            elsewhere: For keys that belong to another table: where they belong.
        """
        self.path = path
        self.problems = problems
        self._document = document
        self._data: Mapping[str, Any] = document.data if data is None else data
        known = tuple(keys)
        for key in self._data:
            if key not in known:
                self._unknown(key, known, (elsewhere or {}).get(key))

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def __bool__(self) -> bool:
        return bool(self._data)

    def label(self, key: str) -> str:
        """A key as messages name it."""
        parts = [str(part) for part in self.path if isinstance(part, str)]
        return f"`{'.'.join([*parts, key])}`"

    def raw(self, key: str) -> Any:
        """A value as it was parsed, or None."""
        return self._data.get(key)

    def names(self) -> tuple[str, ...]:
        """Every key, in the order of the file."""
        return tuple(self._data)

    def key_place(self, key: str) -> Place:
        """Where a key is written."""
        return self._document.key((*self.path, key))

    def place(self, *path: str | int) -> Place:
        """Where a value is written; without a path, where the table is."""
        return self._document.value((*self.path, *path))

    def problem(self, place: Place, code: str, message: str) -> None:
        """Report a problem."""
        self.problems.append(Problem.at(place, code, message))

    def text(self, key: str, *, required: str = "") -> Located | None:
        """A string.

        Args:
            key: Its name.
            required: An example of it; then it must be there.
        """
        if key not in self._data:
            if required:
                self.problem(self.place(), "missing_key", f"{self.label(key)} is required: write {key} = {required}.")
            return None
        value = self._data[key]
        if not isinstance(value, str):
            self._wrong(key, "a string", value)
            return None
        return Located(value, self.place(key))

    def flag(self, key: str, *, default: bool = False) -> bool:
        """A boolean."""
        value = self._data.get(key, default)
        if not isinstance(value, bool):
            self._wrong(key, "true or false", value)
            return default
        return value

    def count(self, key: str) -> int | None:
        """An integer of at least 1."""
        value = self._data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong(key, "a number", value)
            return None
        if not 1 <= value < 1 << 31:
            self.problem(
                self.place(key),
                "bad_value",
                f"{self.label(key)} must be from 1 to {(1 << 31) - 1}: with less nothing could run.",
            )
            return None
        return value

    def strings(self, key: str) -> tuple[Located, ...]:
        """A list of strings."""
        return tuple(item for item in self.items(key) if isinstance(item, Located))

    def items(self, key: str, *, tables: bool = False) -> list[Located | int]:
        """A list of strings, and where `tables` is set also of tables, given by their number."""
        value = self._data.get(key, [])
        wanted = "a list" if tables else "a list of strings"
        if isinstance(value, str):
            self.problem(
                self.place(key), "wrong_type", f'{self.label(key)} must be {wanted}: write ["{_short(value)}"].'
            )
            return []
        if not isinstance(value, list):
            self._wrong(key, wanted, value)
            return []
        found: list[Located | int] = []
        for number, item in enumerate(value):
            breathe()
            if isinstance(item, str):
                found.append(Located(item, self.place(key, number)))
            elif tables and isinstance(item, dict):
                found.append(number)
            else:
                each = "a string or a table" if tables else "a string"
                self.problem(
                    self.place(key, number),
                    "wrong_type",
                    f"Every entry of {self.label(key)} must be {each}, and this is {_kind(item)}"
                    f"{_instead(each, item)}.",
                )
        return found

    def table(self, key: str, keys: Iterable[str] | None, *, elsewhere: Mapping[str, str] | None = None) -> Table:
        """A table; an empty one where there is none.

        Args:
            key: Its name.
            keys: Every key it may have; None where its keys are names of the writer's own.
            elsewhere: As for `Table`.
        """
        value = self._data.get(key, {})
        if not isinstance(value, dict):
            inline = any(isinstance(part, int) for part in self.path)
            self._wrong(key, "a table: { name = value }" if inline else f"a table: [{key}]", value)
            value = {}
        return self._child((key,), value, keys, elsewhere)

    def tables(self, key: str, keys: Iterable[str]) -> list[Table]:
        """An array of tables."""
        value = self._data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._wrong(key, f"an array of tables: [[{key}]]", value)
            return []
        return [self._child((key, number), item, keys, None) for number, item in enumerate(value)]

    def item_table(self, key: str, number: int, keys: Iterable[str]) -> Table:
        """The table that stands at a place of a list."""
        return self._child((key, number), self._data[key][number], keys, None)

    def _child(
        self, path: KeyPath, data: Mapping[str, Any], keys: Iterable[str] | None, elsewhere: Mapping[str, str] | None
    ) -> Table:
        return Table(
            self._document,
            self.problems,
            data if keys is None else keys,
            path=(*self.path, *path),
            data=data,
            elsewhere=elsewhere,
        )

    def _unknown(self, key: str, known: tuple[str, ...], home: str | None) -> None:
        named = ".".join(part for part in self.path if isinstance(part, str))
        where = f"[{named}]" if named else "The top of the file"
        hint = f" It belongs in {home}." if home else near(key, known) or f" Known keys: {', '.join(sorted(known))}."
        self.problem(self.key_place(key), "unknown_key", f"{where} has no key `{_short(key)}`.{hint}")

    def _wrong(self, key: str, wanted: str, value: object) -> None:
        message = f"{self.label(key)} must be {wanted}, and this is {_kind(value)}{_instead(wanted, value)}."
        self.problem(self.place(key), "wrong_type", message)


def _instead(wanted: str, value: object) -> str:
    """How a value of another type would be written, where that can be told."""
    spelled = str(value).strip().lower()
    if wanted.startswith("a string") and isinstance(value, bool | int | float):
        return f': write "{spelled}"'
    if wanted == "true or false" and spelled in _TRUTH:
        return f": write {_TRUTH[spelled]}"
    if wanted == "a number" and spelled.isdecimal() and len(spelled) < 10:
        return f": write {int(spelled)}"
    return ""


def _short(text: str) -> str:
    shown = text if len(text) <= 60 else text[:57] + "..."
    return shown.encode("unicode_escape").decode() if any(ord(char) < 32 for char in shown) else shown


def _kind(value: object) -> str:
    for kind, name in (
        (bool, "true or false"),
        (str, "a string"),
        (int, "a number"),
        (float, "a number with a fraction"),
        (list, "a list"),
        (dict, "a table"),
    ):
        if isinstance(value, kind):
            return name
    return "a date or time"
