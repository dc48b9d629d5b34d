"""`toolhost audit verify`: whether the log is as it was written."""

from __future__ import annotations

import json
import sys

import click

from toolhost.audit import log_files, verify
from toolhost.audit.index import index_rows
from toolhost.cli.exits import Exit, reported
from toolhost.cli.session import enter
from toolhost.cli.terminal import safe
from toolhost.data import DataDirectory

__all__ = ["command"]


@click.command("verify")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="text or json.")
@reported
def command(output: str) -> None:
    """Check that every record is as it was sealed, follows the one before it, and is the one that the database has.

    Names the file and line of what was changed, removed or put elsewhere, and exits with 1 then. The last hash, kept on
    another machine, shows later that nothing before it was changed.
    """
    log = DataDirectory(enter()).audit_log
    found = verify(log, index_rows(log.with_name("toolhost.db")))
    if output == "json":
        findings = [
            {"file": one.file.name, "line": one.line, "code": one.code, "message": one.message}
            for one in found.findings
        ]
        summary = {"intact": found.intact, "records": found.records, "first": found.first, "last": found.last}
        click.echo(json.dumps({**summary, "last_hash": found.last_hash, "findings": findings}))
    else:
        for finding in found.findings:
            click.echo(safe(str(finding)))
        files = len(log_files(log))
        click.echo(f"{found.records} records in {files} file{'' if files == 1 else 's'}, {found.first} to {found.last}")
        click.echo(f"last hash: {found.last_hash}")
        click.echo("intact" if found.intact else "NOT INTACT")
    sys.exit(Exit.OK if found.intact else Exit.FAILED)
