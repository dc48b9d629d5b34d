"""The database brings itself up to date and is what the tables say."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text

from toolhost.errors import MachineError
from toolhost.storage import Database
from toolhost.storage import database as database_module
from toolhost.storage.behind import WriteBehind
from toolhost.storage.database import HEAD
from toolhost.storage.tables import metadata, users


def of_ours(name: str | None, kind: str, _: object) -> bool:
    """The tables of the full-text index are SQLite's own; nothing describes them but the migration."""
    return kind != "table" or not str(name).startswith(("entry_text", "title_text"))


def modes(folder: Path) -> list[int]:
    return [path.stat().st_mode & 0o777 for path in folder.iterdir()]


async def test_the_migrations_lead_to_exactly_the_tables(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "toolhost.db")
    async with database.begin() as connection:
        difference = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"include_name": of_ours}), metadata)
        )
    await database.close()
    assert difference == []


async def test_a_database_opens_a_second_time(tmp_path: Path) -> None:
    for _ in range(2):
        await (await Database.open(tmp_path / "toolhost.db")).close()


OPENS = """
import asyncio, pathlib, sys
from toolhost.storage import Database
async def main():
    await (await Database.open(pathlib.Path(sys.argv[1]))).close()
print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


def test_processes_that_start_at_once_make_the_tables_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENS, str(tmp_path / "toolhost.db")]
    with contextlib.ExitStack() as starts:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        each = [starts.enter_context(subprocess.Popen(command, text=True, **pipes)) for _ in range(6)]
        assert {start.stdout.readline() for start in each} == {"ready\n"}
        for start in each:
            start.stdin.write("\n")
            start.stdin.flush()
        assert [start.communicate(timeout=60)[1] for start in each] == [""] * 6


async def test_who_stopped_in_the_middle_of_making_tables_is_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_PATIENCE", 0.05)
    with (tmp_path / "toolhost.db.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(MachineError) as refused:
            await Database.open(tmp_path / "toolhost.db")
    assert refused.value.code == "database_busy"
    await (await Database.open(tmp_path / "toolhost.db")).close()


async def test_what_is_written_behind_outlasts_others_who_write_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_WAIT", 0.05)
    database = await Database.open(tmp_path / "toolhost.db")
    behind = WriteBehind(database)
    other = sqlite3.connect(tmp_path / "toolhost.db", check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    row = {"id": "u_1", "username": "ada", "password_hash": "", "role": "user", "disabled": False, "created": 0}
    behind.put(insert(users), lambda: row)
    release = threading.Timer(0.5, other.execute, ("COMMIT",))
    release.start()
    await behind.flush()
    release.join()
    other.close()
    async with database.begin() as connection:
        assert (await connection.execute(select(users.c.username))).scalars().all() == ["ada"]
    await behind.close()
    await database.close()


async def test_what_a_newer_version_made_is_named_and_left_alone(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "toolhost.db")
    async with database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(MachineError) as refused:
        await Database.open(tmp_path / "toolhost.db")
    assert refused.value.code == "database_newer"
    assert "9999" in refused.value.message


async def test_only_its_owner_reads_the_database(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "toolhost.db")
    seen = modes(tmp_path)
    await database.close()
    assert set(seen) == {0o600}


def test_the_newest_migration_is_the_one_that_is_looked_for() -> None:
    config = Config()
    config.set_main_option("script_location", "toolhost.storage:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
