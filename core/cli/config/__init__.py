"""`toolhost config`: what is set, and where."""

from __future__ import annotations

import click

from toolhost.cli.lazy import LazyGroup

__all__ = ["command"]

# name -> (module, line in the help)
_COMMANDS = {"show": ("toolhost.cli.config.show", "Show every setting and where it is set.")}


@click.group("config", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """Look at the settings."""
