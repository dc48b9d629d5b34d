"""`toolhost user`: the people who may log in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from toolhost.cli.exits import reported
from toolhost.cli.people import ask_password, moment, run_with_accounts
from toolhost.cli.session import LOCAL_ADMINISTRATOR

if TYPE_CHECKING:
    from toolhost.accounts import Account, Accounts

__all__ = ["command"]

_ROLES = "admin|operator|user|viewer"


@click.group("user")
def command() -> None:
    """Manage the people who may log in."""


@command.command("add")
@click.argument("username")
@click.option("--role", default="user", show_default=True, metavar=_ROLES, help="What they may do.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, up to the first newline.")
@reported
def add(username: str, role: str, password_stdin: bool) -> None:
    """Create a user. The password is asked for on the terminal, or read from standard input."""
    password = ask_password(password_stdin)

    async def create(accounts: Accounts) -> str:
        return (await accounts.people.create(username, password, role, LOCAL_ADMINISTRATOR)).username

    click.echo(f"Created the user {run_with_accounts(create)} with the role {role}.")


@command.command("list")
@reported
def index() -> None:
    """List everybody: name, role, second factor, last login, and who is disabled."""

    async def everybody(accounts: Accounts) -> list[Account]:
        return await accounts.people.list()

    for account in run_with_accounts(everybody):
        user = account.user
        marks = [mark for mark, holds in (("totp", user.totp), ("disabled", account.disabled)) if holds]
        click.echo("  ".join([user.username, user.role, moment(account.last_login), *marks]))


@command.command("invite")
@click.option("--role", default="user", show_default=True, metavar=_ROLES, help="What they may do.")
@reported
def invite(role: str) -> None:
    """Print a link by which one person makes an account, within a week."""

    async def link(accounts: Accounts) -> str:
        return await accounts.links.invite(role, LOCAL_ADMINISTRATOR)

    click.echo(f"Once, within a week, on this server: /invite#token={run_with_accounts(link)}")


@command.command("role")
@click.argument("username")
@click.argument("role", metavar=_ROLES)
@reported
def role_(username: str, role: str) -> None:
    """Give somebody another role. A running server follows within a second."""

    async def change(accounts: Accounts) -> Account:
        return await accounts.people.set_role(username, role, LOCAL_ADMINISTRATOR)

    click.echo(f"{run_with_accounts(change).user.username} has the role {role} now.")


@command.command("disable")
@click.argument("username")
@reported
def disable(username: str) -> None:
    """Shut somebody out: their sessions end and their API keys stop working, within a second."""

    async def change(accounts: Accounts) -> Account:
        return await accounts.people.disable(username, LOCAL_ADMINISTRATOR)

    click.echo(f"{run_with_accounts(change).user.username} is shut out.")


@command.command("enable")
@click.argument("username")
@reported
def enable(username: str) -> None:
    """Let somebody in again."""

    async def change(accounts: Accounts) -> Account:
        return await accounts.people.enable(username, LOCAL_ADMINISTRATOR)

    click.echo(f"{run_with_accounts(change).user.username} may log in again.")


@command.command("reset")
@click.argument("username")
@click.option("--totp", is_flag=True, help="Take their second factor too, for whoever has lost it.")
@reported
def reset(username: str, totp: bool) -> None:
    """Print a link by which somebody sets a new password, once and within a day."""

    async def link(accounts: Accounts) -> str:
        user = (await accounts.people.get(username)).user
        if totp:
            await accounts.second_factor.remove(user, LOCAL_ADMINISTRATOR)
        return await accounts.links.reset(user, LOCAL_ADMINISTRATOR)

    click.echo(f"Once, within a day, on this server: /reset#token={run_with_accounts(link)}")
