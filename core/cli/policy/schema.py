"""`toolhost policy schema`: what editors need to check a policy while it is written."""

from __future__ import annotations

import click

from toolhost.cli.exits import reported
from toolhost.policy.schema import schema_text

__all__ = ["command"]


@click.command("schema")
@click.option("--host", is_flag=True, help="Of host.toml in place of a plugin's policy.")
@reported
def command(host: bool) -> None:
    """Print the JSON Schema (draft-07) of policy files."""
    click.echo(schema_text(host=host), nl=False)
