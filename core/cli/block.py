"""`toolhost block`: addresses that get no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from toolhost.cli.exits import reported
from toolhost.cli.people import moment, run_with_accounts
from toolhost.cli.session import LOCAL_ADMINISTRATOR
from toolhost.cli.terminal import safe

if TYPE_CHECKING:
    from toolhost.accounts import Accounts
    from toolhost.accounts.blocks import Block

__all__ = ["command"]


@click.group("block")
def command() -> None:
    """Manage the addresses that get no answer."""


@command.command("add")
@click.argument("address")
@click.option("--minutes", type=click.IntRange(1, 527040), help="For how long; until it is removed if left out.")
@click.option("--reason", default="", help="Why, for whoever reads the list.")
@reported
def add(address: str, minutes: int | None, reason: str) -> None:
    """Block an address or a network. A running server follows within a second, open WebSockets included."""

    async def block(accounts: Accounts) -> Block:
        seconds = None if minutes is None else minutes * 60
        return await accounts.blocks.add(address, LOCAL_ADMINISTRATOR, reason=reason, seconds=seconds)

    made = run_with_accounts(block)
    click.echo(f"{made.network} is blocked{'' if made.expires is None else f' until {moment(made.expires)}'}.")


@command.command("list")
@reported
def index() -> None:
    """List what is blocked: network, end, reason."""

    async def everything(accounts: Accounts) -> list[Block]:
        return await accounts.blocks.list()

    for block in run_with_accounts(everything):
        click.echo(safe("  ".join((block.network, f"until {moment(block.expires)}", block.reason)).rstrip(), keep=""))


@command.command("remove")
@click.argument("address")
@reported
def remove(address: str) -> None:
    """Take a block back."""

    async def take_back(accounts: Accounts) -> None:
        await accounts.blocks.remove(address, LOCAL_ADMINISTRATOR)

    run_with_accounts(take_back)
    click.echo(f"{safe(address)} is not blocked any more.")
