"""`toolhost restore`: a backup, into an empty data directory."""

from __future__ import annotations

from pathlib import Path

import click

from toolhost.audit import AuditLog
from toolhost.audit.index import index_now
from toolhost.backup import restore
from toolhost.cli.exits import reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, enter
from toolhost.data import DataDirectory

__all__ = ["command"]


@click.command("restore")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@reported
def command(file: Path) -> None:
    """Put a backup into the data directory, which must be empty; every byte is verified before and after."""
    data = DataDirectory(enter())
    manifest = restore(file.absolute(), data)
    audit = AuditLog(data.audit_log, lambda record: index_now(data.state / "toolhost.db", record))
    try:
        details = {"created": manifest["created"], "toolhost": manifest["toolhost"]}
        audit.write("system", "backup.restored", details, actor=LOCAL_ADMINISTRATOR)
    finally:
        audit.close()
    click.echo(f"{len(manifest['files'])} files are restored to {data.root} and verified.")
