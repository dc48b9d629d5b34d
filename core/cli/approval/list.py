"""`toolhost approval list`."""

from __future__ import annotations

import json

import click

from toolhost.approvals import Question
from toolhost.calls.change import change_lines
from toolhost.cli.exits import reported
from toolhost.cli.session import run_with_host
from toolhost.cli.terminal import safe
from toolhost.host import Host
from toolhost.identifiers import now_ms
from toolhost.shown import token

__all__ = ["command"]


@click.command("list")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(output: str) -> None:
    """List everybody's open questions, the oldest first, each with what would run."""

    async def read(host: Host) -> list[Question]:
        return await host.pending_approvals_of_all()

    questions = run_with_host(read)
    if output == "json":
        click.echo(json.dumps([{**question.as_json(), "user": question.username} for question in questions]))
        return
    if not questions:
        click.echo("Nothing waits for an answer.")
    for question in questions:
        click.echo(_shown(question))


def _shown(question: Question) -> str:
    plan = question.plan
    ran = " ".join(map(token, plan["argv"])) if plan["kind"] == "command" else f"{question.tool} {plan['arguments']}"
    left = max(0, question.expires - now_ms()) // 1000
    lines = [
        f"{question.id}  {question.tool}  {question.username}  {left // 60} min {left % 60} s left",
        f"  runs     {ran}",
        f"  in       {plan['cwd']}",
        f"  network  {', '.join(plan['network']) or 'none'}",
        f"  rule     {question.decision.source or 'none'}",
        f"  scopes   {', '.join(question.scopes)}",
        f"  risk     {question.danger}",
        *(
            f"  {'changes ' if not number else '':<8} {line}"
            for number, line in enumerate(change_lines(question.change))
        ),
        *([f"  a model says, unchecked: {question.explanation}"] if question.explanation else []),
    ]
    return "\n".join(safe(line, keep="") for line in lines)
