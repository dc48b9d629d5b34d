"""The index of the log in the database: written behind the log, asked by the API, made anew from the files."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Executable, Row, bindparam, delete, func, insert, select

from toolhost.audit.record import AuditRecord
from toolhost.audit.search import AuditQuery, moment_of, records
from toolhost.storage.behind import WriteBehind
from toolhost.storage.database import Database
from toolhost.storage.tables import audit_index

__all__ = ["AuditIndex", "index_now", "index_rows"]

_INSERT = insert(audit_index).prefix_with("OR IGNORE", dialect="sqlite")
_FORGET = delete(audit_index).where(audit_index.c.seq <= bindparam("last"))
_BATCH = 500
_MOST = 500


class AuditIndex:
    """The index of one log."""

    def __init__(self, database: Database, behind: WriteBehind) -> None:
        self._database = database
        self._behind = behind

    def put(self, record: AuditRecord) -> None:
        """Index a record soon."""
        if record.event == "audit.pruned":
            # What the files have no more, the index forgets.
            self._behind.put(_FORGET, lambda: {"last": json.loads(record.line)["details"]["last"]})
        self._behind.put(_INSERT, lambda: _values(record))

    async def find(self, query: AuditQuery, *, before: int | None = None, most: int = 100) -> list[dict[str, Any]]:
        """Records, the newest first.

        Args:
            query: Which.
            before: Only those with a smaller sequence number: for the next page.
            most: How many; at most 500.
        """
        await self._behind.flush()
        column = audit_index.c
        wanted = select(column.seq, column.line).order_by(column.seq.desc())
        for condition, value in (
            (column.category.__eq__, query.category),
            (column.call_id.__eq__, query.call_id),
            (column.timestamp.__ge__, query.since),
            (column.timestamp.__lt__, query.until),
        ):
            if value is not None:
                wanted = wanted.where(condition(value))
        if query.event is not None and "*" not in query.event:
            wanted = wanted.where(column.event == query.event)
        most = max(1, min(most, _MOST))
        found: list[dict[str, Any]] = []
        while len(found) < most:
            page = wanted if before is None else wanted.where(column.seq < before)
            async with self._database.begin() as connection:
                rows = (await connection.execute(page.limit(_BATCH))).all()
            for row in rows:
                body = json.loads(row.line)
                if query.matches(row.line, body):
                    found.append(body)
                    if len(found) == most:
                        break
            if len(rows) < _BATCH:
                break
            before = rows[-1].seq
        return found

    async def flush(self) -> None:
        """Wait until every record written so far can be found."""
        await self._behind.flush()

    async def rows(self, statement: Executable) -> Sequence[Row[*tuple[Any, ...]]]:
        """What a statement over the table of the index finds, among what is in it already."""
        async with self._database.begin() as connection:
            return (await connection.execute(statement)).all()

    async def rebuild(self, path: Path) -> int:
        """Make the index anew from the files; returns how many records it has."""
        await self._behind.flush()
        async with self._database.begin() as connection:
            await connection.execute(delete(audit_index))
            for batch in _batches(path):
                await connection.execute(_INSERT, batch)
            count = (await connection.execute(select(func.count()).select_from(audit_index))).scalar_one()
        return int(count)


def _batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for line, body in records(path):
        batch.append(
            {
                "seq": body["seq"],
                "id": body["id"],
                "timestamp": moment_of(body),
                "category": body["category"],
                "event": body["event"],
                "call_id": body["call_id"],
                "user_id": body["user_id"],
                "line": line,
            }
        )
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def index_now(database: Path, record: AuditRecord) -> None:
    """Index a record without a host; where that is not possible, `toolhost audit reindex` does it later."""
    values = _values(record)
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(f"file:{quote(str(database))}?mode=rw", uri=True, timeout=2)
        try:
            with connection:
                connection.execute(f"INSERT OR IGNORE INTO audit_index ({names}) VALUES ({places})", values)  # noqa: S608 (our names)
        finally:
            connection.close()


def _values(record: AuditRecord) -> dict[str, Any]:
    names = ("seq", "id", "timestamp", "category", "event", "call_id", "user_id", "line")
    return {name: getattr(record, name) for name in names}


def index_rows(database: Path) -> Iterator[tuple[int, str]]:
    """Sequence number and line of every record that the index of a database has, in order; nothing is written.

    Args:
        database: The SQLite file; one that is missing or no database has none.
    """
    if not database.exists():
        return
    connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=10)
    try:
        yield from connection.execute("SELECT seq, line FROM audit_index ORDER BY seq")
    except sqlite3.Error:
        return  # whether the database is sound is another question
    finally:
        connection.close()
