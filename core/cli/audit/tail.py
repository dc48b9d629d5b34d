"""`toolhost audit tail`: the last records, and those that come."""

from __future__ import annotations

import time

import click

from toolhost.audit import AuditQuery, last_records, records
from toolhost.cli.audit.filters import filtered, query_from, shown
from toolhost.cli.exits import reported
from toolhost.cli.session import enter
from toolhost.data import DataDirectory
from toolhost.identifiers import now_ms

__all__ = ["command"]

_LOOK = 0.2  # seconds


@click.command("tail")
@filtered
@click.option("-n", "--lines", type=click.IntRange(0), default=20, help="How many of the last ones. Default: 20.")
@click.option("-f", "--follow", is_flag=True, help="Go on with those that come, until Ctrl-C.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="text, or JSON lines as stored.")
@reported
def command(lines: int, follow: bool, output: str, **chosen: str | None) -> None:
    """Show the last records, the newest last."""
    settings, query = enter(), query_from(chosen)
    log = DataDirectory(settings).audit_log
    last = 0
    began = now_ms()
    for line, body in last_records(log, lines, query):
        click.echo(line if output == "json" else shown(body))
        last = body["seq"]
    while follow:
        time.sleep(_LOOK)
        # From the start of this command on: a file that was full is read to its end, and the next one begun.
        for line, body in records(log, AuditQuery(since=began)):
            if body["seq"] > last and query.matches(line, body):
                click.echo(line if output == "json" else shown(body))
            last = max(last, body["seq"])
