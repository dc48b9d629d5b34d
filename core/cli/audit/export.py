"""`toolhost audit export`: records for another program."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

import click

from toolhost.audit import records
from toolhost.cli.audit.filters import filtered, query_from
from toolhost.cli.exits import reported
from toolhost.cli.session import enter
from toolhost.data import DataDirectory
from toolhost.errors import UsageError

__all__ = ["command", "write_csv"]

_COLUMNS = ("seq", "timestamp", "level", "category", "event", "user_id", "session", "request_id", "call_id", "id")


@click.command("export")
@filtered
@click.option("--format", "kind", type=click.Choice(["json", "csv"]), default="json", help="JSON lines or CSV.")
@click.option("-o", "--output", metavar="FILE", help="Write to a new file, for its owner only. Default: print.")
@reported
def command(kind: str, output: str | None, **chosen: str | None) -> None:
    """Write records as JSON lines, exactly as they stand in the log, or as CSV."""
    settings, query = enter(), query_from(chosen)
    found = records(DataDirectory(settings).audit_log, query)
    if output is None:
        _write(sys.stdout, kind, found)
        return
    try:
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError("file_not_made", f"The file {output} cannot be made: {error.strerror}.") from None
    with os.fdopen(fd, "w", newline="") as file:
        _write(file, kind, found)


def _write(file: TextIO, kind: str, found: Iterable[tuple[str, dict[str, Any]]]) -> None:
    if kind == "csv":
        write_csv(file, found)
        return
    file.writelines(line + "\n" for line, _ in found)


def write_csv(file: TextIO, found: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Write records as CSV: the envelope in columns, the details as JSON."""
    writer = csv.writer(file)
    writer.writerow((*_COLUMNS, "user", "ip", "details"))
    for _, body in found:
        details = body["details"]
        cells = [*(body[name] for name in _COLUMNS), details.get("user"), details.get("ip"), json.dumps(details)]
        writer.writerow([_cell(cell) for cell in cells])


def _cell(value: object) -> object:
    # A spreadsheet takes a text that begins so for a formula, and what is in it may be anybody's.
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
