"""`toolhost plugin`: which plugins there are, whether they work, and whether they are still what they were."""

from __future__ import annotations

import click

from toolhost.cli.lazy import LazyGroup

__all__ = ["command"]

# name -> (module, line in the help)
_COMMANDS = {
    "accept": ("toolhost.cli.plugin.accept", "Let a plugin in that has changed."),
    "check": ("toolhost.cli.plugin.check", "Check a plugin that is worked on."),
    "disable": ("toolhost.cli.plugin.disable", "Take back what a plugin is granted."),
    "enable": ("toolhost.cli.plugin.enable", "Grant a plugin what it asks for."),
    "list": ("toolhost.cli.plugin.list", "List the plugins with their state."),
    "lock": ("toolhost.cli.plugin.lock", "Print the lock as the plugins are now."),
    "new": ("toolhost.cli.plugin.new", "Write a plugin to begin with."),
    "quarantine": ("toolhost.cli.plugin.quarantine", "Take a plugin out of service."),
    "show": ("toolhost.cli.plugin.show", "Show everything about a plugin."),
}


@click.group("plugin", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """Look at the plugins, decide about them, and write new ones."""
