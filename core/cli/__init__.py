"""The command line, and the composition root: it alone puts a host together and may import the web room.

`toolhost --help` has to answer at once, so this module knows only the names of the commands; the module of each is
imported when it is run.
"""

from __future__ import annotations

from importlib import metadata

import click

from toolhost.cli.lazy import LazyGroup

__all__ = ["COMMANDS", "main"]

# name -> (module, line in the help)
COMMANDS = {
    "approval": ("toolhost.cli.approval", "Answer the calls that wait for a person."),
    "audit": ("toolhost.cli.audit", "Read and verify the audit log."),
    "block": ("toolhost.cli.block", "Manage the addresses that get no answer."),
    "backup": ("toolhost.cli.backup", "Write a backup while a server runs."),
    "call": ("toolhost.cli.call", "Call a tool."),
    "config": ("toolhost.cli.config", "Look at the settings."),
    "demo": ("toolhost.cli.demo", "Try everything out, with nothing to set up and nothing that stays."),
    "doctor": ("toolhost.cli.doctor", "Probe this machine, layer by layer."),
    "evidence": ("toolhost.cli.evidence", "Collect what an investigation needs."),
    "extension": ("toolhost.cli.extension", "Run commands of trusted extensions."),
    "key": ("toolhost.cli.key", "Manage API keys."),
    "model": ("toolhost.cli.model", "Look at the language models and try them."),
    "panic": ("toolhost.cli.panic", "Stop everything at once."),
    "plugin": ("toolhost.cli.plugin", "Look at the plugins."),
    "policy": ("toolhost.cli.policy", "Check policies and explain their decisions."),
    "secrets": ("toolhost.cli.secrets", "Manage the host's own secrets."),
    "restore": ("toolhost.cli.restore", "Put a backup into an empty data directory."),
    "resume": ("toolhost.cli.resume", "Let calls run again after a panic."),
    "selfattack": ("toolhost.cli.selfattack", "Try to escape from a sandbox of this machine."),
    "serve": ("toolhost.cli.serve", "Serve the web chat and the API."),
    "sessions": ("toolhost.cli.sessions", "List and end sessions."),
    "tools": ("toolhost.cli.tools", "List the tools."),
    "user": ("toolhost.cli.user", "Manage the people who may log in."),
}


def _print_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(metadata.version("toolhost"))
        ctx.exit()


@click.group(cls=LazyGroup, modules=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def main() -> None:
    """A tool host: every tool runs in a sandbox, under a policy a person can read."""
