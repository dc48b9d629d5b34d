"""What an administrator has not looked at yet. How far they have is in the log itself, by a record of theirs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, select, union_all

from toolhost.audit.index import AuditIndex
from toolhost.audit.log import AuditLog
from toolhost.audit.search import moment_of
from toolhost.model import Actor
from toolhost.storage.tables import audit_index

__all__ = ["KINDS", "NOTICED", "Since", "happened", "last_of", "note_look", "since"]

_LOOKED = "events.reviewed"
_NEWEST = "newest"  # a row beside those of the kinds
_column = audit_index.c


def _field(path: str) -> ColumnElement[Any]:
    return func.json_extract(_column.line, path)


_EVENTS: tuple[tuple[str, str, str, ColumnElement[bool] | None], ...] = (
    ("denied", "security", "command_blocked", None),
    # Being asked for one's password again is no denial.
    ("denied", "security", "access_refused", _field("$.details.reason") != "step_up_required"),
    ("denied", "security", "origin_refused", None),
    ("sign_ins", "auth", "login_failed", None),
    ("failed", "tools", "tool.outcome", _field("$.level") == "WARNING"),
    ("approved", "security", "approval.approved", None),
)

KINDS: tuple[str, ...] = tuple(dict.fromkeys(kind for kind, *_ in _EVENTS))
"""What is counted: `denied`, `sign_ins` that failed, calls that `failed`, and what people `approved`."""

NOTICED: tuple[str, ...] = ("denied", "sign_ins")
"""What a badge counts. Calls fail and are approved every day: a badge that counts those is never gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What has happened since somebody last looked.

    Attributes:
        at: When that was (milliseconds since the epoch), or None where they never have.
        after: The sequence number of the last record that they have seen; 0 for none.
        newest: That of the newest there is.
        counts: How many records there are since, by kind.
    """

    at: int | None
    after: int
    newest: int
    counts: Mapping[str, int]

    @property
    def noticed(self) -> int:
        """The number of the badge."""
        return sum(self.counts.get(kind, 0) for kind in NOTICED)


async def since(index: AuditIndex, user_id: str, kinds: Iterable[str] = KINDS) -> Since:
    """What has happened since a person last looked, as far as it is indexed."""
    last = await last_of(index, _LOOKED, user_id)
    # Nobody has seen what was written after they said so.
    after = 0 if last is None else min(last["details"]["through"], last["seq"])
    wanted = set(kinds)
    each = (
        select(literal(kind).label("kind"), func.count().label("number"))
        .select_from(audit_index)
        .where(_which(category, event, condition, after))
        for kind, category, event, condition in _EVENTS
        if kind in wanted
    )
    newest = select(literal(_NEWEST), func.coalesce(func.max(_column.seq), 0))
    found = dict.fromkeys((*KINDS, _NEWEST), 0)
    for row in await index.rows(union_all(*each, newest)):
        found[row.kind] += row.number
    at = None if last is None else moment_of(last)
    return Since(at=at, after=after, newest=found.pop(_NEWEST), counts=found)


async def happened(index: AuditIndex, kind: str, after: int, *, most: int) -> list[dict[str, Any]]:
    """The records of a kind behind a sequence number, the newest first."""
    lines: list[tuple[int, str]] = []
    for one, category, event, condition in _EVENTS:
        if one == kind:
            rows = await index.rows(_newest(_which(category, event, condition, after), most))
            lines += [(row.seq, row.line) for row in rows]
    return [json.loads(line) for _, line in sorted(lines, reverse=True)[:most]]


async def last_of(index: AuditIndex, event: str, user_id: str | None = None) -> dict[str, Any] | None:
    """The last record of a security event, of one person or of anybody; None where there is none."""
    which = _which("security", event, None if user_id is None else _column.user_id == user_id, 0)
    rows = await index.rows(_newest(which, 1))
    return json.loads(rows[0].line) if rows else None


def note_look(audit: AuditLog, through: int, by: Actor) -> None:
    """Write down that somebody has seen every record up to a sequence number.

    Raises:
        MachineError: `audit_unavailable`.
    """
    audit.write("security", _LOOKED, {"through": through}, actor=by)


def _which(category: str, event: str, condition: ColumnElement[bool] | None, after: int) -> ColumnElement[bool]:
    # As the index by event has it: category, event, and the number of the row.
    which = and_(_column.category == category, _column.event == event, _column.seq > after)
    return which if condition is None else and_(which, condition)


def _newest(which: ColumnElement[bool], most: int) -> Select[*tuple[Any, ...]]:
    return select(_column.seq, _column.line).where(which).order_by(_column.seq.desc()).limit(most)
