"""Conversations and what they hold. Every statement carries its owner: a caller cannot forget the filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Row, insert, select, update

from toolhost.errors import AccessError
from toolhost.identifiers import new_id, now_ms
from toolhost.storage import Database
from toolhost.storage.tables import conversations, entries

__all__ = ["Conversation", "Conversations", "Entry", "EntryKind"]

EntryKind = Literal["user", "notice", "call"]

_TITLE = 120  # characters
_LISTED = 500  # newest conversations of one person that the sidebar shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One conversation.

    Attributes:
        id: `v_...`.
        title: One line; empty until the first message names it.
        workspace: A named workspace of `host.toml`, or None for the conversation's own.
        created: Milliseconds since the epoch.
        updated: Milliseconds since the epoch: the newest entry's time.
    """

    id: str
    title: str
    workspace: str | None
    created: int
    updated: int

    def as_json(self) -> dict[str, object]:
        """The conversation object of the API."""
        return {
            "id": self.id,
            "title": self.title,
            "workspace": self.workspace,
            "created": self.created,
            "updated": self.updated,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing a conversation shows.

    Attributes:
        id: Grows within a conversation.
        run_id: The run that made it.
        kind: `user` is what a person wrote, `notice` what the host says (`text` is a code), `call` a tool call.
        text: The message, the notice's code, or empty.
        call_id: Of a call.
        created: Milliseconds since the epoch.
    """

    id: int
    run_id: str
    kind: EntryKind
    text: str
    call_id: str | None
    created: int

    def as_json(self) -> dict[str, object]:
        """The entry object of the API."""
        return {
            "id": self.id,
            "run_id": self.run_id,
            "kind": self.kind,
            "text": self.text,
            "call_id": self.call_id,
            "created": self.created,
        }


class Conversations:
    """The conversations of everybody, one person at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, owner: str, *, title: str = "", workspace: str | None = None) -> Conversation:
        """Start a conversation. Whether the owner may use the workspace is the caller's question."""
        now = now_ms()
        conversation = Conversation(id=new_id("v"), title=_title(title), workspace=workspace, created=now, updated=now)
        async with self._database.begin() as connection:
            await connection.execute(
                insert(conversations).values(
                    id=conversation.id,
                    user_id=owner,
                    title=conversation.title,
                    workspace=workspace,
                    created=now,
                    updated=now,
                )
            )
        return conversation

    async def list(self, owner: str) -> tuple[Conversation, ...]:
        """The owner's conversations, the last used first."""
        query = (
            select(conversations)
            .where(conversations.c.user_id == owner)
            .order_by(conversations.c.updated.desc(), conversations.c.id.desc())
            .limit(_LISTED)
        )
        async with self._database.begin() as connection:
            return tuple(_conversation(row) for row in (await connection.execute(query)).all())

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """One conversation.

        Raises:
            AccessError: `conversation_not_found`, also where it is somebody else's.
        """
        async with self._database.begin() as connection:
            row = (await connection.execute(select(conversations).where(_owned(owner, conversation_id)))).first()
        if row is None:
            raise _not_found()
        return _conversation(row)

    async def rename(self, owner: str, conversation_id: str, title: str) -> Conversation:
        """Give a conversation another title.

        Raises:
            AccessError: `conversation_not_found`.
        """
        change = (
            update(conversations)
            .where(_owned(owner, conversation_id))
            .values(title=_title(title))
            .returning(*conversations.c)
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(change)).first()
        if row is None:
            raise _not_found()
        return _conversation(row)

    async def append(
        self,
        owner: str,
        conversation_id: str,
        *,
        run_id: str,
        kind: EntryKind,
        text: str = "",
        call_id: str | None = None,
    ) -> Entry:
        """Add an entry at the end. The first thing a person writes becomes the title where there is none.

        Raises:
            AccessError: `conversation_not_found`.
        """
        now = now_ms()
        async with self._database.begin() as connection:
            touched = (
                await connection.execute(
                    update(conversations)
                    .where(_owned(owner, conversation_id))
                    .values(updated=now)
                    .returning(conversations.c.title)
                )
            ).first()
            if touched is None:
                raise _not_found()
            if kind == "user" and not touched.title:
                await connection.execute(
                    update(conversations).where(_owned(owner, conversation_id)).values(title=_title(text))
                )
            added = await connection.execute(
                insert(entries)
                .values(
                    conversation_id=conversation_id, run_id=run_id, kind=kind, text=text, call_id=call_id, created=now
                )
                .returning(entries.c.id)
            )
            entry_id = added.scalar_one()
        return Entry(id=entry_id, run_id=run_id, kind=kind, text=text, call_id=call_id, created=now)

    async def entries(self, owner: str, conversation_id: str) -> tuple[Entry, ...]:
        """Everything a conversation shows, in order; nothing where it is somebody else's."""
        query = (
            select(entries)
            .join(conversations, conversations.c.id == entries.c.conversation_id)
            .where(_owned(owner, conversation_id))
            .order_by(entries.c.id)
        )
        async with self._database.begin() as connection:
            return tuple(_entry(row) for row in (await connection.execute(query)).all())


def _owned(owner: str, conversation_id: str) -> ColumnElement[bool]:
    return (conversations.c.id == conversation_id) & (conversations.c.user_id == owner)


def _title(text: str) -> str:
    """One line without control characters, cut at a word."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) <= _TITLE:
        return line
    return line[: _TITLE - 1].rsplit(" ", 1)[0] + "…"


def _conversation(row: Row[tuple[object, ...]]) -> Conversation:
    return Conversation(id=row.id, title=row.title, workspace=row.workspace, created=row.created, updated=row.updated)


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    return Entry(id=row.id, run_id=row.run_id, kind=row.kind, text=row.text, call_id=row.call_id, created=row.created)


def _not_found() -> AccessError:
    return AccessError("conversation_not_found", "There is no such conversation.", "Open one from the list.")
