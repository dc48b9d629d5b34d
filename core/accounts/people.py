"""People: made, listed, given roles and passwords, shut out and let in again. There is always an administrator."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from toolhost.accounts.changes import Changes
from toolhost.accounts.model import Account, User, read_username, user_of
from toolhost.accounts.passwords import Passwords
from toolhost.accounts.record import Recorder
from toolhost.accounts.sessions import Sessions
from toolhost.errors import AccessError, ToolHostError, UsageError
from toolhost.identifiers import new_id, now_ms
from toolhost.model import Actor
from toolhost.rights import ROLES
from toolhost.storage import Database
from toolhost.storage.tables import links, sessions, users

__all__ = ["People", "add", "password_wrong", "read_role"]


class People:
    """The accounts of everybody.

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

    async def create(
        self, username: object, password: object, role: object, by: Actor, *, must_change: bool = False
    ) -> User:
        """Create a user.

        Args:
            username: Their name.
            password: Their password.
            role: One of `ROLES`.
            by: Who creates them.
            must_change: Whether they have to choose another password first.

        Raises:
            UsageError: `username_invalid`, `username_taken`, `role_invalid`, or a password that cannot be used.
            AccessError: `not_authenticated` where whoever creates them was shut out meanwhile.
        """
        chosen, name = read_role(role), read_username(username)
        hashed = await self._passwords.hash(self._passwords.check(password, name))
        async with self._database.begin() as connection:
            user = await add(connection, name, hashed, chosen, must_change=must_change)
            await _check_still_there(connection, by)
            self._recorder.by_actor("user_created", by, account=name, role=chosen)
        return user

    async def list(self) -> list[Account]:
        """Everybody, by name."""
        async with self._database.begin() as connection:
            rows = await connection.execute(select(users).order_by(users.c.username))
            return [_account(row) for row in rows.all()]

    async def get(self, username: object) -> Account:
        """Somebody by name.

        Raises:
            AccessError: `user_not_found`.
        """
        async with self._database.begin() as connection:
            row = (await connection.execute(select(users).where(users.c.username == read_username(username)))).first()
        if row is None:
            raise _unknown()
        return _account(row)

    async def set_role(self, username: object, role: object, by: Actor) -> Account:
        """Give somebody another role; in force at once.

        Raises:
            AccessError: `user_not_found`.
            UsageError: `role_invalid`, `last_admin`.
        """
        chosen = read_role(role)
        keeps = None if chosen == "admin" else _another_admin()
        return await self._change("user_role_changed", username, {"role": chosen}, keeps, by, role=chosen)

    async def disable(self, username: object, by: Actor) -> Account:
        """Shut somebody out: their sessions end, their keys do not work.

        Raises:
            AccessError: `user_not_found`.
            UsageError: `last_admin`.
        """
        return await self._change(
            "user_disabled", username, {"disabled": True}, _another_admin(), by, end_sessions=True
        )

    async def enable(self, username: object, by: Actor) -> Account:
        """Let somebody in again.

        Raises:
            AccessError: `user_not_found`.
        """
        return await self._change("user_enabled", username, {"disabled": False}, None, by)

    async def set_password(self, user: User, password: object, by: Actor, *, known: str) -> str:
        """Give somebody another password in the place of the one they have just proved; every session of theirs ends.

        Args:
            user: Who.
            password: The new one.
            by: Who sets it: the person themselves.
            known: The hash of the one they proved.

        Returns:
            The hash of the new one.

        Raises:
            UsageError: A password that cannot be used.
            AccessError: `password_wrong` where it was changed meanwhile.
        """
        hashed = await self._passwords.hash(self._passwords.check(password, user.username))
        values, still = {"password_hash": hashed, "must_change": False}, users.c.password_hash == known
        await self._change(
            "password_changed", user.username, values, still, by, end_sessions=True, refusal=password_wrong()
        )
        return hashed

    async def _change(
        self,
        event: str,
        username: object,
        values: dict[str, Any],
        condition: ColumnElement[bool] | None,
        by: Actor,
        *,
        end_sessions: bool = False,
        refusal: ToolHostError | None = None,
        **details: object,
    ) -> Account:
        """Change somebody, recorded before it counts: what cannot be recorded is not done."""
        who = users.c.username == read_username(username)
        # The condition is part of the statement: of two administrators who demote each other, one stays.
        change = update(users).where(who if condition is None else and_(who, condition)).values(**values)
        async with self._database.begin() as connection:
            row = (await connection.execute(change.returning(*users.c))).first()
            if row is None:
                if (await connection.execute(select(users.c.id).where(who))).first() is None:
                    raise _unknown()
                raise refusal or _last_admin()
            if end_sessions:
                await Sessions.end_of(connection, row.id, by)
            await _end_links(connection, row, password="password_hash" in values)
            await self._changes.mark(connection)
            self._recorder.by_actor(event, by, account=row.username, **details)
        await self._changes.made()
        return _account(row)


async def _check_still_there(connection: AsyncConnection, by: Actor) -> None:
    """Refuse what an administrator began before they were shut out: hashing a password takes time, and more in a queue.

    To be asked once the transaction has written something: from then on nobody is shut out until it ends.
    """
    out = exists().where(users.c.id == by.user_id, or_(users.c.role != "admin", users.c.disabled.is_(True)))
    left = exists().where(sessions.c.id == by.session_id, sessions.c.revoked.is_(True))
    if (await connection.execute(select(or_(out, left)))).scalar_one():
        raise AccessError("not_authenticated", "The session has ended.", "Sign in again.")


async def _end_links(connection: AsyncConnection, row: Row[*tuple[Any, ...]], *, password: bool) -> None:
    """End the links that a changed user may no longer have made, or no longer use."""
    if row.disabled or row.role != "admin":
        await connection.execute(delete(links).where(links.c.created_by == row.id, links.c.used.is_(None)))
    if row.disabled or password:
        await connection.execute(delete(links).where(links.c.user_id == row.id, links.c.used.is_(None)))


async def add(
    connection: AsyncConnection, username: str, password_hash: str, role: str, *, must_change: bool = False
) -> User:
    """Insert a user within a transaction.

    Raises:
        UsageError: `username_taken`.
    """
    user = User(id=new_id("u"), username=username, role=role, must_change=must_change)
    try:
        await connection.execute(
            insert(users).values(
                id=user.id,
                username=username,
                password_hash=password_hash,
                role=role,
                disabled=False,
                must_change=must_change,
                created=now_ms(),
            )
        )
    except IntegrityError:
        raise UsageError("username_taken", f"There is a user {username!r} already.", "Choose another name.") from None
    return user


def read_role(role: object) -> str:
    """A role that there is.

    Raises:
        UsageError: `role_invalid`.
    """
    if not isinstance(role, str) or role not in ROLES:
        raise UsageError("role_invalid", f"There is no role {role!r}.", f"Roles: {', '.join(ROLES)}.")
    return role


def password_wrong() -> AccessError:
    """The refusal of a password that is not somebody's. Not a 401: whoever mistypes it stays signed in."""
    return AccessError("password_wrong", "The password is wrong.", "Type it again.")


def _last_admin() -> UsageError:
    return UsageError(
        "last_admin",
        "This is the only administrator who can sign in.",
        "Make somebody else an administrator first: `toolhost user role NAME admin`.",
    )


def _another_admin() -> ColumnElement[bool]:
    """Whether the row is no administrator who counts, or another one is there."""
    other = users.alias("other")
    another = exists().where(other.c.id != users.c.id, other.c.role == "admin", other.c.disabled.is_(False))
    return or_(users.c.role != "admin", users.c.disabled.is_(True), another)


def _account(row: Row[*tuple[Any, ...]]) -> Account:
    return Account(user=user_of(row), disabled=row.disabled, created=row.created, last_login=row.last_login)


def _unknown() -> AccessError:
    return AccessError("user_not_found", "There is no such user.", "`toolhost user list` shows everybody.")
