"""Rows as people and programs read them: a table, CSV, or JSON, as much of it as fits."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from typing import Any

from toolhost import ToolError, ToolOutput

__all__ = ["FORMATS", "output", "plain"]

FORMATS = ("table", "csv", "json")
_WIDEST = 60  # characters of a cell in a table
_MOST_CHARACTERS = 300_000


def output(cursor: sqlite3.Cursor, limit: int, form: str) -> ToolOutput:
    """The rows of a query.

    Args:
        cursor: An executed statement.
        limit: How many rows at most.
        form: One of `FORMATS`.
    """
    columns = [str(column[0]) for column in cursor.description or ()]
    rows: list[list[Any]] = []
    size = 0
    more = False
    for row in cursor:
        cells = [plain(value) for value in row]
        size += sum(len(str(cell)) + 1 for cell in cells)
        if len(rows) == limit or (rows and size > _MOST_CHARACTERS):
            more = True
            break
        rows.append(cells)
    if size > _MOST_CHARACTERS and not more and len(rows) == 1:
        raise ToolError(
            "One row is too large to be shown: select fewer columns, or substr(column, 1, 1000).", "too_large"
        )
    text = {"table": _table, "csv": _csv, "json": _json}[form](columns, rows)
    if more:
        text += f"\n[more than {len(rows)} rows: raise limit, or add LIMIT and OFFSET]"
    elif form == "table":
        text += f"\n[{len(rows)} row{'' if len(rows) == 1 else 's'}]"
    return ToolOutput(text=text, data={"columns": columns, "rows": rows, "more": more})


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, bytes):
        return f"x'{value[:64].hex()}'" if len(value) <= 64 else f"x'{value[:64].hex()}...' ({len(value)} bytes)"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value


def _table(columns: list[str], rows: list[list[Any]]) -> str:
    if not columns:
        return ""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[at]) for row in cells)]) for at, name in enumerate(columns)]
    numeric = [
        bool(rows) and all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(columns))
    ]

    def line(row: list[str]) -> str:
        parts = (text.rjust(width) if right else text.ljust(width) for text, width, right in zip(row, widths, numeric))  # noqa: B905
        return "  ".join(parts).rstrip()

    return "\n".join([line(columns), "  ".join("-" * width for width in widths), *map(line, cells)])


def _cell(value: Any) -> str:
    text = "NULL" if value is None else str(value)
    text = "".join(char if char.isprintable() else {"\n": "⏎", "\t": "⇥"}.get(char, "\ufffd") for char in text)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _csv(columns: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _json(columns: list[str], rows: list[list[Any]]) -> str:
    names = [name if columns.count(name) == 1 else f"{name}_{at + 1}" for at, name in enumerate(columns)]
    lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows]
    return "[" + ",\n ".join(lines) + "]"
