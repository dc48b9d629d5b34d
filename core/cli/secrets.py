"""`toolhost secrets`: the key that access tokens are signed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from toolhost.cli.exits import reported
from toolhost.cli.people import run_with_accounts
from toolhost.cli.session import LOCAL_ADMINISTRATOR

if TYPE_CHECKING:
    from toolhost.accounts import Accounts

__all__ = ["command"]


@click.group("secrets")
def command() -> None:
    """Manage the host's own secrets."""


@command.command("rotate")
@reported
def rotate() -> None:
    """Sign access tokens with a new key. Those of the old one are accepted until they run out, an hour at most."""

    async def renew(accounts: Accounts) -> str:
        return await accounts.rotate(LOCAL_ADMINISTRATOR)

    click.echo(f"Access tokens are signed with the key {run_with_accounts(renew)} now.")
