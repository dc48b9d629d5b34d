"""`toolhost plugin list`: which plugins there are and whether they work."""

from __future__ import annotations

import json

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import run_with_host
from toolhost.cli.terminal import safe
from toolhost.overviews import plugins_of

__all__ = ["command"]

_REQUESTS = {
    None: "",
    "granted": "",
    "asks_more": ", asks more than granted",
    "invalid": ", its request cannot be used",
}


@click.command("list")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(output: str) -> None:
    """List the plugins with their state; a quarantined one says why."""
    plugins = run_with_host(plugins_of)
    if output == "json":
        click.echo(json.dumps(plugins))
        return
    for plugin in plugins:
        click.echo(
            safe(
                f"{plugin['name']:<16} {plugin['version']:<8} {plugin['state']:<12} {plugin['kind']:<7}"
                f" {len(plugin['tools'])} tools, policy: {plugin['policy'] or 'none'}{_REQUESTS[plugin['request']]}"
            )
        )
        if plugin["reason"]:
            click.echo(f"    {safe(plugin['reason'])}")
        if faults := plugin["faults"]:
            last = f"the last: {faults['code']} of {faults['tool']}"
            click.echo(safe(f"    failed by its own fault in the last day: {faults['count']}; {last}"))
