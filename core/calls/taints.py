"""What content from elsewhere each conversation has taken in, kept for as long as the conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from toolhost.identifiers import now_ms
from toolhost.model import Call, ExternalContent
from toolhost.policy.taint import UPLOAD
from toolhost.storage import Database
from toolhost.storage.tables import external_content

__all__ = ["Taints"]

_REMEMBERED = 10_000  # conversations and tools known to be written down, so that most calls write nothing


class Taints:
    """Conversations and their content from elsewhere. Nothing is ever taken back: what was read stays read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._written: set[tuple[str, str]] = set()

    async def of(self, user_id: str, conversation_id: str) -> tuple[ExternalContent, ...]:
        """What a person's conversation has taken in: the first call of each tool that could, the oldest first."""
        query = (
            select(external_content)
            .where(external_content.c.conversation_id == conversation_id, external_content.c.user_id == user_id)
            .order_by(external_content.c.created, external_content.c.tool)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(
            ExternalContent(
                tool=row["tool"],
                call_id=row["call_id"],
                origins=tuple(json.loads(row["origins"])),
                since=row["created"],
            )
            for row in rows
        )

    async def mark(self, call: Call, origins: Sequence[str]) -> bool:
        """Write down that a call is about to take content in. True where its conversation did not say so of its tool.

        Before the call runs, so that neither its output nor what it leaves in the workspace is ever ahead of the mark.
        """
        if call.conversation_id is None or not origins:
            return False
        return await self._add(call.conversation_id, call.tool.name, call.actor.user_id, call.id, origins)

    async def mark_upload(self, conversation_id: str, user_id: str) -> bool:
        """Write down that a person is about to put a file into a conversation's workspace. True where none had yet."""
        return await self._add(conversation_id, UPLOAD, user_id, UPLOAD, (UPLOAD,))

    async def _add(self, conversation_id: str, tool: str, user_id: str, call_id: str, origins: Sequence[str]) -> bool:
        if (conversation_id, tool) in self._written:
            return False
        add = (
            insert(external_content)
            .values(
                conversation_id=conversation_id,
                tool=tool,
                user_id=user_id,
                call_id=call_id,
                origins=json.dumps(list(origins)),
                created=now_ms(),
            )
            .on_conflict_do_nothing()
            .returning(external_content.c.tool)
        )
        async with self._database.begin() as connection:
            new = (await connection.execute(add)).first() is not None
        if len(self._written) >= _REMEMBERED:
            self._written.clear()
        self._written.add((conversation_id, tool))
        return new
