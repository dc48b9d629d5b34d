"""`toolhost approval approve`."""

from __future__ import annotations

from typing import cast, get_args

import click

from toolhost.approvals import Answer, Scope
from toolhost.cli.approval.answering import give, leave
from toolhost.cli.exits import reported

__all__ = ["command"]


@click.command("approve")
@click.argument("approval_id", metavar="ID")
@click.option("--scope", type=click.Choice(get_args(Scope)), default="once", help="How far the yes reaches.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(approval_id: str, scope: str, output: str) -> None:
    """Approve a call that was made at this command line, and run it. Exits as the call does."""
    leave(give(approval_id, Answer(approve=True, scope=cast(Scope, scope)), output))
