"""`toolhost user`: the people who may log in."""

from __future__ import annotations

import sys

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import run_with_host
from toolhost.errors import UsageError
from toolhost.host import Host

__all__ = ["command"]


@click.group("user")
def command() -> None:
    """Manage the people who may log in."""


@command.command("add")
@click.argument("username")
@click.option(
    "--role", default="user", show_default=True, metavar="admin|operator|user|viewer", help="What they may do."
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, up to the first newline.")
@reported
def add(username: str, role: str, password_stdin: bool) -> None:
    """Create a user. The password is asked for on the terminal, or read from standard input."""
    password = _password(password_stdin)

    async def create(host: Host) -> str:
        # Imported here: argon2 and jwt are for those who need them.
        from toolhost.accounts import Accounts
        from toolhost.accounts.tokens import load_key

        accounts = Accounts(host.database, host.audit, load_key(host.data.state, host.settings.jwt_secret_key))
        return (await accounts.create_user(username, password, role)).username

    click.echo(f"Created the user {run_with_host(create)} with the role {role}.")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        data = sys.stdin.buffer.readline(1 << 16).rstrip(b"\r\n")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise UsageError("password_invalid", "The password is not UTF-8 text.", "Type it in UTF-8.") from None
    if not sys.stdin.isatty():
        raise UsageError(
            "password_missing", "There is no terminal to ask for the password.", "Pass it with --password-stdin."
        )
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password
