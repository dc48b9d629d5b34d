"""`toolhost policy learn`: what a policy lacked, by the calls that were denied or failed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from toolhost.audit import records_of_call
from toolhost.calls.again import Again, NotAgainError
from toolhost.cli.exits import reported
from toolhost.cli.period import period
from toolhost.cli.session import run_with_host
from toolhost.cli.terminal import safe
from toolhost.host import Host
from toolhost.identifiers import now_ms
from toolhost.policy.learn import Failure, Learned, learn
from toolhost.policy.learn.draft import toml_lines
from toolhost.policy.view import visible

__all__ = ["command"]

_MOST = 1000  # calls that are learned from, the latest
_LIMIT = re.compile(r"raise `(\w+)` in the policy")


@click.command("learn")
@click.argument("tool", metavar="PLUGIN.TOOL")
@click.option("--since", metavar="PERIOD", default="7d", help="How far back: 30m, 12h, 7d, 2w. Default: 7d.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(tool: str, since: str, output: str) -> None:
    """Propose what the policy of a tool lacked, from its calls that were denied or failed.

    Prints lines for the policy file, each with its reason; nothing is written. A command is only ever proposed as an
    ask.
    """
    start = now_ms() - period(since)

    async def learned(host: Host) -> tuple[dict[str, Any], list[str]]:
        found = host.tool(tool)
        again, log = host.again(), host.data.audit_log
        failures: list[Failure] = []
        async for row in host.unsuccessful_calls(tool, start):
            failure = _failure(row, again, lambda call: records_of_call(log, call))
            failures += [] if failure is None else [failure]
        policies = again.policies
        result = learn(found.plugin, failures[-_MOST:], policies)
        lines = list(toml_lines(found.plugin, result.proposals, policies)) if result.proposals else []
        return _as_json(tool, found.plugin, len(failures), result, lines), lines

    found, lines = run_with_host(learned)
    if output == "json":
        click.echo(json.dumps(found))
        return
    for line in _text(found, lines):
        click.echo(safe(line, keep=""))


def _failure(row: Mapping[str, Any], again: Again, records: Callable[[str], list[dict[str, Any]]]) -> Failure | None:
    """A recorded call as something to learn from; None where it works today, or cannot be considered again."""
    try:
        now, request = again.consider(row)
    except NotAgainError:
        return None
    denied = row["status"] == "denied"
    if request is None or denied != (now.decision.outcome == "deny"):
        return None
    result = json.loads(row["result"]) if row["result"] else {}
    error = result.get("error") or {}
    limit = _LIMIT.search(error.get("hint") or "") if row["status"] in ("limit", "timeout") else None
    return Failure(
        call_id=row["id"],
        request=request,
        now=now,
        denied=denied,
        exit_code=result.get("exit_code"),
        limit=limit[1] if limit else "",
        said="" if denied else f"{result.get('stderr') or ''}\n{error.get('message') or ''}",
        refused=()
        if denied or not (now.plan and now.plan.network)
        else tuple(
            f"{one['details']['host']}:{one['details']['port']}"
            for one in records(row["id"])
            if one["event"] == "egress.connection" and one["details"]["code"] == "destination_not_allowed"
        ),
    )


def _as_json(tool: str, plugin: str, calls: int, result: Learned, lines: list[str]) -> dict[str, Any]:
    return {
        "tool": tool,
        "file": f"{plugin}.toml",
        "calls": calls,
        "proposals": [
            {
                "table": one.table or None,
                "key": one.key,
                "value": one.value,
                "listed": one.listed,
                "reason": one.reason,
                "calls": one.calls,
            }
            for one in result.proposals
        ],
        "toml": "\n".join(lines),
        "not_proposed": [{"reason": note.reason, "calls": note.calls} for note in result.notes],
        "answered": result.answered,
        "still_denied": result.denied,
    }


def _text(found: Mapping[str, Any], lines: list[str]) -> Iterator[str]:
    """All of it TOML: what is no proposal is a comment."""
    if not found["calls"]:
        yield f"# No call of {found['tool']} was denied or failed that would be again."
        return
    yield f"# {found['file']}, from {found['calls']} calls of {found['tool']} that were denied or failed"
    yield from lines or ["# nothing is proposed"]
    for note in found["not_proposed"]:
        yield f"# not proposed: {visible(note['reason'])} ({note['calls'][0]})"
    answered, denied = len(found["answered"]), len(found["still_denied"])
    if answered or denied:
        yield f"# of the denied calls {answered} would be asked or allowed, {denied} would still be denied"
