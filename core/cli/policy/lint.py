"""`toolhost policy lint`: what is valid and still likely not meant."""

from __future__ import annotations

import json
import sys

import click

from toolhost.cli.exits import Exit, reported
from toolhost.cli.policy.files import known_tools, read
from toolhost.cli.terminal import safe
from toolhost.policy.lint import lint

__all__ = ["command"]


@click.command("lint")
@click.argument("path", metavar="[FILE|FOLDER]", required=False)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(path: str | None, output: str) -> None:
    """Look for what is valid in a policy file, or a folder of them, and likely not meant. Default: those in force.

    Prints one line for each finding, file:line:column: warning: code: message, and exits with 1 if there is any, or a
    file cannot be used.
    """
    reading = read(path)
    tools = known_tools()
    findings = [
        finding
        for file in reading.files
        if file.policy is not None and file.document is not None
        for finding in lint(file.policy, file.document, reading.host, tools.get(file.policy.plugin))
    ]
    if output == "json":
        found = {"findings": findings, "problems": reading.problems}
        click.echo(json.dumps({name: [problem.as_json() for problem in each] for name, each in found.items()}))
    else:
        for problem in reading.problems:
            click.echo(safe(str(problem)))
        for finding in findings:
            where = f"{finding.file}:{finding.line}:{finding.column}"
            click.echo(safe(f"{where}: warning: {finding.code}: {finding.message}"))
    if findings or reading.problems:
        sys.exit(Exit.FAILED)
