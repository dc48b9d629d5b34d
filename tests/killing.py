"""Killing whoever writes, at any moment; whether what was committed is there. `killing.py FOLDER ROUNDS`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import signal
import sqlite3
import sys
import time
from pathlib import Path

from sqlalchemy import insert

from toolhost.audit import AuditLog, AuditTerms, verify
from toolhost.audit.index import AuditIndex, index_rows
from toolhost.storage import Database
from toolhost.storage.behind import WriteBehind
from toolhost.storage.tables import users


async def write(folder: Path, number: int, out: int) -> None:
    """Commit users one after another, each with a record before it, and say so after each commit."""
    database = await Database.open(folder / "toolhost.db")
    behind = WriteBehind(database)
    audit = AuditLog(folder / "audit.log", AuditIndex(database, behind).put, AuditTerms(largest=20_000))
    for count in range(1_000_000):
        name = f"r{number}n{count}"
        audit.write("auth", "user_created", {"user": name})
        async with database.begin() as connection:
            row = {"id": name, "username": name, "password_hash": "-", "role": "user", "disabled": False, "created": 0}
            await connection.execute(insert(users).values(**row))
        os.write(out, f"{name}\n".encode())


def killed(folder: Path, number: int) -> list[str]:
    """Start a writer, kill it some time after its first commit; what it said that it had committed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        asyncio.run(write(folder, number, writing))
        os._exit(1)
    os.close(writing)
    said = b""
    assert select.select([reading], [], [], 60)[0]
    said += os.read(reading, 65536)
    time.sleep(random.uniform(0, 0.08))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while piece := os.read(reading, 65536):
        said += piece
    os.close(reading)
    return said.decode().splitlines()


def main(folder: Path, rounds: int) -> None:
    committed: set[str] = set()
    asyncio.run(_made(folder))
    for number in range(rounds):
        committed.update(killed(folder, number))
        with contextlib.closing(sqlite3.connect(folder / "toolhost.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            there = {name for (name,) in database.execute("SELECT username FROM users")}
        found = verify(folder / "audit.log", index_rows(folder / "toolhost.db"))
        assert found.intact, [str(finding) for finding in found.findings]
        assert committed <= there, sorted(committed - there)[:5]
    recorded = {
        json.loads(line)["details"].get("user")
        for file in folder.glob("audit*.log")
        for line in file.read_text().splitlines()
        if '"event":"user_created"' in line
    }
    assert committed <= recorded, sorted(committed - recorded)[:5]
    print(json.dumps({"rounds": rounds, "committed": len(committed)}))


async def _made(folder: Path) -> None:
    await (await Database.open(folder / "toolhost.db")).close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
