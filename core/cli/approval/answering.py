"""What `approve` and `refuse` share: giving the answer and leaving with what became of the call."""

from __future__ import annotations

import json
import sys

import click

from toolhost.approvals import Answer
from toolhost.cli.contents import contents
from toolhost.cli.exits import exit_for_status, report
from toolhost.cli.session import LOCAL_ADMINISTRATOR, run_with_host
from toolhost.cli.terminal import StreamPrinter
from toolhost.host import Host
from toolhost.model import CallResult

__all__ = ["give", "leave"]


def give(approval_id: str, answer: Answer, output: str) -> CallResult:
    """Answer a question as the local administrator and print the result of its call."""

    async def main(host: Host) -> CallResult:
        return await host.answer(approval_id, LOCAL_ADMINISTRATOR, answer)

    result = run_with_host(main)
    if output == "json":
        click.echo(json.dumps(result.as_json()))
        return result
    worker = list(contents(result))
    for piece in worker:
        click.echo(piece, nl=False)
    for target, text in ((sys.stdout, "" if worker else result.stdout), (sys.stderr, result.stderr)):
        StreamPrinter(target).write(text.encode("utf-8", "surrogatepass"))
    if answer.approve and result.error is not None:
        report(result.error["message"], result.error["code"], result.error["hint"])
    return result


def leave(result: CallResult) -> None:
    """Exit as the call itself would."""
    sys.exit(exit_for_status(result.status))
