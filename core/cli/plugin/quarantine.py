"""`toolhost plugin quarantine`: a plugin is taken out of service, also where a server runs."""

from __future__ import annotations

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, run_with_host
from toolhost.cli.terminal import safe
from toolhost.host import Host
from toolhost.quarantine import take_out

__all__ = ["command"]


@click.command("quarantine")
@click.argument("name", metavar="NAME")
@click.option("--reason", metavar="TEXT", default="no reason was given", help="Why; shown wherever the plugin is.")
@reported
def command(name: str, reason: str) -> None:
    """Take a plugin out of service until `plugin accept`. Its calls that run are ended; its policy stays as it is."""

    async def run(host: Host) -> None:
        await take_out(host, name, reason, LOCAL_ADMINISTRATOR)
        click.echo(f"{safe(name)} is out of service: {safe(reason)}")

    run_with_host(run)
