"""The record of every call in the database: what was asked, what was planned, what came out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, select, update

from toolhost.calls.arguments import canonical
from toolhost.identifiers import first_id, now_ms
from toolhost.model import Actor, Call, CallResult, Decision
from toolhost.policy import plan_view
from toolhost.sandbox.plan import SandboxPlan
from toolhost.storage.behind import WriteBehind
from toolhost.storage.database import Database
from toolhost.storage.tables import calls

__all__ = ["CallRecords"]

_INSERT = insert(calls)
_UPDATE = (
    update(calls)
    .where(calls.c.id == bindparam("call"))
    .values(status=bindparam("new_status"), result=bindparam("new_result"), finished=bindparam("new_finished"))
)

_DECIDED = tuple(column for column in calls.c if column.name != "result")
_UNSUCCESSFUL = ("denied", "error", "timeout", "limit")
_FAULTS = (
    "memory_limit",
    "plugin_error",
    "result_invalid",
    "result_too_large",
    "tool_raised",
    "unserialisable_result",
    "worker_died",
    "worker_hung",
    "worker_limit",
    "worker_not_ready",
    "worker_protocol",
)
"""Codes of calls that say something against their plugin."""
_PAGE = 200


@dataclass(slots=True)
class _State:
    """How far a call is whose row is not written yet: what ends before that is written as one row."""

    status: str
    result: CallResult | None = None
    finished: int | None = None


class CallRecords:
    """Writes calls behind the call itself; reads them for their owner only."""

    def __init__(self, database: Database, behind: WriteBehind) -> None:
        self._database = database
        self._behind = behind
        self._unwritten: dict[str, _State] = {}

    def begin(self, call: Call, decision: Decision, plan: SandboxPlan | None, status: str) -> None:
        """Record a call that was decided, with all that it takes to consider it again."""
        created = now_ms()
        state = self._unwritten[call.id] = _State(status)

        def row() -> dict[str, Any]:
            del self._unwritten[call.id]
            return {
                "id": call.id,
                "user_id": call.actor.user_id,
                "conversation_id": call.conversation_id,
                "tool": call.tool.name,
                "arguments": canonical(call.arguments),
                "workspace": json.dumps(
                    {"path": call.workspace, "writable": call.workspace_writable, "own": call.workspace_own}
                ),
                "actor": json.dumps(_actor(call.actor)),
                "decision": json.dumps(decision.as_record()),
                "parent_id": call.parent_id,
                "status": state.status,
                "plan": None if plan is None else json.dumps(plan.derived("view", plan_view)),
                "result": None if state.result is None else json.dumps(state.result.as_json()),
                "created": created,
                "finished": state.finished,
            }

        self._behind.put(_INSERT, row)

    def finish(self, result: CallResult) -> None:
        """Record a call's result, or its present state where it waits for an answer."""
        finished = None if result.status == "approval_required" else now_ms()
        state = self._unwritten.get(result.call_id)
        if state is not None:
            state.status, state.result, state.finished = result.status, result, finished
            return
        self._behind.put(
            _UPDATE,
            lambda: {
                "call": result.call_id,
                "new_status": result.status,
                "new_result": json.dumps(result.as_json()),
                "new_finished": finished,
            },
        )

    async def flush(self) -> None:
        """Wait until everything recorded so far can be read."""
        await self._behind.flush()

    async def get(self, call_id: str, actor: Actor) -> dict[str, Any] | None:
        """The actor's own call: its result object with `tool`, `arguments`, `plan`, `created` and `finished`."""
        row = await self.row(call_id, actor)
        return None if row is None else _record(row)

    async def several(self, call_ids: Sequence[str], actor: Actor) -> dict[str, dict[str, Any]]:
        """The same of several calls, those that are there, by id."""
        await self._behind.flush()
        found: dict[str, dict[str, Any]] = {}
        async with self._database.begin() as connection:
            for at in range(0, len(call_ids), _PAGE):
                query = select(calls).where(calls.c.id.in_(call_ids[at : at + _PAGE]), calls.c.user_id == actor.user_id)
                rows = (await connection.execute(query)).mappings().all()
                found.update((row["id"], _record(dict(row))) for row in rows)
        return found

    async def row(self, call_id: str, actor: Actor) -> dict[str, Any] | None:
        """The stored row of the actor's own call."""
        await self._behind.flush()
        query = select(calls).where(calls.c.id == call_id, calls.c.user_id == actor.user_id)
        async with self._database.begin() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else dict(row)

    async def any_row(self, call_id: str) -> dict[str, Any] | None:
        """The stored row of anybody's call: for administrators."""
        await self._behind.flush()
        async with self._database.begin() as connection:
            row = (await connection.execute(select(calls).where(calls.c.id == call_id))).mappings().first()
        return None if row is None else dict(row)

    async def since(self, moment: int) -> AsyncIterator[Mapping[str, Any]]:
        """Everybody's calls since a moment (milliseconds), oldest first, without what came out of them.

        A page at a time, so that no history is too long to be held.
        """
        async for row in self._pages(select(*_DECIDED), moment):
            yield row

    async def unsuccessful(self, tool: str, moment: int) -> AsyncIterator[Mapping[str, Any]]:
        """Everybody's calls of a tool since a moment that were denied or failed, oldest first, with what came out."""
        query = select(calls).where(calls.c.tool == tool, calls.c.status.in_(_UNSUCCESSFUL))
        async for row in self._pages(query, moment):
            yield row

    async def faults(self, moment: int) -> dict[str, dict[str, Any]]:
        """Of each plugin whose own fault a call was since a moment: how many, and of the last its tool, code and end.

        Words are left out: they may be a person's. The newest two hundred are counted.
        """
        await self._behind.flush()
        code = func.json_extract(calls.c.result, "$.error.code")
        query = select(calls.c.tool, code.label("code"), calls.c.finished)
        query = query.where(
            calls.c.id > first_id("c", moment), calls.c.status.in_(("error", "limit")), code.in_(_FAULTS)
        )
        found: dict[str, dict[str, Any]] = {}
        async with self._database.begin() as connection:
            for row in (await connection.execute(query.order_by(calls.c.id.desc()).limit(_PAGE))).mappings():
                told = {"count": 0, "tool": row["tool"], "code": row["code"], "at": row["finished"]}
                found.setdefault(row["tool"].partition(".")[0], told)["count"] += 1
        return found

    async def _pages(self, query: Select[Any], moment: int) -> AsyncIterator[Mapping[str, Any]]:
        await self._behind.flush()
        last = first_id("c", moment)
        while True:
            page = query.where(calls.c.id > last).order_by(calls.c.id).limit(_PAGE)
            async with self._database.begin() as connection:
                rows = (await connection.execute(page)).mappings().all()
            for row in rows:
                yield dict(row)
            if len(rows) < _PAGE:
                return
            last = rows[-1]["id"]


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "call_id": row["id"],
        "tool": row["tool"],
        "status": row["status"],
        "conversation_id": row["conversation_id"],
        "parent_id": row["parent_id"],
        "arguments": json.loads(row["arguments"]),
        "plan": None if row["plan"] is None else json.loads(row["plan"]),
        "result": None if row["result"] is None else json.loads(row["result"]),
        "created": row["created"],
        "finished": row["finished"],
    }


def _actor(actor: Actor) -> dict[str, Any]:
    """Of an actor what policies look at, their name, and what they came in by."""
    return {
        "username": actor.username,
        "role": actor.role,
        "channel": actor.channel,
        "scopes": None if actor.scopes is None else sorted(actor.scopes),
        "session_id": actor.session_id,
        "key_id": actor.key_id,
    }
