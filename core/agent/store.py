"""Runs as they are written down: how each ended, and what it takes to go on with one that waits for a person."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import RowMapping, insert, select, update

from toolhost.errors import AccessError
from toolhost.identifiers import now_ms
from toolhost.storage import Database
from toolhost.storage.tables import runs, users

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

__all__ = ["ALIVE", "RunKind", "RunRecord", "RunRecords", "RunState", "dump", "load"]

RunKind = Literal["message", "call"]
RunState = Literal["queued", "running", "waiting", "completed", "failed", "cancelled", "interrupted"]

ALIVE: tuple[RunState, ...] = ("queued", "running", "waiting")
"""States of a run that has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run.

    Attributes:
        id: `r_...`.
        user_id: Whose it is.
        username: The name people see, as it is now.
        role: Likewise.
        disabled: Whether that person may not sign in any more.
        conversation_id: Where it happened.
        kind: Whether it was a message to a model, or a call.
        state: How it stands; `interrupted` where the host stopped in the middle.
        text: The message.
        model: The model that answered, or None.
        profile: The profile, or None.
        error: The error object of a failed one.
        usage: What it used.
        messages: What was said in it, as JSON of the library.
        pending: Of one that waits: the calls it waits for.
        events: Of one that waits: what was seen of it.
        created: Milliseconds since the epoch.
        ended: Likewise, or None.
        session_id: The login session that began it, or None.
    """

    id: str
    user_id: str
    username: str
    role: str
    disabled: bool
    conversation_id: str
    kind: RunKind
    state: RunState
    text: str
    model: str | None
    profile: str | None
    error: Mapping[str, Any] | None
    usage: Mapping[str, Any] | None
    messages: str | None
    pending: Mapping[str, str] | None
    events: Sequence[dict[str, Any]]
    created: int
    ended: int | None
    session_id: str | None

    def as_json(self) -> dict[str, Any]:
        """The run object of the API."""
        names = ("id", "conversation_id", "kind", "state", "model", "profile", "error", "usage", "created", "ended")
        return {name: getattr(self, name) for name in names}


class RunRecords:
    """The runs of all people. Whoever reads names the person; only what the host does at its start does without."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(
        self, run_id: str, user_id: str, conversation_id: str, *, kind: RunKind, state: RunState, **more: str | None
    ) -> None:
        """Write down a run that begins, or waits for its turn; of a message also `text`, `model` and `profile`."""
        values = {
            "id": run_id,
            "user_id": user_id,
            "conversation_id": conversation_id,
            "kind": kind,
            "state": state,
            "text": "",
            "created": now_ms(),
            **more,
        }
        async with self._database.writing() as connection:
            await connection.execute(insert(runs).values(**values))

    async def change(self, run_id: str, **values: Any) -> bool:
        """Change a run that has not ended. False where it has: a run ends once."""
        change = update(runs).where(runs.c.id == run_id, runs.c.state.in_(ALIVE)).values(**values)
        async with self._database.writing() as connection:
            return (await connection.execute(change.returning(runs.c.id))).first() is not None

    async def save(
        self, run_id: str, state: RunState, messages: str, pending: Mapping[str, str], usage: Mapping[str, Any]
    ) -> None:
        """Write down how far a run has come."""
        await self.change(run_id, state=state, messages=messages, pending=json.dumps(pending), usage=json.dumps(usage))

    async def instead(self, run_id: str, call_id: str, other: str) -> None:
        """A run that waits for a call waits for another one in its place."""
        async with self._database.writing() as connection:
            kept = (await connection.execute(select(runs.c.pending).where(runs.c.id == run_id))).scalar()
            pending = {key: other if value == call_id else value for key, value in json.loads(kept or "{}").items()}
            await connection.execute(update(runs).where(runs.c.id == run_id).values(pending=json.dumps(pending)))

    async def wait(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Write down that a run waits for a person, and what its watchers have seen."""
        await self.change(run_id, state="waiting", events=zlib.compress(json.dumps(events).encode()))

    async def end(
        self, run_id: str, state: RunState, error: Mapping[str, Any] | None = None, **more: str | None
    ) -> bool:
        """Write down how a run ended; of a model's also `messages` and `usage`. False where it had ended before."""
        text = None if error is None else json.dumps(error)
        return await self.change(run_id, state=state, error=text, ended=now_ms(), pending=None, events=None, **more)

    async def get(self, user_id: str, run_id: str) -> RunRecord:
        """One run.

        Raises:
            AccessError: `run_not_found`, also where it is somebody else's.
        """
        found = await self._read(runs.c.id == run_id, runs.c.user_id == user_id)
        if not found:
            raise AccessError("run_not_found", "There is no such run.", "Load the page again.")
        return found[0]

    async def of(self, user_id: str, conversation_id: str) -> list[RunRecord]:
        """The runs of a conversation, the oldest first."""
        return await self._read(runs.c.conversation_id == conversation_id, runs.c.user_id == user_id)

    async def alive_of_all(self) -> list[RunRecord]:
        """Everybody's runs that have not ended: what an earlier process left."""
        return await self._read(runs.c.state.in_(ALIVE))

    async def standing(self, user_ids: Collection[str]) -> dict[str, str]:
        """The role of each of these people who may sign in."""
        if not user_ids:
            return {}
        query = select(users.c.id, users.c.role).where(users.c.id.in_(list(user_ids)), users.c.disabled.is_(False))
        async with self._database.begin() as connection:
            return {row.id: row.role for row in (await connection.execute(query)).all()}

    async def _read(self, *conditions: Any) -> list[RunRecord]:
        query = (
            select(runs, users.c.username, users.c.role, users.c.disabled)
            .join(users, users.c.id == runs.c.user_id)
            .where(*conditions)
            .order_by(runs.c.created, runs.c.id)
        )
        async with self._database.begin() as connection:
            return [_record(row) for row in (await connection.execute(query)).mappings().all()]


def dump(messages: Sequence[ModelMessage]) -> str:
    """Messages of the library as JSON."""
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    return ModelMessagesTypeAdapter.dump_json(list(messages)).decode()


def load(text: str | None) -> list[ModelMessage]:
    """The messages that `dump` wrote."""
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    return [] if text is None else ModelMessagesTypeAdapter.validate_json(text)


def _record(row: RowMapping) -> RunRecord:
    values = {name: row[name] for name in RunRecord.__slots__ if name not in ("error", "usage", "pending", "events")}
    for name in ("error", "usage", "pending"):
        values[name] = None if row[name] is None else json.loads(row[name])
    events = [] if row["events"] is None else json.loads(zlib.decompress(row["events"]))
    return RunRecord(**values, events=events)
