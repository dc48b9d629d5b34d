"""`toolhost plugin list`: which plugins there are and whether they work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import run_with_host
from toolhost.cli.terminal import safe
from toolhost.host import Host
from toolhost.pluginhost.record import PluginRecord
from toolhost.policy.grants import REQUEST, beyond, is_there, proposed

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
    plugins = run_with_host(_plugins)
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


def _request(host: Host, record: PluginRecord) -> str | None:
    """How what a plugin asks for compares with what it is granted; None where it asks for nothing."""
    path, policies = Path(record.location, REQUEST), host.policies.current
    if record.code == "name_taken" or not is_there(path):
        return None
    asked = proposed(path, record.name, policies).policy
    if asked is None:
        return "invalid"
    return "asks_more" if beyond(policies.policy(record.name), asked) else "granted"


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
            "request": _request(host, record),
            "policy": f"{record.name}.toml" if host.policies.current.policy(record.name) is not None else None,
        }
        for record in sorted(host.plugins.plugins.values(), key=lambda record: record.name)
    ]
