"""`toolhost policy check`: whether the files are right."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from toolhost.cli.exits import Exit, reported
from toolhost.cli.session import enter
from toolhost.cli.terminal import safe
from toolhost.data import DataDirectory
from toolhost.policy import check

__all__ = ["command"]


@click.command("check")
@click.argument("path", metavar="[FILE|FOLDER]", required=False)
@reported
def command(path: str | None) -> None:
    """Check a policy file or a folder of them. Default: the policies in force.

    Prints one line for each problem, file:line:column: code: message, and exits with 1 if there is any.
    """
    settings = enter()
    if path is None:
        DataDirectory(settings).prepare()
    target = settings.policies if path is None else Path(path).absolute()
    problems = check(target, data=settings.data, plugins=settings.plugins)
    for problem in problems:
        click.echo(safe(str(problem)))
    if problems:
        sys.exit(Exit.FAILED)
