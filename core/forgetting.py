"""Deleting conversations for good: every row that hangs on them, and the folders that are theirs alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import delete, select

from toolhost.host import Host
from toolhost.removal import remove_folder
from toolhost.storage.tables import approvals, calls, conversations, metadata

__all__ = ["forget", "forget_deleted"]

_AT_ONCE = 500  # of what one statement names


async def forget(host: Host, ids: Sequence[str]) -> None:
    """Delete conversations. What ran in them has ended; the audit log keeps its records."""
    await host.flush()
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        called = select(calls.c.id).where(calls.c.conversation_id.in_(some))
        async with host.database.begin() as connection:
            await connection.execute(delete(approvals).where(approvals.c.call_id.in_(called)))
            for table in reversed(metadata.sorted_tables):
                if "conversation_id" in table.c:
                    await connection.execute(delete(table).where(table.c.conversation_id.in_(some)))
            await connection.execute(delete(conversations).where(conversations.c.id.in_(some)))
    for name in ids:
        host.folders.forget(name)
        await asyncio.to_thread(remove_folder, host.data.workspaces / name)


async def forget_deleted(host: Host, before: int) -> int:
    """Delete for good what people deleted before a moment (milliseconds); returns how many that were."""
    query = select(conversations.c.id).where(conversations.c.deleted < before)
    async with host.database.begin() as connection:
        ids = list((await connection.execute(query)).scalars())
    if ids:
        await forget(host, ids)
    return len(ids)
