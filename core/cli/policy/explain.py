"""`toolhost policy explain`: what the files decide."""

from __future__ import annotations

import json

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, run_with_host
from toolhost.cli.terminal import safe
from toolhost.cli.words import arguments_from, workspace_from
from toolhost.host import Host
from toolhost.policy import explain, explain_json

__all__ = ["command"]


@click.command("explain")
@click.argument("tool", metavar="PLUGIN.TOOL")
@click.argument("words", metavar="[KEY=VALUE | KEY:=JSON]...", nargs=-1)
@click.option("--json", "json_arguments", metavar="OBJECT", help="All arguments as one JSON object.")
@click.option("--workspace", metavar="DIR", help="Folder the tool would work in. Default: the current one.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(tool: str, words: tuple[str, ...], json_arguments: str | None, workspace: str | None, output: str) -> None:
    """Explain what would be decided for a call, by which rule, and what would run. Nothing runs."""
    folder = workspace_from(workspace)

    async def explained(host: Host) -> str:
        arguments = arguments_from(host, tool, words, json_arguments)
        call = await host.prepare(tool, arguments, LOCAL_ADMINISTRATOR, workspace=folder)
        considered, request = host.consider(call)
        enforcement = {} if considered.plan is None else host.plugins.enforcement(considered.plan)
        if output == "json":
            return json.dumps(explain_json(considered, request, enforcement))
        return safe(explain(considered, request, enforcement)).rstrip("\n")

    click.echo(run_with_host(explained))
