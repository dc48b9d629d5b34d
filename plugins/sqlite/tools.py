"""The tools of the `sqlite` plugin."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from toolhost import ReadPath, ToolContext, ToolError, ToolOutput, WritePath, hookimpl, tool
from toolhost.plugins.sqlite.opened import opened
from toolhost.plugins.sqlite.shown import FORMATS, output

__all__ = ["execute", "query", "register_tools", "schema"]

_MOST_ROWS = 10_000
_MOST_TABLES = 500
_MOST_STATEMENTS = 1_000


@tool
def schema(ctx: ToolContext, database: ReadPath, table: str = "") -> ToolOutput:
    """Show what is in a SQLite database: its tables and views with their columns, indexes and numbers of rows. Call it
    before writing a query.

    Args:
        database: The file.
        table: Only this table or view.
    """
    with opened(ctx, database, mode="ro") as connection:
        found = connection.execute(
            "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema"
            " WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type = 'view', tbl_name, type <> 'table', name"
        ).fetchall()
        wanted = [row for row in found if not table or row[2].lower() == table.lower()]
        if table and not wanted:
            names = ", ".join(row[1] for row in found if row[0] in ("table", "view"))
            raise ToolError(f"There is no table {table!r}. There are: {names or 'none'}.", "no_such_table")
        lines, data = [], []
        for kind, name, of, sql in wanted[:_MOST_TABLES]:
            if kind == "table":
                count = _count(connection, name)
                rows = "rows not counted" if count is None else f"{count} row{'' if count == 1 else 's'}"
                lines.append(f"-- {rows}")
                data.append({"type": kind, "name": name, "rows": count, "sql": sql})
            else:
                data.append({"type": kind, "name": name, "table": of, "sql": sql})
            lines.append(f"{sql.strip()};")
    if len(wanted) > _MOST_TABLES:
        lines.append(f"[{len(wanted) - _MOST_TABLES} more: ask for one table at a time]")
    return ToolOutput(text="\n".join(lines) or "The database has no tables.", data=data)


@tool
def query(
    ctx: ToolContext,
    database: ReadPath,
    sql: str,
    parameters: list[Any] = [],  # noqa: B006 - never changed
    limit: int = 100,
    format: str = "table",  # noqa: A002 - what it is called
) -> ToolOutput:
    """Ask a SQLite database with one SELECT (or EXPLAIN, or a reading PRAGMA). It cannot change anything. Values belong
    into parameters, with ? in the SQL.

    Args:
        database: The file.
        sql: One statement.
        parameters: The values of the ? in it, in order.
        limit: How many rows at most, up to 10000.
        format: table, csv or json: how the text of the result shows the rows.
    """
    if format not in FORMATS:
        raise ToolError(f"format is one of {', '.join(FORMATS)}.", "invalid_arguments")
    if not 1 <= limit <= _MOST_ROWS:
        raise ToolError(f"limit is between 1 and {_MOST_ROWS}.", "invalid_arguments")
    with opened(ctx, database, mode="ro") as connection:
        return output(connection.execute(sql, _values(parameters)), limit, format)


@tool
def execute(
    ctx: ToolContext,
    database: WritePath,
    sql: str,
    parameters: list[Any] = [],  # noqa: B006 - never changed
    create: bool = False,
) -> ToolOutput:
    """Change a SQLite database: INSERT, UPDATE, DELETE, CREATE, ALTER, DROP. Several statements are one transaction:
    all of them are done or none. Says how many rows changed.

    Args:
        database: The file.
        sql: One statement or several, each ended by a semicolon.
        parameters: The values of the ? in the statement; only where there is one.
        create: Make the database where there is none.
    """
    statements = list(_statements(sql))
    if not statements:
        raise ToolError("There is no statement in that.", "sql_error")
    if parameters and len(statements) > 1:
        raise ToolError("parameters go with one statement, and these are several.", "invalid_arguments")
    there = Path(database).exists()
    with opened(ctx, database, mode="rwc" if create else "rw") as connection:
        before = connection.total_changes
        alone = len(statements) == 1 and statements[0].lstrip().lower().startswith(("vacuum", "pragma"))
        if not alone:
            connection.execute("BEGIN IMMEDIATE")
        rows: ToolOutput | None = None
        try:
            for statement in statements:
                cursor = connection.execute(statement, _values(parameters))
                if cursor.description:  # INSERT ... RETURNING
                    rows = output(cursor, _MOST_ROWS, "table")
            if not alone:
                connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.set_progress_handler(None, 0)
                connection.rollback()
            raise
        changed = connection.total_changes - before
    count = f"{len(statements)} statement{'' if len(statements) == 1 else 's'}"
    text = f"{'' if there else f'Made {database}. '}Done: {count}, {changed} row{'' if changed == 1 else 's'} changed."
    if rows is not None:
        text = f"{rows.text}\n{text}"
    return ToolOutput(text=text, data={"changed": changed, **({"returned": rows.data} if rows else {})})


def _count(connection: sqlite3.Connection, name: str) -> int | None:
    quoted = name.replace('"', '""')
    try:
        return int(connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608 - quoted
    except sqlite3.Error:
        return None  # a virtual table of a module that is not here, or too many to count


def _values(parameters: list[Any]) -> list[Any]:
    for value in parameters:
        if not isinstance(value, str | int | float | None):
            raise ToolError("parameters are texts, numbers, booleans and null.", "invalid_arguments")
    return parameters


def _statements(sql: str) -> Iterator[str]:
    """The statements of a script."""
    statement = ""
    count = 0
    for part in sql.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \t\r\n;"):
                count += 1
                if count > _MOST_STATEMENTS:
                    raise ToolError(
                        f"These are more than {_MOST_STATEMENTS} statements: do them in parts.", "too_large"
                    )
                yield statement
            statement = ""
    if statement.strip(" \t\r\n;"):
        yield statement.removesuffix(";")  # not complete: SQLite says what is missing


@hookimpl
def register_tools(register: Callable[[Callable[..., object]], None]) -> None:
    """The three tools."""
    for function in (schema, query, execute):
        register(function)
