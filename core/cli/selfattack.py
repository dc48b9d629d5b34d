"""`toolhost selfattack`: try to escape from a sandbox of this machine, every way in the table, one line each."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolhost.cli.exits import Exit, reported
from toolhost.cli.session import enter
from toolhost.cli.terminal import safe

if TYPE_CHECKING:
    from toolhost.sandbox import Sandbox

__all__ = ["command"]


@click.command("selfattack")
@reported
def command() -> None:
    """Try to escape from a sandbox of this machine, and say of each attempt whether it was contained.

    Exits with 0 only if every attempt was.
    """
    from toolhost.sandbox import Sandbox

    enter()
    # Away from the data directory: what is attacked is the machine's sandbox, not what this host keeps.
    with tempfile.TemporaryDirectory(prefix="toolhost-selfattack-", ignore_cleanup_errors=True) as folder:
        escaped = asyncio.run(_attack(Sandbox.start(Path(folder).resolve())))
    sys.exit(Exit.FAILED if escaped else Exit.OK)


async def _attack(sandbox: Sandbox) -> int:
    from toolhost.sandbox.selfattack import attack_all

    made = escaped = 0
    try:
        async for result in attack_all(sandbox):
            made += 1
            escaped += not result.contained
            verdict = "contained" if result.contained else "ESCAPED"
            said = f": {result.said}" if result.said else ""
            click.echo(safe(f"{verdict:<9}  {result.attack.group:<11}  {result.attack.what}{said}", keep=""))
    finally:
        await sandbox.close()
    click.echo(f"{made} attempts, {escaped} not contained.")
    return escaped
