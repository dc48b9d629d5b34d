"""`toolhost policy why`: what was decided of a recorded call, by what, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from toolhost.audit import records_of_call
from toolhost.calls.again import NotAgainError, compared
from toolhost.cli.exits import reported
from toolhost.cli.session import run_with_host
from toolhost.cli.terminal import safe
from toolhost.errors import UsageError
from toolhost.host import Host
from toolhost.policy import explain_json
from toolhost.policy.view import plan_lines, visible

__all__ = ["command"]

_OUTCOME = ("status", "exit_code", "signal", "truncated", "error", "duration_ms")


@click.command("why")
@click.argument("call_id", metavar="CALL_ID")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(call_id: str, output: str) -> None:
    """Say what was decided of a recorded call, by which rule as it was then, what ran and what came of it."""

    async def told(host: Host) -> dict[str, Any]:
        return await _why(host, call_id)

    found = run_with_host(told)
    click.echo(json.dumps(found) if output == "json" else "\n".join(safe(line, keep="") for line in _lines(found)))


async def _why(host: Host, call_id: str) -> dict[str, Any]:
    row = await host.any_call(call_id)
    records = records_of_call(host.data.audit_log, call_id)
    if row is None and not records:
        raise UsageError(
            "unknown_call", f"No call {call_id!a} is recorded.", "Its id stands in its result and its card."
        )
    events = {record["event"]: record["details"] for record in records}
    # The log is the authority; the database has only what the log does not hold, such as a question's arguments.
    decided = events.get("tool.intent") or events.get("command_blocked") or {}
    stored = json.loads(row["decision"]) if row is not None and row["decision"] is not None else None
    plan = decided.get("plan") or (json.loads(row["plan"]) if row is not None and row["plan"] else None)
    result = json.loads(row["result"]) if row is not None and row["result"] else {}
    ended = events.get("tool.outcome")
    decision = decided.get("decision", stored)
    return {
        "call_id": call_id,
        "tool": decided.get("tool") or (row["tool"] if row is not None else None),
        "user": _user(records, row),
        "decision": decision,
        "policy_digest": decided.get("policy_digest") or (plan or {}).get("policy_digest"),
        "asked": decided.get("command"),
        "plan": plan,
        "limits": (result.get("sandbox") or {}).get("limits", {}),
        "outcome": {name: ended.get(name) for name in _OUTCOME} if ended is not None else _unended(row),
        "approval_id": decided.get("approval_id") or result.get("approval_id"),
        "audit": [
            {"seq": one["seq"], "event": one["event"], "time": one["timestamp"], "user": one["details"].get("user")}
            for one in records
        ],
        "today": _today(host, row, decision),
    }


def _user(records: list[dict[str, Any]], row: Mapping[str, Any] | None) -> str | None:
    if records:
        return str(records[0]["details"].get("user"))
    return json.loads(row["actor"])["username"] if row is not None and row["actor"] else None


def _unended(row: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"status": None if row is None else row["status"]}


def _today(host: Host, row: Mapping[str, Any] | None, then: Mapping[str, Any] | None) -> dict[str, Any]:
    """What would be decided of the same call now; `changed` is null where that cannot be said."""
    try:
        if row is None:
            raise NotAgainError("record_incomplete", "The database has no record of it.")
        considered, request = host.again().consider(row)
    except NotAgainError as impossible:
        return {"changed": None, "code": impossible.code, "reason": impossible.reason}
    now = considered.decision
    explained = None if request is None else explain_json(considered, request)
    return {
        "changed": None if then is None else compared(then, now),
        "decision": now.as_record(),
        "instead": [] if explained is None else explained["instead"],
        "nearest": None if explained is None else explained["nearest"],
    }


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    decision = found["decision"]
    if decision is None:
        yield "decision: not recorded"
    else:
        yield f"decision: {decision['outcome']}"
        yield f"code: {decision['code']}"
        yield f"reason: {visible(decision['reason'])}"
        text = f": {visible(decision['rule'])}" if decision["rule"] else ""
        yield f"rule: {decision['source'] or 'none'}{text}"
        if decision["hint"]:
            yield f"hint: {visible(decision['hint'])}"
    yield f"policy: {found['policy_digest'] or 'not recorded'}"
    yield f"call: {found['call_id']} of {found['tool']} by {found['user']}"
    if found["plan"] is not None:
        yield from plan_lines(found["plan"], found["limits"])
    elif found["asked"] is not None:
        yield f"asked: {visible(json.dumps(found['asked'], ensure_ascii=False))}"
    told = ", ".join(f"{name} {value}" for name, value in found["outcome"].items() if value not in (None, False))
    yield f"outcome: {told or 'none'}"
    if found["approval_id"]:
        yield f"approval: {found['approval_id']}"
    yield "audit:"
    yield from (f"  {one['seq']}  {one['time']}  {one['event']}  {one['user']}" for one in found["audit"])
    today = found["today"]
    if "decision" not in today:
        yield f"today: cannot be said: {visible(today['reason'])}"
        return
    now = today["decision"]
    yield f"today: {now['outcome']} ({today['changed'] or 'not comparable'}): {visible(now['reason'])}"
    for rule in today["instead"][:10]:
        yield f"would be decided otherwise: {rule['outcome']} {rule['source']}: {visible(rule['rule'])}"
