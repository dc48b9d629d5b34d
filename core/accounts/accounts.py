"""Accounts: the first run, people, and their sessions. One object a host, over its database and audit log."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from toolhost.accounts.passwords import Passwords
from toolhost.accounts.tokens import ACCESS_SECONDS, REFRESH_SECONDS, AccessTokens, digest_of, new_opaque_token
from toolhost.audit import AuditLog
from toolhost.errors import AccessError, UsageError
from toolhost.identifiers import new_id, now_ms
from toolhost.model import Actor
from toolhost.storage import Database
from toolhost.storage.tables import sessions, setup, users

__all__ = ["ROLES", "Accounts", "Client", "Principal", "SignedIn", "User"]


ROLES: tuple[str, ...] = ("admin", "operator", "user", "viewer")

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_AGENT = 200  # characters of a user agent that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with an account."""

    id: str
    username: str
    role: str

    def as_json(self) -> dict[str, str]:
        """The user object of the API."""
        return {"id": self.id, "username": self.username, "role": self.role}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where a request came from."""

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated request: whose, in which session, and until when its token holds (seconds since the epoch)."""

    user: User
    session_id: str
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A new session or a renewed one. The tokens are shown once; their reprs must not reach a log."""

    user: User
    session_id: str
    access_token: str
    refresh_token: str
    expires_in: int = ACCESS_SECONDS

    def __repr__(self) -> str:
        return f"SignedIn(user={self.user!r}, session_id={self.session_id!r})"


class Accounts:
    """Creates users, signs them in, and says who a token belongs to.

    Args:
        database: The host's database.
        audit: The host's audit log.
        key: The signing key, from `load_key`.
    """

    def __init__(self, database: Database, audit: AuditLog, key: bytes) -> None:
        self._database = database
        self._audit = audit
        self._tokens = AccessTokens(key)
        self._passwords = Passwords()
        self._on_end: list[Callable[[str], None]] = []

    def on_session_end(self, callback: Callable[[str], None]) -> None:
        """Have `callback(session_id)` called when a session ends before its time."""
        self._on_end.append(callback)

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
            self._audit.write("auth", "setup_failed", {"ip": client.ip, "reason": "setup_token_wrong"}, level="WARNING")
            raise AccessError(
                "setup_token_wrong",
                "The setup token is not the one this server printed.",
                "Open the address printed when the server last started; an older one no longer works.",
            )
        name = _username(username)
        hashed = await self._passwords.hash(self._passwords.check(password))
        user = User(id=new_id("u"), username=name, role="admin")
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
            await connection.execute(
                insert(users).values(
                    id=user.id, username=name, password_hash=hashed, role="admin", disabled=False, created=now_ms()
                )
            )
            self._record("setup_completed", user, client, {})
        return user

    # People

    async def create_user(self, username: str, password: str, role: str = "user") -> User:
        """Create a user.

        Raises:
            UsageError: `username_invalid`, `username_taken`, `role_invalid`, or a password that cannot be used.
        """
        if role not in ROLES:
            raise UsageError("role_invalid", f"There is no role {role!r}.", f"Roles: {', '.join(ROLES)}.")
        name = _username(username)
        hashed = await self._passwords.hash(self._passwords.check(password))
        user = User(id=new_id("u"), username=name, role=role)
        try:
            async with self._database.begin() as connection:
                await connection.execute(
                    insert(users).values(
                        id=user.id, username=name, password_hash=hashed, role=role, disabled=False, created=now_ms()
                    )
                )
                self._record("user_created", user, Client(), {"role": role})
        except IntegrityError:
            raise UsageError("username_taken", f"There is a user {name!r} already.", "Choose another name.") from None
        return user

    # Sessions

    async def sign_in(self, username: object, password: object, client: Client) -> SignedIn:
        """Open a session.

        Raises:
            AccessError: `login_failed`: the same answer, after the same work, whatever was wrong.
        """
        name = username.strip().lower() if isinstance(username, str) else ""
        row = None
        if _USERNAME.fullmatch(name):
            async with self._database.begin() as connection:
                row = (await connection.execute(select(users).where(users.c.username == name))).first()
        right, renewed = await self._passwords.verify(password, None if row is None else row.password_hash)
        if row is None or not right or row.disabled:
            self._audit.write(
                "auth",
                "login_failed",
                {"user": name, "user_id": None if row is None else row.id, "ip": client.ip, "ua": _agent(client)},
                level="WARNING",
            )
            raise AccessError("login_failed", "The name or the password is wrong.", "Check both and try again.")
        user = _user(row)
        session_id, refresh = new_id("s"), new_opaque_token()
        async with self._database.begin() as connection:
            if renewed is not None:
                await connection.execute(update(users).where(users.c.id == user.id).values(password_hash=renewed))
            await connection.execute(
                insert(sessions).values(
                    id=session_id,
                    user_id=user.id,
                    refresh_hash=digest_of(refresh),
                    created=now_ms(),
                    expires=now_ms() + REFRESH_SECONDS * 1000,
                    revoked=False,
                    ip=client.ip,
                    user_agent=_agent(client),
                )
            )
            self._record("login", user, client, {"session": session_id})
        return self._signed_in(user, session_id, refresh)

    async def refresh(self, token: object, client: Client) -> SignedIn:
        """Exchange a refresh token for a new one and a new access token; each token works once.

        Raises:
            AccessError: `not_authenticated`.
        """
        fresh = new_opaque_token()
        row = None
        if isinstance(token, str) and token:
            now = now_ms()
            active = exists().where(users.c.id == sessions.c.user_id, users.c.disabled.is_(False))
            # One statement: of two uses of one token at the same time, one gets the row.
            rotate = (
                update(sessions)
                .where(
                    sessions.c.refresh_hash == digest_of(token),
                    sessions.c.revoked.is_(False),
                    sessions.c.expires > now,
                    active,
                )
                .values(refresh_hash=digest_of(fresh), expires=now + REFRESH_SECONDS * 1000)
                .returning(sessions.c.id, sessions.c.user_id)
            )
            async with self._database.begin() as connection:
                rotated = (await connection.execute(rotate)).first()
                if rotated is not None:
                    row = (await connection.execute(select(users).where(users.c.id == rotated.user_id))).one()
        if row is None or rotated is None:
            self._audit.write("auth", "refresh_failed", {"ip": client.ip, "ua": _agent(client)}, level="WARNING")
            raise AccessError("not_authenticated", "The session has ended.", "Sign in again.")
        user = _user(row)
        self._record("refresh", user, client, {"session": rotated.id})
        return self._signed_in(user, rotated.id, fresh)

    async def sign_out(self, principal: Principal, client: Client) -> None:
        """End a session: its tokens no longer work, and its open sockets are closed."""
        async with self._database.begin() as connection:
            await connection.execute(update(sessions).where(sessions.c.id == principal.session_id).values(revoked=True))
        self._record("logout", principal.user, client, {"session": principal.session_id})
        for callback in self._on_end:
            callback(principal.session_id)

    async def authenticate(self, access_token: str) -> Principal:
        """Whose token this is, if its session stands and its user may sign in.

        Raises:
            AccessError: `not_authenticated`.
        """
        claims = self._tokens.read(access_token)
        user = await self._session_user(claims.session_id, claims.user_id)
        return Principal(user=user, session_id=claims.session_id, expires=claims.expires)

    async def check(self, principal: Principal) -> Principal:
        """The principal as it is now: ask again before each message of a long connection.

        Raises:
            AccessError: `not_authenticated`.
        """
        if principal.expires * 1000 <= now_ms():
            raise AccessError("not_authenticated", "The access token has expired.", "Sign in again.")
        user = await self._session_user(principal.session_id, principal.user.id)
        return Principal(user=user, session_id=principal.session_id, expires=principal.expires)

    async def _session_user(self, session_id: str, user_id: str) -> User:
        query = (
            select(users.c.id, users.c.username, users.c.role)
            .join(sessions, sessions.c.user_id == users.c.id)
            .where(
                sessions.c.id == session_id,
                users.c.id == user_id,
                sessions.c.revoked.is_(False),
                sessions.c.expires > now_ms(),
                users.c.disabled.is_(False),
            )
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise AccessError("not_authenticated", "The session has ended.", "Sign in again.")
        return _user(row)

    def _signed_in(self, user: User, session_id: str, refresh: str) -> SignedIn:
        access = self._tokens.issue(user.id, session_id)
        return SignedIn(user=user, session_id=session_id, access_token=access, refresh_token=refresh)

    def _record(self, event: str, user: User, client: Client, details: dict[str, object]) -> None:
        actor = Actor(
            user_id=user.id,
            username=user.username,
            role=user.role,
            channel="web",
            session_id=str(details["session"]) if "session" in details else None,
            ip=client.ip,
            request_id=client.request_id,
        )
        self._audit.write(
            "auth", event, {"user": user.username, "ip": client.ip, "ua": _agent(client), **details}, actor=actor
        )


def _user(row: Row[*tuple[Any, ...]]) -> User:
    return User(id=row.id, username=row.username, role=row.role)


def _agent(client: Client) -> str | None:
    return None if client.user_agent is None else client.user_agent[:_AGENT]


def _username(name: object) -> str:
    lowered = name.strip().lower() if isinstance(name, str) else ""
    if not _USERNAME.fullmatch(lowered):
        raise UsageError(
            "username_invalid",
            "A user name has 1 to 64 letters without accents, digits or . _ @ + -, and starts with a letter or digit.",
            "Choose another name.",
        )
    return lowered
