"""`toolhost extension`: the commands that trusted extensions bring."""

from __future__ import annotations

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import enter
from toolhost.cli.terminal import safe
from toolhost.errors import MachineError, UsageError
from toolhost.hooks import Hooks

__all__ = ["command"]


@click.command("extension", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", metavar="[COMMAND]", required=False)
@click.argument("words", metavar="[ARGUMENTS]...", nargs=-1, type=click.UNPROCESSED)
@reported
def command(name: str | None, words: tuple[str, ...]) -> None:
    """Run a command of a trusted extension, as the service user. Without one, list them."""
    # Root is given up before anything of an extension is imported, as by every other command.
    settings = enter()
    commands: dict[str, click.Command] = {}
    for one, brought in Hooks.load(settings).collect("register_commands", settings=settings):
        for made in brought or ():
            if not isinstance(made, click.Command) or not made.name or made.name in commands:
                raise MachineError(
                    "extension_failed",
                    f"The extension {one.plugin_name} brings something that is no command, or whose name is taken.",
                    "Repair it, or take it out of the setting `extensions`.",
                )
            commands[made.name] = made
    if name is None:
        for each in commands.values():
            click.echo(safe(f"{each.name:<16} {each.get_short_help_str(80)}"))
        return
    if name not in commands:
        raise UsageError(
            "unknown_command", f"No extension brings a command {name!r}.", "`toolhost extension` lists those there are."
        )
    commands[name].main(args=list(words), prog_name=f"toolhost extension {name}")
