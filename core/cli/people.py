"""What the commands about people share: their accounts over a host, and passwords from a terminal or a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from toolhost.cli.session import run_with_host
from toolhost.errors import UsageError
from toolhost.host import Host

if TYPE_CHECKING:
    from toolhost.accounts import Accounts

__all__ = ["ask_password", "moment", "run_with_accounts"]

_T = TypeVar("_T")


def run_with_accounts(main: Callable[[Accounts], Awaitable[_T]]) -> _T:
    """Open the accounts for one command."""

    async def over(host: Host) -> _T:
        # Imported here: argon2 and jwt are for those who need them.
        from toolhost.accounts import Accounts
        from toolhost.accounts.signing import SigningKeys

        state = host.data.state
        signing = SigningKeys.load(state, host.settings.jwt_secret_key)
        return await main(Accounts(host.database, host.audit, signing, state))

    return run_with_host(over)


def ask_password(from_stdin: bool) -> str:
    """A password, asked for on the terminal or read from standard input up to the first newline.

    Raises:
        UsageError: `password_invalid`, `password_missing`.
    """
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


def moment(milliseconds: int | None) -> str:
    """A time for people, in this machine's zone; `-` for none."""
    if milliseconds is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))
