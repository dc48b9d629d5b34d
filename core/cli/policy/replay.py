"""`toolhost policy replay`: which recorded calls would be decided otherwise now."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from toolhost.calls.again import NotAgainError, compared
from toolhost.cli.exits import Exit, reported
from toolhost.cli.period import period
from toolhost.cli.session import run_with_host
from toolhost.cli.terminal import safe
from toolhost.errors import UsageError
from toolhost.host import Host
from toolhost.identifiers import now_ms
from toolhost.policy import Considered, PolicySet, PolicyStore, plan_view
from toolhost.policy.reach import gained

__all__ = ["command"]

_LONGEST = 1000  # characters of a word that are shown
_WORDS = 100
_OTHERWISE = ("stricter", "looser", "wider", "narrower")


@click.command("replay")
@click.option("--since", metavar="PERIOD", default="7d", help="How far back: 30m, 12h, 7d, 2w. Default: 7d.")
@click.option("--policies", "folder", metavar="FOLDER", help="Policies to try. Default: those in force.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(since: str, folder: str | None, output: str) -> None:
    """List the recorded calls that would be decided otherwise now, or under a FOLDER of policies, or would reach more
    or less than they did. Nothing runs.

    Exits with 1 if there is any.
    """
    start = now_ms() - period(since)
    tried = None if folder is None else Path(folder).absolute()

    async def replayed(host: Host) -> dict[str, Any]:
        again = host.again(None if tried is None else _candidate(host, tried))
        counted: Counter[str] = Counter()
        changed: list[dict[str, Any]] = []
        gone: Counter[str] = Counter()
        async for row in host.recorded_calls(start):
            counted["calls"] += 1
            try:
                considered, request = again.consider(row)
            except NotAgainError as impossible:
                gone[impossible.code] += 1
                continue
            then, now = json.loads(row["decision"]), considered.decision
            how: str = compared(then, now)
            more, less = _reach(row, considered) if how == "same" else ((), ())
            how = "wider" if more else "narrower" if less else how
            counted[how] += 1
            if how == "same":
                continue
            asked = (
                None if request is None or request.argv is None else [_short(word) for word in request.argv[:_WORDS]]
            )
            entry = {
                "call_id": row["id"],
                "time": _time(row["created"]),
                "user": json.loads(row["actor"])["username"],
                "tool": row["tool"],
                "argv": asked,
                "arguments": None if asked else _short(row["arguments"]),
                "changed": how,
                "then": then,
                "now": now.as_record(),
                "gains": more,
                "loses": less,
            }
            if output == "json":
                changed.append(entry)
            else:
                click.echo("\n".join(safe(line, keep="") for line in _lines(entry)))
        summary = {name: counted[name] for name in ("calls", "same", *_OTHERWISE)}
        return {"since": _time(start), "changed": changed, "summary": {**summary, "not_replayed": dict(gone)}}

    found = run_with_host(replayed)
    summary = found["summary"]
    click.echo(json.dumps(found) if output == "json" else _sentence(summary))
    if any(summary[name] for name in _OTHERWISE):
        sys.exit(Exit.FAILED)


def _reach(row: Mapping[str, Any], considered: Considered) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a call that is decided as it was would reach beyond what it did, and what no longer."""
    if row["plan"] is None or considered.plan is None:
        return (), ()
    then, now = json.loads(row["plan"]), plan_view(considered.plan)
    return gained(then, now), gained(now, then)


def _candidate(host: Host, folder: Path) -> PolicySet:
    """The policies of a folder, all of them valid: half a set would look like a change."""
    if not folder.is_dir():
        raise UsageError(
            "policies_not_usable", f"{folder} is no folder.", "Copy the policies in force and change that."
        )
    store = PolicyStore(folder, data=host.settings.data, plugins=host.settings.plugins)
    store.declared = host.plugins.settings
    store.load()
    if store.current.problems:
        raise UsageError(
            "policies_not_usable",
            f"{folder}: {store.current.problems[0]}",
            f"See all of it: toolhost policy check {folder}",
        )
    return store.current


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    then, now = entry["then"], entry["now"]
    yield f"{entry['call_id']}  {entry['time']}  {entry['user']}  {entry['tool']}"
    yield f"  {then['outcome']} -> {now['outcome']} ({entry['changed']})"
    yield f"  {shlex.join(entry['argv']) if entry['argv'] else entry['arguments']}"
    for when, decision in (("then", then), ("now ", now)):
        yield f"  {when}  {decision['source'] or 'no rule'}: {decision['rule'] or decision['reason']}"
    yield from (f"  more  {what}" for what in entry["gains"])
    yield from (f"  less  {what}" for what in entry["loses"])


def _sentence(summary: Mapping[str, Any]) -> str:
    changed = summary["stricter"] + summary["looser"]
    gone = ", ".join(f"{count} {code}" for code, count in summary["not_replayed"].items())
    return (
        f"{summary['calls']} calls, {changed} would be decided otherwise: {summary['stricter']} stricter, "
        f"{summary['looser']} looser; {summary['wider']} would reach more, {summary['narrower']} less; "
        f"{sum(summary['not_replayed'].values())} cannot be replayed"
        f"{f' ({gone})' if gone else ''}."
    )


def _time(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _short(word: str) -> str:
    return word if len(word) <= _LONGEST else word[:_LONGEST] + "…"
