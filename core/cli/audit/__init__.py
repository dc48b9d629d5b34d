"""`toolhost audit`: what happened, and whether it is still written as it was."""

from __future__ import annotations

import click

from toolhost.cli.lazy import LazyGroup

__all__ = ["command"]

# name -> (module, line in the help)
_COMMANDS = {
    "export": ("toolhost.cli.audit.export", "Write records as JSON lines or CSV."),
    "reindex": ("toolhost.cli.audit.reindex", "Make the database's index anew from the files."),
    "search": ("toolhost.cli.audit.search", "Find records."),
    "tail": ("toolhost.cli.audit.tail", "Show the last records, and follow."),
    "verify": ("toolhost.cli.audit.verify", "Check that nothing was changed, removed or reordered."),
}


@click.group("audit", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """Read and verify the audit log."""
