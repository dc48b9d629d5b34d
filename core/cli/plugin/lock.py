"""`toolhost plugin lock`: the lock for a policies folder that the host itself may not write."""

from __future__ import annotations

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import run_with_host
from toolhost.host import Host
from toolhost.pluginhost.lock import lock_text

__all__ = ["command"]


@click.command("lock")
@reported
def command() -> None:
    """Print lock.toml as it would be if every plugin were accepted as it is now. Nothing is written."""

    async def run(host: Host) -> None:
        click.echo(lock_text(host.plugins.pins.values()), nl=False)

    run_with_host(run)
