"""`toolhost plugin new`: a plugin to begin with, which passes its own tests."""

from __future__ import annotations

from pathlib import Path

import click

from toolhost.cli.exits import reported
from toolhost.cli.terminal import safe
from toolhost.scaffold import Kind, write_plugin

__all__ = ["command"]


@click.command("new")
@click.argument("name", metavar="NAME")
@click.option("--toml", is_flag=True, help="Tools that are commands, without Python.")
@click.option("--mcp", is_flag=True, help="An MCP server.")
@click.option("--folder", metavar="FOLDER", help="Where. Default: a folder of the plugin's name, here.")
@reported
def command(name: str, toml: bool, mcp: bool, folder: str | None) -> None:
    """Write a new plugin: its tools, its request for a policy, tests, a README and a CI file.

    Default: tools in Python.
    """
    if toml and mcp:
        raise click.UsageError("A plugin is of one kind: --toml or --mcp.")
    kind: Kind = "toml" if toml else "mcp" if mcp else "python"
    target = Path(folder or name)
    for path in write_plugin(target, name, kind):
        click.echo(safe(str(target / path)))
    click.echo(f"\nNow, in a virtual environment: cd {safe(str(target))}")
    click.echo("pip install PATH/OF/TOOLHOST -e '.[test]'   # a clone of it: `toolhost` on PyPI is something else")
    click.echo("pytest")
