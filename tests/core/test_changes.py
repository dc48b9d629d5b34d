"""How a running server notices what others changed about who may come in."""

import asyncio

from toolhost.accounts.changes import Changes
from toolhost.accounts.kept import Kept
from toolhost.storage import Database


async def test_a_listener_that_looks_somebody_up_while_looks_are_late_does_not_wait_for_itself(tmp_path) -> None:
    database = await Database.open(tmp_path / "toolhost.db")
    try:
        changes = Changes(database)
        kept: Kept[str] = Kept(changes)
        told = []

        async def read() -> str:
            return "somebody"

        async def recheck() -> None:
            changes._looked = float("-inf")  # as on a machine that has fallen behind
            told.append([await kept.get("s_1", read) for _ in range(2)])

        changes.on_change(recheck)
        async with changes.following(), asyncio.timeout(60):
            before = len(told)
            async with database.begin() as connection:
                await changes.mark(connection)
            changes._looked = float("-inf")
            assert await changes.fresh()
            assert told[before:] == [["somebody"] * 2]
            assert await changes.fresh()
    finally:
        await database.close()
