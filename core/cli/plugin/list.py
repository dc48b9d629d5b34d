"""`toolhost plugin list`: which plugins there are and whether they work."""

from __future__ import annotations

import json
from typing import Any

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import run_with_host
from toolhost.cli.terminal import safe
from toolhost.host import Host

__all__ = ["command"]


@click.command("list")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(output: str) -> None:
    """List the plugins with their state; a quarantined one says why."""
    plugins = run_with_host(_plugins)
    if output == "json":
        click.echo(json.dumps(plugins))
        return
    for plugin in plugins:
        click.echo(
            safe(
                f"{plugin['name']:<16} {plugin['version']:<8} {plugin['state']:<12} {plugin['kind']:<7}"
                f" {len(plugin['tools'])} tools, policy: {plugin['policy'] or 'none'}"
            )
        )
        if plugin["reason"]:
            click.echo(f"    {safe(plugin['reason'])}")


async def _plugins(host: Host) -> list[dict[str, Any]]:
    return [
        {
            "name": record.name,
            "version": record.version,
            "about": record.about,
            "kind": record.kind,
            "source": record.source,
            "state": record.state,
            "code": record.code,
            "reason": record.reason,
            "tools": [tool.name for tool in record.tools],
            "policy": f"{record.name}.toml" if host.policies.current.policy(record.name) is not None else None,
        }
        for record in sorted(host.plugins.plugins.values(), key=lambda record: record.name)
    ]
