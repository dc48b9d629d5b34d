"""`toolhost policy check`: whether the files are right."""

from __future__ import annotations

import sys

import click

from toolhost.cli.exits import Exit, reported
from toolhost.cli.policy.files import read
from toolhost.cli.terminal import safe

__all__ = ["command"]


@click.command("check")
@click.argument("path", metavar="[FILE|FOLDER]", required=False)
@reported
def command(path: str | None) -> None:
    """Check a policy file or a folder of them. Default: the policies in force.

    Prints one line for each problem, file:line:column: code: message, and exits with 1 if there is any.
    """
    problems = read(path).problems
    for problem in problems:
        click.echo(safe(str(problem)))
    if problems:
        sys.exit(Exit.FAILED)
