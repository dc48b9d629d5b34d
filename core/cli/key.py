"""`toolhost key`: API keys, with which programs do some of what their owner may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from toolhost.cli.exits import reported
from toolhost.cli.people import moment, run_with_accounts
from toolhost.cli.session import LOCAL_ADMINISTRATOR
from toolhost.cli.terminal import safe

if TYPE_CHECKING:
    from toolhost.accounts import Accounts
    from toolhost.accounts.keys import ApiKey

__all__ = ["command"]

_DAY = 24 * 3600


@click.group("key")
def command() -> None:
    """Manage API keys."""


@command.command("create")
@click.argument("username")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--scope", "scopes", multiple=True, required=True, help="What it may be used for; once for each.")
@click.option("--days", type=click.IntRange(1, 366), help="How long it holds; without end if this is left out.")
@reported
def create(username: str, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a key for somebody and print it, this once."""

    async def make(accounts: Accounts) -> str:
        owner = (await accounts.people.get(username)).user
        seconds = None if days is None else days * _DAY
        return (await accounts.keys.create(owner, name, scopes, LOCAL_ADMINISTRATOR, seconds=seconds))[1]

    click.echo(run_with_accounts(make))


@command.command("list")
@reported
def index() -> None:
    """List the keys: id, owner, last characters, scopes, last use, end, name."""

    async def everybodys(accounts: Accounts) -> list[ApiKey]:
        return await accounts.keys.list()

    for key in run_with_accounts(everybodys):
        words = (
            *(key.id, key.owner, f"...{key.ending}", ",".join(key.scopes)),
            *(f"used {moment(key.last_used)}", f"until {moment(key.expires)}", key.name),
        )
        click.echo(safe("  ".join(words), keep=""))


@command.command("revoke")
@click.argument("key_id")
@reported
def revoke(key_id: str) -> None:
    """End a key. A running server follows within a second."""

    async def end(accounts: Accounts) -> None:
        await accounts.keys.revoke(key_id, LOCAL_ADMINISTRATOR)

    run_with_accounts(end)
    click.echo(f"The key {safe(key_id)} has ended.")
