"""`toolhost audit tail`: the last records, and those that come."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click

from toolhost.audit import last_records, log_files, verify_line
from toolhost.cli.audit.filters import filtered, query_from, shown
from toolhost.cli.exits import reported
from toolhost.cli.session import enter
from toolhost.data import DataDirectory

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
    read = {file.stat().st_ino: file.stat().st_size for file in log_files(log)}
    for line, body in last_records(log, lines, query):
        click.echo(line if output == "json" else shown(body))
    while follow:
        time.sleep(_LOOK)
        for line in _fresh(log, read):
            if verify_line(line) is not None and query.matches(line, body := json.loads(line)):
                click.echo(line if output == "json" else shown(body))


def _fresh(log: Path, read: dict[int, int]) -> Iterator[str]:
    """The lines that were written since the last look; a file keeps its place when another is begun after it.

    Args:
        log: The file that is written.
        read: How much of each file, by its inode, was read before; brought up to date.
    """
    for file in log_files(log):
        with file.open("rb") as content:
            inode = file.stat().st_ino
            content.seek(read.get(inode, 0))
            text = content.read()
        whole = text.rfind(b"\n") + 1  # the rest of a line that is being written comes with the next look
        read[inode] = read.get(inode, 0) + whole
        yield from text[:whole].decode("ascii", "replace").splitlines()
