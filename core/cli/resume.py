"""`toolhost resume`: let calls run again after `toolhost panic`."""

from __future__ import annotations

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, beside
from toolhost.panic import PanicSwitch

__all__ = ["command"]


@click.command("resume")
@reported
def command() -> None:
    """Let calls run again after `toolhost panic`."""
    with beside() as (data, audit):
        switch = PanicSwitch(data.state)
        if switch.current() is None:
            click.echo("Nothing was stopped.")
            return
        # Written first: what cannot be recorded does not happen.
        audit.write("security", "resumed", {}, actor=LOCAL_ADMINISTRATOR, level="WARNING")
        switch.clear()
    click.echo("Calls run again.")
