"""Links that let somebody in once: the setup of the first administrator, invitations, and new passwords.

A token travels in the fragment of an address, which no browser sends, and only its digest is stored.
"""

from __future__ import annotations

import hmac
from typing import Literal

from sqlalchemy import Row, delete, exists, insert, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from toolhost.accounts.changes import Changes
from toolhost.accounts.model import Client, User, read_username, user_of
from toolhost.accounts.passwords import Passwords
from toolhost.accounts.people import add, read_role
from toolhost.accounts.record import Recorder
from toolhost.accounts.sessions import Sessions
from toolhost.accounts.tokens import digest_of, new_opaque_token
from toolhost.errors import AccessError
from toolhost.identifiers import new_id, now_ms
from toolhost.model import Actor
from toolhost.storage import Database
from toolhost.storage.tables import links, setup, users

__all__ = ["INVITATION_SECONDS", "RESET_SECONDS", "Links"]

INVITATION_SECONDS = 7 * 24 * 3600
RESET_SECONDS = 24 * 3600

Kind = Literal["invitation", "reset"]


class Links:
    """Makes links and takes them.

    Args:
        database: The host's database.
        recorder: Where what happens is written down.
        passwords: Hashes passwords.
        changes: Told of what others must notice.
    """

    def __init__(self, database: Database, recorder: Recorder, passwords: Passwords, changes: Changes) -> None:
        self._database = database
        self._recorder = recorder
        self._passwords = passwords
        self._changes = changes

    # The first run

    async def setup_needed(self) -> bool:
        """Whether nobody has an account yet."""
        async with self._database.begin() as connection:
            return not (await connection.execute(select(exists().select_from(users)))).scalar_one()

    async def new_setup_token(self) -> str | None:
        """A fresh one-time token for the first administrator, replacing an earlier one; None once there is a user."""
        token = new_opaque_token()
        async with self._database.begin() as connection:
            if (await connection.execute(select(exists().select_from(users)))).scalar_one():
                return None
            await connection.execute(delete(setup))
            await connection.execute(insert(setup).values(id=1, token_hash=digest_of(token), used=False))
        return token

    async def complete_setup(self, token: object, username: object, password: object, client: Client) -> User:
        """Create the first administrator.

        Raises:
            AccessError: `setup_done` after the first time, `setup_token_wrong`.
            UsageError: For a name or password that cannot be used.
        """
        digest = digest_of(token) if isinstance(token, str) else ""
        async with self._database.begin() as connection:
            stored = (await connection.execute(select(setup.c.token_hash, setup.c.used).where(setup.c.id == 1))).first()
            anybody = (await connection.execute(select(exists().select_from(users)))).scalar_one()
        done = AccessError("setup_done", "Setup is complete: an administrator exists.", "Sign in at /login.")
        if anybody or (stored is not None and stored.used):
            raise done
        if stored is None or not hmac.compare_digest(stored.token_hash, digest):
            self._recorder.failure("setup_failed", client, reason="setup_token_wrong")
            raise AccessError(
                "setup_token_wrong",
                "The setup token is not the one this server printed.",
                "Open the address printed when the server last started; an older one no longer works.",
            )
        name = read_username(username)
        hashed = await self._passwords.hash(self._passwords.check(password, name))
        async with self._database.begin() as connection:
            # The condition and the mark are one statement: of two requests at once, one gets the row.
            claim = (
                update(setup)
                .where(setup.c.id == 1, setup.c.used.is_(False), setup.c.token_hash == digest)
                .values(used=True)
                .returning(setup.c.id)
            )
            if (await connection.execute(claim)).first() is None:
                raise done
            user = await add(connection, name, hashed, "admin")
            self._recorder.by_user("setup_completed", user, client)
        return user

    # Invitations and new passwords

    async def invite(self, role: object, by: Actor) -> str:
        """The token of a new invitation, for one person and a week."""
        chosen = read_role(role)
        token = await self._new("invitation", INVITATION_SECONDS, by, role=chosen)
        self._recorder.by_actor("user_invited", by, role=chosen)
        return token

    async def reset(self, user: User, by: Actor) -> str:
        """The token of a new link that sets a password, once and within a day. Earlier ones no longer work."""
        async with self._database.begin() as connection:
            await connection.execute(delete(links).where(links.c.user_id == user.id, links.c.used.is_(None)))
        token = await self._new("reset", RESET_SECONDS, by, user_id=user.id)
        self._recorder.by_actor("password_reset_offered", by, account=user.username)
        return token

    async def accept(self, token: object, username: object, password: object, client: Client) -> User:
        """Take an invitation: create the account it is for.

        Raises:
            AccessError: `link_invalid`.
            UsageError: `username_invalid`, `username_taken`, or a password that cannot be used.
        """
        await self._look("invitation", token, client)
        name = read_username(username)
        hashed = await self._passwords.hash(self._passwords.check(password, name))
        async with self._database.begin() as connection:
            claimed = (await connection.execute(_claim("invitation", token))).first()
            if claimed is None:
                raise _invalid()
            user = await add(connection, name, hashed, claimed.role)
            self._recorder.by_user("invitation_accepted", user, client, role=user.role)
        return user

    async def renew_password(self, token: object, password: object, client: Client) -> User:
        """Take a link that sets a password; every session of its user ends.

        Raises:
            AccessError: `link_invalid`.
            UsageError: A password that cannot be used.
        """
        link = await self._look("reset", token, client)
        async with self._database.begin() as connection:
            row = (await connection.execute(select(users).where(users.c.id == link.user_id))).one()
        user = user_of(row)
        hashed = await self._passwords.hash(self._passwords.check(password, user.username))
        async with self._database.begin() as connection:
            if (await connection.execute(_claim("reset", token))).first() is None:
                raise _invalid()
            values = {"password_hash": hashed, "must_change": False}
            await connection.execute(update(users).where(users.c.id == user.id).values(values))
            await connection.execute(delete(links).where(links.c.user_id == user.id, links.c.used.is_(None)))
            await Sessions.end_of(connection, user.id)
            await self._changes.mark(connection)
            self._recorder.by_user("password_reset", user, client)
        await self._changes.made()
        return user

    async def _new(self, kind: Kind, seconds: int, by: Actor, **more: str) -> str:
        token, now = new_opaque_token(), now_ms()
        async with self._database.begin() as connection:
            await connection.execute(
                insert(links).values(
                    id=new_id("l"),
                    kind=kind,
                    token_hash=digest_of(token),
                    created_by=by.user_id,
                    created=now,
                    expires=now + seconds * 1000,
                    **more,
                )
            )
        return token

    async def _look(self, kind: Kind, token: object, client: Client) -> Row[tuple[str | None]]:
        """The link as it is, before any work is done for it: a wrong token costs no hashing."""
        digest = digest_of(token) if isinstance(token, str) else ""
        query = select(links.c.user_id).where(
            links.c.kind == kind, links.c.token_hash == digest, links.c.used.is_(None), links.c.expires > now_ms()
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            self._recorder.failure("link_refused", client, kind=kind)
            raise _invalid()
        return row


def _claim(kind: Kind, token: object) -> ReturningUpdate[tuple[str | None]]:
    """Marks a link as used, and gives it: to one of those who use it at the same time."""
    digest = digest_of(token) if isinstance(token, str) else ""
    return (
        update(links)
        .where(links.c.kind == kind, links.c.token_hash == digest, links.c.used.is_(None), links.c.expires > now_ms())
        .values(used=now_ms())
        .returning(links.c.role)
    )


def _invalid() -> AccessError:
    return AccessError(
        "link_invalid",
        "This link was used, has expired, or never was one.",
        "Ask an administrator for a new one: `toolhost user invite` or `toolhost user reset NAME`.",
    )
