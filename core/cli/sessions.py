"""`toolhost sessions`: who is signed in, and ending that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from toolhost.cli.exits import reported
from toolhost.cli.people import moment, run_with_accounts
from toolhost.cli.session import LOCAL_ADMINISTRATOR
from toolhost.cli.terminal import safe
from toolhost.errors import UsageError

if TYPE_CHECKING:
    from toolhost.accounts import Accounts
    from toolhost.accounts.sessions import Session

__all__ = ["command"]


@click.group("sessions")
def command() -> None:
    """List and end sessions."""


@command.command("list")
@reported
def index() -> None:
    """List the open sessions, the last used first."""

    async def everybodys(accounts: Accounts) -> list[Session]:
        return await accounts.sessions.list()

    for session in run_with_accounts(everybodys):
        words = (session.id, session.username, moment(session.renewed), session.ip or "-", session.user_agent or "-")
        click.echo(safe("  ".join(words), keep=""))


@command.command("revoke")
@click.argument("session_id", required=False)
@click.option("--user", "username", help="End every session of this person.")
@click.option("--all", "everybody", is_flag=True, help="End every session of everybody.")
@reported
def revoke(session_id: str | None, username: str | None, everybody: bool) -> None:
    """End one session, a person's, or all. A running server follows within a second, open pages included."""
    if sum((session_id is not None, username is not None, everybody)) != 1:
        raise UsageError("session_missing", "Say which: a session's id, --user NAME, or --all.")

    async def end(accounts: Accounts) -> int:
        if session_id is not None:
            await accounts.sessions.revoke(session_id, LOCAL_ADMINISTRATOR)
            return 1
        user = None if username is None else (await accounts.people.get(username)).user
        return await accounts.sessions.revoke_all(LOCAL_ADMINISTRATOR, user=user)

    click.echo(f"Sessions ended: {run_with_accounts(end)}.")
