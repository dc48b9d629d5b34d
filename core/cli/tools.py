"""`toolhost tools`: what can be called."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, run_with_host
from toolhost.cli.terminal import safe
from toolhost.host import Host
from toolhost.model import Tool
from toolhost.policy.annotations import hints_of

__all__ = ["command"]


@click.command("tools")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(output: str) -> None:
    """List the tools that a policy grants, with their arguments."""

    async def granted(host: Host) -> list[tuple[Tool, Mapping[str, bool]]]:
        policies = host.policies.current
        return [(tool, hints_of(policies.policy(tool.plugin), tool)) for tool in host.tools_for(LOCAL_ADMINISTRATOR)]

    tools = run_with_host(granted)
    if output == "json":
        click.echo(
            json.dumps(
                [
                    {
                        "name": tool.name,
                        "about": tool.about,
                        "input_schema": tool.input_schema,
                        "output_schema": tool.output_schema,
                        "annotations": dict(hints),
                    }
                    for tool, hints in tools
                ]
            )
        )
        return
    for tool, _ in tools:
        click.echo(safe(f"{tool.name}  {_arguments(tool)}".rstrip()))
        click.echo(f"    {safe(tool.about)}")


def _arguments(tool: Tool) -> str:
    """`path= [limit=]`: optional ones in brackets."""
    required = tool.input_schema.get("required", ())
    names = tool.input_schema.get("properties", {})
    return " ".join(f"{name}=" if name in required else f"[{name}=]" for name in names)
