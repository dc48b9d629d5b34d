"""`toolhost audit search`: the records that are asked for, from the files themselves."""

from __future__ import annotations

import click

from toolhost.audit import records
from toolhost.cli.audit.filters import filtered, query_from, shown
from toolhost.cli.exits import reported
from toolhost.cli.session import enter
from toolhost.data import DataDirectory

__all__ = ["command"]


@click.command("search")
@filtered
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="text, or JSON lines as stored.")
@reported
def command(output: str, **chosen: str | None) -> None:
    """Find records, the oldest first. Only records that are as they were sealed are shown."""
    settings, query = enter(), query_from(chosen)
    for line, body in records(DataDirectory(settings).audit_log, query):
        click.echo(line if output == "json" else shown(body))
