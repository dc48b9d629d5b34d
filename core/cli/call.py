"""`toolhost call`: one call, from the words on the command line to an exit code."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from toolhost.approvals import Answer
from toolhost.calls.change import change_lines
from toolhost.cli.contents import contents
from toolhost.cli.exits import exit_for_status, report, reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, run_with_host
from toolhost.cli.terminal import StreamPrinter, abandon, confirm, interactive, safe, typed
from toolhost.cli.words import arguments_from, workspace_from
from toolhost.errors import AccessError, ToolHostError, UsageError
from toolhost.host import Host
from toolhost.identifiers import new_id
from toolhost.model import CallResult
from toolhost.policy.risk import danger_of
from toolhost.shown import token

__all__ = ["command"]


@click.command("call")
@click.argument("tool", metavar="PLUGIN.TOOL")
@click.argument("words", metavar="[KEY=VALUE | KEY:=JSON]...", nargs=-1)
@click.option("--json", "json_arguments", metavar="OBJECT", help="All arguments as one JSON object.")
@click.option("--workspace", metavar="DIR", help="Folder the tool works in. Default: the current one.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@click.option("--approve", is_flag=True, help="Answer the policy's question with yes, as the local administrator.")
@reported
def command(
    tool: str, words: tuple[str, ...], json_arguments: str | None, workspace: str | None, output: str, approve: bool
) -> None:
    """Call a tool.

    A value is read by the type the tool's schema gives it; a key given several times makes a list. Where the policy
    asks, a terminal is asked; without one the call ends with exit code 4, unless --approve was given.
    """
    folder = workspace_from(workspace)
    call = _Call(tool, words, json_arguments, folder, output == "json", approve)
    result = run_with_host(call.run)
    if output == "json":
        click.echo(json.dumps(result.as_json()))
    else:
        call.print_end(result)
    sys.exit(exit_for_status(result.status))


class _Call:
    """One call and what of it has been printed."""

    def __init__(
        self,
        tool: str,
        words: tuple[str, ...],
        json_arguments: str | None,
        workspace: Path,
        quiet: bool,
        approve: bool,
    ) -> None:
        self._tool = tool
        self._words = words
        self._json_arguments = json_arguments
        self._workspace = workspace
        self._quiet = quiet
        self._approve = approve
        self._id = new_id("c")
        self._questions: dict[str, asyncio.Task[None]] = {}
        self._terminal = asyncio.Lock()
        self._stop: Callable[[], None] = lambda: None
        self._printers = {"stdout": StreamPrinter(sys.stdout), "stderr": StreamPrinter(sys.stderr)}

    async def run(self, host: Host) -> CallResult:
        """Make the call; ask for its approval where there is somebody to ask. Ctrl-C ends it."""
        arguments = arguments_from(host, self._tool, self._words, self._json_arguments)
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            # A running call is ended and recorded, and gives its result; before and after there is only this task.
            if not host.cancel(self._id, LOCAL_ADMINISTRATOR):
                task.cancel()

        self._stop = stop
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        result = await host.call(
            self._tool,
            arguments,
            LOCAL_ADMINISTRATOR,
            workspace=self._workspace,
            approve=self._approve,
            call_id=self._id,
            attended=interactive(),
            on_event=lambda event: self._take(host, event),
        )
        if result.status != "approval_required" or not interactive():
            return result
        return await self._ask(host, result)

    def _take(self, host: Host, event: Mapping[str, Any]) -> None:
        if event["type"] == "approval.required":
            self._questions[event["approval_id"]] = asyncio.create_task(self._ask_meanwhile(host, event))
        elif event["type"] == "tool.asked":
            self._questions[event["inquiry_id"]] = asyncio.create_task(self._tell(host, event))
        elif event["type"] in ("approval.answered", "tool.answered"):
            self._questions.pop(event.get("approval_id") or event["inquiry_id"]).cancel()
        else:
            self._show(event)

    async def _ask_meanwhile(self, host: Host, event: Mapping[str, Any]) -> None:
        """Ask for what the running tool wants to run, one question after the other."""
        async with self._terminal:
            click.echo(_question(event["tool"], event["decision"], event["plan"], None), err=True)
            answer = Answer(approve=await confirm("Run it? [y/N] "))
            # The answer lets the call go on, which ends this task: it must not end the answer with it.
            answering = asyncio.create_task(host.answer(event["approval_id"], LOCAL_ADMINISTRATOR, answer))
            with suppress(ToolHostError):  # the call has ended meanwhile, and says so itself
                await asyncio.shield(answering)

    async def _tell(self, host: Host, event: Mapping[str, Any]) -> None:
        """Ask what the running tool wants to know; an empty line says nothing."""
        choices = event["choices"]
        async with self._terminal:
            click.echo(_inquiry(event), err=True)
            while True:
                said = await typed("Number (Enter: say nothing) " if choices else "Answer (Enter: say nothing) ")
                if said.isascii() and said.isdigit() and 0 < int(said) <= len(choices):
                    said = choices[int(said) - 1]
                with suppress(AccessError):  # the call has ended meanwhile, and says so itself
                    try:
                        host.inquiries.answer(event["inquiry_id"], LOCAL_ADMINISTRATOR, said or None)
                    except UsageError as error:
                        click.echo(error.message, err=True)
                        continue
                return

    async def _ask(self, host: Host, result: CallResult) -> CallResult:
        assert result.approval_id is not None
        asked = await host.question(result.approval_id, LOCAL_ADMINISTRATOR)
        click.echo(_question(asked.tool, asked.decision.as_json(), asked.plan, asked.change), err=True)
        answer = Answer(approve=await confirm("Run it? [y/N] "))
        return await host.answer(result.approval_id, LOCAL_ADMINISTRATOR, answer, on_event=self._show)

    def _show(self, event: Mapping[str, Any]) -> None:
        if self._quiet or event["type"] != "tool.output":
            return
        try:
            self._printers[event["stream"]].write(event["data"])
        except BrokenPipeError:
            self._quiet = True
            abandon(sys.stdout)
            self._stop()

    def print_end(self, result: CallResult) -> None:
        """Print what has not been streamed: a worker's answer, and why a call did not succeed."""
        if result.sandbox is not None and result.sandbox["kind"] == "worker":
            for piece in contents(result):
                click.echo(piece, nl=False)
            self._printers["stderr"].write(result.stderr.encode("utf-8", "surrogatepass"))
        if result.status == "ok":
            return
        error = result.error
        assert error is not None
        asked = result.status == "approval_required"
        hint = f"Call it on a terminal or with --approve, or: toolhost approval approve {result.approval_id}"
        report(error["message"], error["code"], hint if asked else error["hint"])
        if result.decision.source is not None and result.status in ("denied", "approval_required", "refused"):
            click.echo(f"rule: {safe(result.decision.source)}", err=True)


def _inquiry(event: Mapping[str, Any]) -> str:
    """What a tool wants to know: each line of it marked as the plugin's, so that none looks like one of ours."""
    plugin = event["tool"].partition(".")[0]
    lines = [
        f"The plugin {plugin} asks you. These are its words; your answer goes to it and into the record:",
        *(f"  | {line}" for line in event["question"].splitlines()),
        *(f"  {number}  {choice}" for number, choice in enumerate(event["choices"], 1)),
    ]
    return "\n".join(safe(line, keep="") for line in lines)


def _question(tool: str, decision: Mapping[str, Any], plan: Mapping[str, Any], change: Mapping[str, Any] | None) -> str:
    """What is asked: exactly what would run, where, with what in reach, what it changes, and which rule asks."""
    ran = " ".join(map(token, plan["argv"])) if plan["kind"] == "command" else f"{tool} {plan['arguments']}"
    lines = [
        f"{tool} needs your approval: {decision['reason']}",
        f"  runs     {ran}",
        *([f"  reads    {plan['stdin']} on standard input"] if plan["stdin"] else []),
        f"  in       {plan['cwd']}",
        *(f"  {'writes' if mount['mode'] == 'write' else 'reads ':<8} {mount['source']}" for mount in plan["mounts"]),
        f"  network  {', '.join(plan['network']) or 'none'}",
        f"  rule     {decision['source'] or 'none'}",
        f"  risk     {danger_of(plan, decision['code'])}",
        *(f"  {'changes ' if not number else '':<8} {line}" for number, line in enumerate(change_lines(change))),
    ]
    # An argument with a newline must not look like a line of ours.
    return "\n".join(safe(line, keep="") for line in lines)
