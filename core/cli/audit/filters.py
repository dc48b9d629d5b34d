"""What `tail`, `search` and `export` share: which records, and how one is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import click

from toolhost.audit import AuditQuery
from toolhost.cli.period import moment
from toolhost.cli.terminal import safe

__all__ = ["filtered", "query_from", "shown"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_OPTIONS = (
    click.option("--since", metavar="WHEN", help="Not before: 30m, 12h, 7d, or 2026-11-28T10:00 (UTC)."),
    click.option("--until", metavar="WHEN", help="Before; written in the same way."),
    click.option("--category", type=click.Choice(["auth", "tools", "security", "system"]), help="Of this category."),
    click.option("--event", metavar="NAME", help="Of this event; `*` stands for any text: `tool.*`."),
    click.option("--level", type=click.Choice(["INFO", "WARNING", "ERROR"]), help="Of this level."),
    click.option("--user", metavar="NAME", help="By this user, by name or id."),
    click.option("--call", metavar="ID", help="Of this call."),
    click.option("--request", metavar="ID", help="Of this request."),
    click.option("--text", metavar="TEXT", help="With this text in it."),
)

_IN_THE_LINE = frozenset({"user", "ip", "channel"})


def filtered(command: Callable[_P, _T]) -> Callable[_P, _T]:
    """Give a command the options that say which records."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def query_from(chosen: dict[str, str | None]) -> AuditQuery:
    """The query that the options of `filtered` say.

    Raises:
        UsageError: `period_invalid`.
    """
    since, until = chosen["since"], chosen["until"]
    return AuditQuery(
        since=None if since is None else moment(since),
        until=None if until is None else moment(until),
        category=chosen["category"],
        event=chosen["event"],
        level=chosen["level"],
        user=chosen["user"],
        call_id=chosen["call"],
        request_id=chosen["request"],
        text=chosen["text"],
    )


def shown(body: dict[str, Any]) -> str:
    """A record on one line, for people."""
    details = body["details"]
    rest = {key: value for key, value in details.items() if key not in _IN_THE_LINE and value is not None}
    who = details.get("user") or body["user_id"] or "-"
    where = details.get("ip") or details.get("channel") or "-"
    head = f"{body['seq']:>7} {body['timestamp']} {body['level']:<7} {body['category']:<8} {body['event']:<22}"
    return safe(f"{head} {who}@{where} {json.dumps(rest, ensure_ascii=False, separators=(',', ':'))}")
