"""`toolhost plugin show`: everything about one plugin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import run_with_host
from toolhost.cli.terminal import safe
from toolhost.host import Host
from toolhost.overviews import plugins_of
from toolhost.shown import token

__all__ = ["command"]


@click.command("show")
@click.argument("name", metavar="NAME")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(name: str, output: str) -> None:
    """Show what a plugin is, what it asks for, what it is granted, and why it is quarantined if it is."""

    async def run(host: Host) -> Mapping[str, Any]:
        host.plugins.record(name)  # says so where there is none
        return next(one for one in await plugins_of(host) if one["name"] == name)

    plugin = run_with_host(run)
    if output == "json":
        click.echo(json.dumps(plugin))
        return
    for line in _lines(plugin):
        click.echo(safe(line, keep=""))


def _lines(plugin: Mapping[str, Any]) -> Iterator[str]:
    yield f"{plugin['name']} {plugin['version']}: {plugin['about']}"
    yield f"state: {plugin['state']}" + (f", {plugin['code']}: {plugin['reason']}" if plugin["reason"] else "")
    yield f"kind: {plugin['kind']}, {plugin['source']}{', part of toolhost' if plugin['bundled'] else ''}"
    if plugin["server"]:
        yield f"server: {' '.join(map(token, plugin['server']))}"
    yield f"location: {plugin['location']}"
    yield f"digest: {plugin['digest'] or 'none'}"
    yield f"tools: {', '.join(plugin['tools']) or 'none'}"
    yield f"policy: {plugin['policy'] or 'none: it is granted nothing'}"
    yield from (f"  {sentence}" for sentence in plugin["granted"])
    if plugin["request"] == "invalid":
        yield "asks for: what cannot be read as a policy"
    elif plugin["asked"]:
        yield "asks for, beyond that:"
        yield from (f"  {sentence}" for sentence in plugin["asked"])
