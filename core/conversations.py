"""Conversations and what they hold. Every statement carries its owner: a caller cannot forget the filter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, insert, select, update

from toolhost.branches import leaf, path, siblings
from toolhost.errors import AccessError
from toolhost.identifiers import new_id, now_ms
from toolhost.storage import Database
from toolhost.storage.tables import conversations, entries

__all__ = ["Conversation", "Conversations", "Entry", "EntryKind"]

EntryKind = Literal["user", "assistant", "notice", "error", "call"]

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
        model: The name of the model that answers here, or None for the first one its person may use.
        profile: The name of the profile it answers under, or None.
        head: The last entry of the branch that is shown, or None where there is none.
        pinned: Whether it stands before all others.
    """

    id: str
    title: str
    workspace: str | None
    created: int
    updated: int
    model: str | None = None
    profile: str | None = None
    head: int | None = None
    pinned: bool = False

    def as_json(self) -> dict[str, object]:
        """The conversation object of the API."""
        return {
            "id": self.id,
            "title": self.title,
            "workspace": self.workspace,
            "created": self.created,
            "updated": self.updated,
            "model": self.model,
            "profile": self.profile,
            "pinned": self.pinned,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing a conversation shows.

    Attributes:
        id: Grows within a conversation.
        run_id: The run that made it.
        kind: `user` is what a person wrote, `assistant` what a model wrote (Markdown), `notice` what the host says
            (`text` is a code), `error` why a run failed (`text` is a code), `call` a tool call.
        text: The message, the code, or empty.
        call_id: Of a call.
        created: Milliseconds since the epoch.
        data: Of an `assistant` its `model`, `profile` and whether it was `stopped` half-way; of an `error` the error
            object; of a `notice` what its sentence names; else None.
        parent_id: The entry it follows, or None for a first one.
        siblings: All entries that follow the same one, itself included, where there is more than one.
    """

    id: int
    run_id: str
    kind: EntryKind
    text: str
    call_id: str | None
    created: int
    data: Mapping[str, Any] | None = None
    parent_id: int | None = None
    siblings: tuple[int, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The entry object of the API."""
        return {
            "id": self.id,
            "run_id": self.run_id,
            "kind": self.kind,
            "text": self.text,
            "call_id": self.call_id,
            "created": self.created,
            "data": None if self.data is None else dict(self.data),
            "parent_id": self.parent_id,
            "siblings": list(self.siblings),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Entry:
        """The entry that `as_json` wrote down."""
        return cls(**{**value, "siblings": tuple(value["siblings"])})


class Conversations:
    """The conversations of everybody, one person at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, owner: str, *, title: str = "", workspace: str | None = None) -> Conversation:
        """Start a conversation. Whether the owner may use the workspace is the caller's question."""
        now = now_ms()
        conversation = Conversation(id=new_id("v"), title=_title(title), workspace=workspace, created=now, updated=now)
        async with self._database.writing() as connection:
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
        """The owner's conversations, those that are pinned first, then the last used first."""
        query = (
            select(conversations)
            .where(conversations.c.user_id == owner, conversations.c.deleted.is_(None))
            .order_by(conversations.c.pinned.desc(), conversations.c.updated.desc(), conversations.c.id.desc())
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
        async with self._database.writing() as connection:
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
        data: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Add an entry at the end of the branch that is shown. The first thing a person writes becomes the title.

        Raises:
            AccessError: `conversation_not_found`.
        """
        now = now_ms()
        async with self._database.writing() as connection:
            touched = (
                await connection.execute(
                    update(conversations)
                    .where(_owned(owner, conversation_id))
                    .values(updated=now)
                    .returning(conversations.c.title, conversations.c.head)
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
                    conversation_id=conversation_id,
                    run_id=run_id,
                    kind=kind,
                    text=text,
                    call_id=call_id,
                    created=now,
                    data=None if data is None else json.dumps(data),
                    parent_id=touched.head,
                )
                .returning(entries.c.id)
            )
            entry_id = added.scalar_one()
            await connection.execute(
                update(conversations).where(conversations.c.id == conversation_id).values(head=entry_id)
            )
            beside = await connection.execute(
                select(entries.c.id)
                .where(
                    entries.c.conversation_id == conversation_id,
                    entries.c.parent_id.is_not_distinct_from(touched.head),
                )
                .order_by(entries.c.id)
            )
            together = tuple(beside.scalars())
        return Entry(
            id=entry_id,
            run_id=run_id,
            kind=kind,
            text=text,
            call_id=call_id,
            created=now,
            data=data,
            parent_id=touched.head,
            siblings=together if len(together) > 1 else (),
        )

    async def entries(self, owner: str, conversation_id: str) -> tuple[Entry, ...]:
        """Everything the shown branch of a conversation holds, in order; nothing where it is somebody else's."""
        head, rows = await self._tree(owner, conversation_id)
        parents = {row.id: row.parent_id for row in rows}
        beside = siblings(parents)
        found = {row.id: row for row in rows}
        return tuple(_entry(found[entry_id], beside.get(entry_id, ())) for entry_id in path(parents, head))

    async def entry(self, owner: str, conversation_id: str, entry_id: int) -> Entry:
        """One entry, of whatever branch.

        Raises:
            AccessError: `entry_not_found`.
        """
        _, rows = await self._tree(owner, conversation_id)
        for row in rows:
            if row.id == entry_id:
                return _entry(row)
        raise AccessError("entry_not_found", "This conversation has no such entry.", "Load the conversation again.")

    async def go_back(self, owner: str, conversation_id: str, entry_id: int | None) -> None:
        """Let what comes next follow an entry, or be a first one: the beginning of another branch."""
        if entry_id is not None:
            await self.entry(owner, conversation_id, entry_id)
        await self._set(owner, conversation_id, head=entry_id)

    async def show_branch(self, owner: str, conversation_id: str, entry_id: int) -> None:
        """Show the branch an entry is on, as far as it was last continued.

        Raises:
            AccessError: `entry_not_found`.
        """
        await self.entry(owner, conversation_id, entry_id)
        _, rows = await self._tree(owner, conversation_id)
        await self._set(owner, conversation_id, head=leaf({row.id: row.parent_id for row in rows}, entry_id))

    async def choose(self, owner: str, conversation_id: str, *, model: str | None, profile: str | None) -> None:
        """Have another model, or profile, answer from now on. Whether the owner may is the caller's question.

        Raises:
            AccessError: `conversation_not_found`.
        """
        await self._set(owner, conversation_id, model=model, profile=profile)

    async def pin(self, owner: str, conversation_id: str, pinned: bool) -> None:
        """Let a conversation stand before all others, or no longer.

        Raises:
            AccessError: `conversation_not_found`.
        """
        await self._set(owner, conversation_id, pinned=pinned)

    async def delete(self, owner: str, conversation_id: str) -> None:
        """Delete a conversation; until it is forgotten for good, `restore` takes that back.

        Raises:
            AccessError: `conversation_not_found`.
        """
        await self._set(owner, conversation_id, deleted=now_ms())

    async def restore(self, owner: str, conversation_id: str) -> Conversation:
        """Take a deletion back.

        Raises:
            AccessError: `conversation_not_found`, also where it is too late.
        """
        deleted = (
            (conversations.c.id == conversation_id)
            & (conversations.c.user_id == owner)
            & conversations.c.deleted.is_not(None)
        )
        async with self._database.begin() as connection:
            await connection.execute(update(conversations).where(deleted).values(deleted=None))
        return await self.get(owner, conversation_id)

    async def _set(self, owner: str, conversation_id: str, **values: object) -> None:
        change = update(conversations).where(_owned(owner, conversation_id)).values(**values)
        async with self._database.writing() as connection:
            found = (await connection.execute(change.returning(conversations.c.id))).first()
        if found is None:
            raise _not_found()

    async def _tree(self, owner: str, conversation_id: str) -> tuple[int | None, tuple[Any, ...]]:
        query = (
            select(entries, conversations.c.head)
            .join(conversations, conversations.c.id == entries.c.conversation_id)
            .where(_owned(owner, conversation_id))
            .order_by(entries.c.id)
        )
        async with self._database.begin() as connection:
            rows = tuple((await connection.execute(query)).all())
        return (rows[0].head if rows else None), rows


def _owned(owner: str, conversation_id: str) -> ColumnElement[bool]:
    return (
        (conversations.c.id == conversation_id) & (conversations.c.user_id == owner) & conversations.c.deleted.is_(None)
    )


def _title(text: str) -> str:
    """One line without control characters, cut at a word."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) <= _TITLE:
        return line
    return line[: _TITLE - 1].rsplit(" ", 1)[0] + "…"


def _conversation(row: Row[tuple[object, ...]]) -> Conversation:
    return Conversation(
        id=row.id,
        title=row.title,
        workspace=row.workspace,
        created=row.created,
        updated=row.updated,
        model=row.model,
        profile=row.profile,
        head=row.head,
        pinned=row.pinned,
    )


def _entry(row: Any, beside: tuple[int, ...] = ()) -> Entry:
    return Entry(
        id=row.id,
        run_id=row.run_id,
        kind=row.kind,
        text=row.text,
        call_id=row.call_id,
        created=row.created,
        data=None if row.data is None else json.loads(row.data),
        parent_id=row.parent_id,
        siblings=beside,
    )


def _not_found() -> AccessError:
    return AccessError("conversation_not_found", "There is no such conversation.", "Open one from the list.")
