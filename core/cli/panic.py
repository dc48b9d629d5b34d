"""`toolhost panic`: stop everything, whether or not a server answers."""

from __future__ import annotations

import sys

import click

from toolhost.cli.exits import Exit, report, reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, beside
from toolhost.errors import MachineError
from toolhost.panic import PanicSwitch

__all__ = ["command"]


@click.command("panic")
@click.option("--reason", default="", metavar="TEXT", help="Why; whoever is refused is told.")
@reported
def command(reason: str) -> None:
    """Stop every run, kill every sandbox and worker, and refuse new calls until `toolhost resume`.

    Works through the data directory alone: no server has to answer. Exits with 1 if a process is left.
    """
    with beside() as (data, audit):
        switch = PanicSwitch(data.state)
        panic = switch.set(LOCAL_ADMINISTRATOR.username, reason)
        try:
            audit.write("security", "panic", panic.as_json(), actor=LOCAL_ADMINISTRATOR, level="WARNING")
        except MachineError as error:  # a full disk keeps nobody from stopping
            report(error.message, error.code)
        left = switch.wait_until_over()
    if left:
        report(f"{left} processes of sandboxes are still there.", "panic_incomplete", "Kill them as root, or reboot.")
        sys.exit(Exit.FAILED)
    click.echo("Everything is stopped. `toolhost resume` lets calls run again.")
