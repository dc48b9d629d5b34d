"""`toolhost backup`: everything that cannot be made again, in one verified file, while a server runs."""

from __future__ import annotations

from pathlib import Path

import click

from toolhost.backup import back_up
from toolhost.cli.exits import reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, beside

__all__ = ["command"]


@click.command("backup")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@reported
def command(file: Path) -> None:
    """Write the database, audit log, keys, policies, lock, drop-in plugins and settings to a new file, and verify it.

    A server may go on meanwhile. The file holds keys: only its owner can read it. Workspaces are not in it.
    """
    with beside() as (data, audit):
        manifest = back_up(data, file.absolute())
        audit.write("system", "backup.made", {"files": len(manifest["files"])}, actor=LOCAL_ADMINISTRATOR)
    size = file.stat().st_size
    click.echo(f"{len(manifest['files'])} files, {size >> 10} KiB, verified. It holds keys: keep it as you keep those.")
