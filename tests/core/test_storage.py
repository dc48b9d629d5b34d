"""The database brings itself up to date and is what the tables say."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from toolhost.errors import MachineError
from toolhost.storage import Database
from toolhost.storage.database import HEAD
from toolhost.storage.tables import metadata


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
