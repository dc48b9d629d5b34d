"""The `sqlite` plugin: databases as people have them, and databases that mean harm."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest
from pluginbench import POLICIES


def database(folder: Path, script: str, name: str = "shop.db") -> None:
    with closing(sqlite3.connect(folder / name)) as connection:
        connection.executescript(script)


SHOP = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL);
CREATE INDEX by_name ON item (name);
CREATE VIEW cheap AS SELECT name FROM item WHERE price < 2;
INSERT INTO item (name, price) VALUES ('tea', 1.5), ('it''s; "cake"', 3), (NULL, NULL);
"""


def test_reading_is_allowed_and_changing_asks(ada) -> None:
    database(ada.workspace, SHOP)
    assert ada.decided("sqlite.schema", database="shop.db") == "allow"
    assert ada.decided("sqlite.query", database="shop.db", sql="SELECT 1") == "allow"
    assert ada.decided("sqlite.execute", database="shop.db", sql="DELETE FROM item") == "ask"
    for path in ("/var/lib/toolhost/state/toolhost.db", "../data/state/toolhost.db"):
        assert ada.denied("sqlite.schema", database=path)
        assert ada.denied("sqlite.query", database=path, sql="SELECT 1")
        assert ada.denied("sqlite.execute", database=path, sql="SELECT 1")


@pytest.mark.works("sqlite.schema", "sqlite.query")
def test_a_database_is_looked_into(ada) -> None:
    database(ada.workspace, SHOP)
    shown = ada.text("sqlite.schema", database="shop.db")
    assert shown.startswith("-- 3 rows\nCREATE TABLE item (id INTEGER PRIMARY KEY")
    assert "CREATE INDEX by_name" in shown
    assert "CREATE VIEW cheap" in shown
    assert ada.fails("sqlite.schema", database="shop.db", table="no") == "no_such_table"
    assert ada.text("sqlite.query", database="shop.db", sql="SELECT * FROM item") == (
        "id  name          price\n--  ------------  -----\n 1  tea             1.5\n"
        ' 2  it\'s; "cake"    3.0\n 3  NULL           NULL\n[3 rows]'
    )
    asked = {"database": "shop.db", "sql": "SELECT id, name FROM item WHERE price > ?", "parameters": [2]}
    assert ada.text("sqlite.query", **asked, format="csv") == 'id,name\n2,"it\'s; ""cake"""'
    assert ada.text("sqlite.query", **asked, format="json") == '[{"id": 2, "name": "it\'s; \\"cake\\""}]'
    assert ada.value("sqlite.query", **asked)["rows"] == [[2, 'it\'s; "cake"']]
    cut = ada.text("sqlite.query", database="shop.db", sql="SELECT id FROM item", limit=1)
    assert cut.endswith("[more than 1 rows: raise limit, or add LIMIT and OFFSET]")


@pytest.mark.works("sqlite.execute")
def test_a_change_is_one_transaction(ada) -> None:
    made = ada.text("sqlite.execute", database="new.db", sql=SHOP, create=True)
    assert made == "Made new.db. Done: 4 statements, 3 rows changed."
    failed = "INSERT INTO item (name) VALUES ('x'); INSERT INTO nowhere VALUES (1)"
    assert ada.fails("sqlite.execute", database="new.db", sql=failed) == "sql_error"
    assert ada.value("sqlite.query", database="new.db", sql="SELECT count(*) FROM item")["rows"] == [[3]]
    one = ada.value("sqlite.execute", database="new.db", sql="UPDATE item SET price = ? WHERE id = 1", parameters=[9])
    assert one == {"changed": 1}
    ada.text("sqlite.execute", database="new.db", sql="VACUUM")
    ada.text("sqlite.execute", database="new.db", sql="CREATE VIRTUAL TABLE words USING fts5(text)")
    assert ada.fails("sqlite.execute", database="missing.db", sql="CREATE TABLE x (y)") == "not_found"


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO item (name) VALUES ('x')",
        "DROP TABLE item",
        "ATTACH 'other.db' AS other",
        "SELECT load_extension('evil')",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = DELETE",
        "VACUUM INTO 'copy.db'",
    ],
)
def test_a_query_can_do_nothing_but_read(ada, sql: str) -> None:
    database(ada.workspace, SHOP)
    assert ada.fails("sqlite.query", database="shop.db", sql=sql) == "sql_not_allowed"
    assert [path.name for path in ada.workspace.iterdir() if not path.name.startswith(".")] == ["shop.db"]


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "PRAGMA writable_schema = ON",
        "SELECT load_extension('evil')",
        "CREATE VIRTUAL TABLE d USING dbstat",
    ],
)
def test_a_change_stays_in_its_file_and_loads_nothing(ada, sql: str) -> None:
    database(ada.workspace, SHOP)
    assert ada.fails("sqlite.execute", database="shop.db", sql=sql) == "sql_not_allowed"
    assert [path.name for path in ada.workspace.iterdir() if not path.name.startswith(".")] == ["shop.db"]


def test_what_a_hostile_database_holds_is_not_run(ada) -> None:
    database(ada.workspace, "CREATE VIEW innocent AS SELECT load_extension('evil') AS x;", "hostile.db")
    assert ada.fails("sqlite.query", database="hostile.db", sql="SELECT * FROM innocent") == "sql_not_allowed"
    (ada.workspace / "noise.db").write_bytes(b"no database" * 500)
    assert ada.fails("sqlite.query", database="noise.db", sql="SELECT 1") == "not_a_database"
    assert ada.fails("sqlite.query", database="hostile.db", sql="SELECT zeroblob(900000000)") == "sql_error"
    wide = "SELECT hex(randomblob(1000000))"
    assert ada.fails("sqlite.query", database="hostile.db", sql=wide) == "too_large"
    assert ada.fails("sqlite.query", database="hostile.db", sql="SELEC 1") == "sql_error"
    assert ada.fails("sqlite.query", database="hostile.db", sql="SELECT json('[')") == "sql_error"
    assert ada.fails("sqlite.query", database="hostile.db", sql="SELECT 1; SELECT 2") == "sql_error"


def test_what_lies_beside_a_database_is_not_taken_for_its_journal(ada) -> None:
    """By a hard link, or by what a journal says, any file of the workspace would be written over or deleted."""
    here = ada.workspace
    file = here / "thesis.txt"
    file.write_text("mine\n" * 1000)
    asks = {"database": "shop.db", "sql": "SELECT 1"}
    changes = {"database": "shop.db", "sql": "INSERT INTO item (name, price) VALUES ('x', 1)"}
    database(here, SHOP)
    magic, name = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", b"/workspace/thesis.txt"
    pages = (here / "shop.db").stat().st_size // 4096
    header = (magic + struct.pack(">IIIII", 0, 1, pages, 512, 4096)).ljust(512, b"\0")
    last = struct.pack(">I", (1 << 30) // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    beside = here / "shop.db-journal"
    beside.write_bytes(header + last)
    assert ada.fails("sqlite.execute", **changes) == "not_permitted"
    beside.unlink()
    with sqlite3.connect(here / "shop.db") as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    for ending in ("journal", "wal", "shm"):
        beside = here / f"shop.db-{ending}"
        for plant in (beside.hardlink_to, beside.symlink_to):
            plant(file)
            assert ada.fails("sqlite.query", **asks) == ada.fails("sqlite.execute", **changes) == "not_permitted"
            beside.unlink()
        beside.write_text("mine\n")
        assert ada.fails("sqlite.query", **asks) == ada.fails("sqlite.execute", **changes) == "not_permitted"
        assert beside.read_text() == "mine\n"
        beside.unlink()
    assert file.read_text() == "mine\n" * 1000
    writer = sqlite3.connect(here / "shop.db", isolation_level=None)  # what is in use is read beside its writer
    writer.execute(changes["sql"])
    assert (here / "shop.db-wal").stat().st_size
    assert "1 row" in ada.text("sqlite.query", **asks)
    assert "1 row changed" in ada.text("sqlite.execute", **changes)
    writer.close()


def test_a_statement_that_never_ends_is_stopped(ada, bundled_host) -> None:
    database(ada.workspace, SHOP)
    bundled_host.write("sqlite", (POLICIES / "sqlite.toml").read_text() + "\n[config]\nseconds = 0.2\n")
    try:
        assert bundled_host.ask(do="reload")["problems"] == []
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        refused = ada.call("sqlite.query", database="shop.db", sql=endless)
        assert refused["error"]["code"] == "query_too_slow"
        assert "longer than 0.2 s" in refused["error"]["message"]
    finally:
        bundled_host.write("sqlite", (POLICIES / "sqlite.toml").read_text())
        assert bundled_host.ask(do="reload")["problems"] == []
