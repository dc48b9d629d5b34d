"""One database: an asynchronous engine, its migrations, and nothing about what is stored."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, CursorResult, Executable, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from toolhost.errors import MachineError
from toolhost.sandbox.uninterrupted import to_the_end, whole

__all__ = ["HEAD", "Database", "is_busy"]

HEAD = "0010"
"""The newest migration. A test holds it equal to alembic's answer; asking alembic itself would cost its import."""

_WAIT = 10.0  # seconds, of SQLite for others who write
_PATIENCE = 60.0  # the same for another process to change the tables
_LOOK = 0.02


class Database:
    """The host's database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Open (or create) the SQLite database at `path` and bring its tables up to date.

        Raises:
            MachineError: `database_newer`, `database_busy`.
        """
        is_new = _create_private(path)
        # Not as a text: a `%` or `?` in the path would mean something else there.
        address = URL.create("sqlite+aiosqlite", database=str(path))
        # What a row holds is somebody's, and an error's text ends in a log.
        engine = create_async_engine(address, connect_args={"timeout": _WAIT}, hide_parameters=True)
        event.listen(engine.sync_engine, "connect", _configure)
        try:
            if is_new or not await _is_up_to_date(engine):
                # Processes that start at the same time, such as a server and a command, would all make its tables.
                async with _alone(path):
                    if not await _is_up_to_date(engine):
                        async with engine.begin() as connection:
                            await connection.run_sync(_migrate)
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back on an exception.

        Each statement is carried out to its end, and so is the end of the transaction: a call that is stopped in the
        middle of one would leave its lock on the database to nobody, and everybody else waiting for it.
        """
        connecting = asyncio.ensure_future(self._connect())
        interrupted = await to_the_end(connecting)
        connection = connecting.result()
        try:
            if interrupted:
                raise asyncio.CancelledError
            yield cast(AsyncConnection, _Whole(connection))
            await whole(connection.commit())
        except BaseException:
            await whole(connection.rollback())
            raise
        finally:
            await whole(connection.close())

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """The same for what writes, one after the other: of many that ask SQLite for its lock one can wait too long."""
        async with self._writing, self.begin() as connection:
            yield connection

    async def _connect(self) -> AsyncConnection:
        return await self._engine.connect()

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


class _Whole:
    """A connection whose statements are not left half-way."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        return await whole(self._connection.execute(statement, parameters))

    async def run_sync(self, function: Callable[..., Any]) -> Any:
        return await whole(self._connection.run_sync(function))


def is_busy(error: SQLAlchemyError) -> bool:
    """Whether a statement failed because other processes were writing for as long as SQLite waits."""
    orig = getattr(error, "orig", None)
    return isinstance(orig, sqlite3.Error) and orig.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _create_private(path: Path) -> bool:
    """Make the file where it is missing; whether there is nothing in it."""
    # SQLite gives its journal the mode of the database file, so it is set before there is anything to read.
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return os.fstat(fd).st_size == 0
    finally:
        os.close(fd)


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    """Be the only process that changes the tables.

    Raises:
        MachineError: `database_busy`.
    """
    # Not of the database's own file: SQLite's locks on that go with the first descriptor that is closed.
    fd = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise MachineError(
                        "database_busy",
                        f"Another process has been changing the tables of {path} for {_PATIENCE:g} s.",
                        "Look for a toolhost that was stopped in its start, and end it.",
                    ) from None
                await asyncio.sleep(_LOOK)
            else:
                break
        yield
    finally:
        os.close(fd)


async def _is_up_to_date(engine: AsyncEngine) -> bool:
    async with engine.begin() as connection:
        return await connection.run_sync(_is_current)


def _configure(connection: Any, _: object) -> None:
    # WAL: readers never wait for the writer. NORMAL: a power cut may lose the last transactions but not the file;
    # what must not be lost, the audit log, is a file of its own.
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _is_current(connection: Connection) -> bool:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return False
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    if row is not None and row[0] > HEAD:
        raise MachineError(
            "database_newer",
            f"The database was made by a newer Toolhost: its tables are those of {row[0]}, this one knows {HEAD}.",
            "Use the command of that version: `scripts/toolhost` of its checkout.",
        )
    return row is not None and row[0] == HEAD


def _migrate(connection: Connection) -> None:
    # Imported here: alembic takes longer to import than the whole rest of a start.
    import alembic.command
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", "toolhost.storage:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")
