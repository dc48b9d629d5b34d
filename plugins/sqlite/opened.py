"""Opening a database that may be hostile: what SQL can do here is listed, and how long it may take is bounded.

A database is a file with code in it: views and triggers run what its maker wrote. So a connection says yes to the
actions it lists and no to every other: no other file is attached, no extension loaded, no pragma changes how it reads.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from toolhost import ToolContext, ToolError

__all__ = ["opened"]

_STEPS = 20_000  # of SQLite's machine between two looks at the clock
_WAIT = 5.0  # seconds for another writer

_READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_RECURSIVE,
}
_WRITES = {
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_TRANSACTION,
    sqlite3.SQLITE_SAVEPOINT,
    sqlite3.SQLITE_ANALYZE,
    sqlite3.SQLITE_REINDEX,
    sqlite3.SQLITE_ALTER_TABLE,
    *(
        getattr(sqlite3, f"SQLITE_{verb}_{temporary}{kind}")
        for verb in ("CREATE", "DROP")
        for temporary in ("", "TEMP_")
        for kind in ("INDEX", "TABLE", "TRIGGER", "VIEW")
    ),
}
_TABLES = {sqlite3.SQLITE_CREATE_VTABLE, sqlite3.SQLITE_DROP_VTABLE}
_MODULES = {"fts3", "fts4", "fts5", "rtree"}
_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}  # that no query needs
_PRAGMAS = {
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "foreign_key_check",
    "integrity_check",
    "quick_check",
    "collation_list",
    "compile_options",
    "user_version",
    "application_id",
    "encoding",
    "page_count",
    "page_size",
    "freelist_count",
    "journal_mode",
    "data_version",  # that full-text tables ask
}
_SETTABLE = {"user_version", "application_id"}
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 16 << 20,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 200_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 20,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_BUSY = ("locked", "busy")
_JOURNAL = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
_BESIDE = {
    "-journal": (_JOURNAL,),
    "-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"),
    "-shm": ((3_007_000).to_bytes(4, sys.byteorder),),
}
"""What SQLite takes for its own by the name alone, and how each begins."""


@contextmanager
def opened(ctx: ToolContext, database: str, *, mode: str) -> Iterator[sqlite3.Connection]:
    """A connection to a database.

    Args:
        ctx: The call: whether it was cancelled is looked at while a statement runs.
        database: Path of the file.
        mode: `ro`, `rw`, or `rwc` to make it where it is missing.

    Raises:
        ToolError: `not_found`, `not_a_database`, `sql_error`, `sql_not_allowed`, `query_too_slow`, `busy`.
    """
    path = Path(database)
    if mode != "rwc" and not path.exists():
        raise ToolError(f"{database} does not exist here.", "not_found")
    if path.exists() and not path.is_file():
        raise ToolError(f"{database} is no file.", "not_a_file")
    _check_beside(path)
    began, seconds = time.monotonic(), float(ctx.config["seconds"])

    def enough() -> bool:
        ctx.check()
        return time.monotonic() - began > seconds

    with _explained(database, enough, seconds):
        address = f"file:{quote(str(path.absolute()))}?mode={mode}"
        # isolation_level=None: transactions are the caller's, not guessed from the words of a statement.
        with closing(sqlite3.connect(address, uri=True, timeout=_WAIT, isolation_level=None)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            for limit, value in _LIMITS.items():
                connection.setlimit(limit, value)
            for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "temp_store = MEMORY"):
                connection.execute(f"PRAGMA {setting}")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # is it a database at all?
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0 if mode == "ro" else 1)  # VACUUM works in one
            connection.set_authorizer(_authorizer(writes=mode != "ro"))
            connection.set_progress_handler(enough, _STEPS)
            yield connection


def _check_beside(path: Path) -> None:
    """See that what lies beside a database is what its name says, under no other name, and about this database alone.

    SQLite writes over what has the name of its own files, and deletes the file that a journal names as one of several.
    """
    for ending, starts in _BESIDE.items():
        beside = f"{os.path.realpath(path)}{ending}"
        try:
            fd = os.open(beside, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ToolError(f"{beside}: {error.strerror}.", "not_permitted") from error
        try:
            facts = os.fstat(fd)
            plain = stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1
            start, end = (os.pread(fd, 8, max(0, at)) for at in (0, facts.st_size - 8)) if plain else (b"", b"")
        finally:
            os.close(fd)
        if not plain or (any(start) and not start.startswith(starts)):
            raise ToolError(
                f"SQLite would take {beside} for a file of its own, and it is none: give it another name.",
                "not_permitted",
            )
        if ending == "-journal" and start == end == _JOURNAL:
            raise ToolError(
                f"{beside} belongs to a change of several databases, which only the program that began it can finish.",
                "not_permitted",
            )


def _authorizer(*, writes: bool):  # type: ignore[no-untyped-def]
    def allowed(action: int, first: str | None, second: str | None, *_: str | None) -> bool:
        if action in _READS:
            return True
        if action == sqlite3.SQLITE_FUNCTION:
            return (second or "").lower() not in _FUNCTIONS
        if action == sqlite3.SQLITE_PRAGMA:
            name = (first or "").lower()
            # Those that take the name of a table are questions; a value given to another one changes something.
            question = second is None or name.endswith(("_info", "_xinfo", "_list", "_check"))
            return name in _PRAGMAS and (question or (writes and name in _SETTABLE))
        if not writes:
            return False
        if action in _TABLES:
            return (second or "").lower() in _MODULES
        if action == sqlite3.SQLITE_ATTACH:
            return first == ""  # the one without a name that VACUUM works in
        return action in _WRITES or action == sqlite3.SQLITE_DETACH

    return lambda *facts: sqlite3.SQLITE_OK if allowed(*facts) else sqlite3.SQLITE_DENY


@contextmanager
def _explained(database: str, enough, seconds: float) -> Iterator[None]:  # type: ignore[no-untyped-def]
    try:
        yield
    except sqlite3.Warning as error:
        raise ToolError(f"{error} Give one statement at a time.", "sql_error") from error
    except sqlite3.Error as error:
        message = str(error)
        if "not authorized" in message or "authorization denied" in message or "unsafe use" in message:
            raise ToolError(
                f"That is not allowed here ({message}). A query only reads; `execute` changes data. Neither attaches "
                "other files, loads extensions or sets pragmas.",
                "sql_not_allowed",
            ) from error
        if message == "interrupted" and enough():
            raise ToolError(
                f"It took longer than {seconds:g} s and was stopped. Ask for less: WHERE on an indexed column, LIMIT.",
                "query_too_slow",
            ) from error
        if (
            "not a database" in message
            or "malformed data" in message
            or "image is malformed" in message
            or "unsupported file format" in message
        ):
            raise ToolError(
                f"{database} is no SQLite database, or a damaged one: {message}.", "not_a_database"
            ) from error
        if any(word in message for word in _BUSY):
            raise ToolError(f"Another program is writing to {database}. Try again.", "busy") from error
        if "readonly" in message or "unable to open" in message:
            raise ToolError(
                f"{database} cannot be opened like this ({message}): the policy or the file's mode forbids it, or its "
                "journal needs a writer first.",
                "not_permitted",
            ) from error
        raise ToolError(f"{message.rstrip('.')}.", "sql_error") from error
    except (UnicodeEncodeError, OverflowError, ValueError) as error:
        raise ToolError(f"A value cannot be handed to SQLite: {error}.", "sql_error") from error
