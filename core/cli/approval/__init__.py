"""`toolhost approval`: the questions that wait, and answering them beside a running server."""

from __future__ import annotations

import click

from toolhost.cli.lazy import LazyGroup

__all__ = ["command"]

_COMMANDS = {
    "approve": ("toolhost.cli.approval.approve", "Approve a call of one's own and run it."),
    "list": ("toolhost.cli.approval.list", "List the calls that wait for an answer."),
    "refuse": ("toolhost.cli.approval.refuse", "Refuse a call, also somebody else's."),
}


@click.group("approval", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """Answer the calls that wait for a person."""
