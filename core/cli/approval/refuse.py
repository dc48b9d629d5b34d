"""`toolhost approval refuse`."""

from __future__ import annotations

import click

from toolhost.approvals import Answer
from toolhost.cli.approval.answering import give
from toolhost.cli.exits import reported

__all__ = ["command"]


@click.command("refuse")
@click.argument("approval_id", metavar="ID")
@click.option("--reason", default="", metavar="TEXT", help="Why; whoever made the call is told.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(approval_id: str, reason: str, output: str) -> None:
    """Refuse a call, also one that somebody made in the web chat: it is told at once."""
    result = give(approval_id, Answer(approve=False, reason=reason), output)
    if output == "text":
        click.echo(f"Refused: {result.tool} ({result.call_id}).")
