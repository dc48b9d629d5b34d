"""`toolhost evidence`: what an investigation needs, in one file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from toolhost.archive import new_file
from toolhost.cli.exits import reported
from toolhost.cli.period import moment
from toolhost.cli.session import LOCAL_ADMINISTRATOR, beside
from toolhost.evidence import collect
from toolhost.layers import examined

__all__ = ["command"]


@click.command("evidence")
@click.option("--since", default="7d", metavar="WHEN", help="From when on: 24h, 7d, or 2026-11-28T10:00. Default: 7d.")
@click.option("-o", "--output", required=True, metavar="FILE", type=click.Path(path_type=Path), help="A new file.")
@reported
def command(since: str, output: Path) -> None:
    """Collect audit records with their verification, policies, lock, doctor, versions, sessions; no secret."""
    start = moment(since)
    with beside() as (data, audit):
        audit.write("security", "evidence.collected", {"since": start}, actor=LOCAL_ADMINISTRATOR)
        with os.fdopen(new_file(output.absolute()), "wb") as file:
            try:
                manifest = collect(data.settings, file, start, examined(data.settings))
            except BaseException:
                output.unlink(missing_ok=True)
                raise
    click.echo(f"{len(manifest['files'])} files, {output.stat().st_size >> 10} KiB.")
    verdict = "intact" if manifest["intact"] else "NOT INTACT"
    click.echo(f"The audit log is {verdict}; last hash: {manifest['last_hash']}")
