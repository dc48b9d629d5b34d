"""The command line, and the composition root: it alone puts a host together and may import the web room.

`toolhost --help` has to answer at once, so this module knows only the names of the commands; the module of each is
imported when it is run.
"""

from __future__ import annotations

from importlib import import_module, metadata

import click

__all__ = ["COMMANDS", "main"]

# name -> (module, line in the help)
COMMANDS = {
    "call": ("toolhost.cli.call", "Call a tool."),
    "doctor": ("toolhost.cli.doctor", "Probe this machine, layer by layer."),
    "plugin": ("toolhost.cli.plugin", "Look at the plugins."),
    "policy": ("toolhost.cli.policy", "Check policies and explain their decisions."),
    "selfattack": ("toolhost.cli.selfattack", "Try to escape from a sandbox of this machine."),
    "serve": ("toolhost.cli.serve", "Serve the web chat and the API."),
    "tools": ("toolhost.cli.tools", "List the tools."),
    "user": ("toolhost.cli.user", "Manage the people who may log in."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are run, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


def _print_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(metadata.version("toolhost"))
        ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def main() -> None:
    """A tool host: every tool runs in a sandbox, under a policy a person can read."""
