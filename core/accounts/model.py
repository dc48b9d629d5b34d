"""The values of this room: people, where their requests come from, and what an authenticated request is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from toolhost.accounts.tokens import ACCESS_SECONDS
from toolhost.errors import UsageError
from toolhost.model import Actor

__all__ = ["Account", "Client", "Principal", "SignedIn", "User", "read_username", "user_of"]

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_AGENT = 200  # characters of a user agent that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with an account.

    Attributes:
        id: `u_...`.
        username: Lower case.
        role: One of `ROLES`.
        must_change: Whether somebody else chose the password, so that nothing else works until it is changed.
        totp: Whether signing in takes a second factor.
    """

    id: str
    username: str
    role: str
    must_change: bool = False
    totp: bool = False

    def as_json(self) -> dict[str, object]:
        """The user object of the API."""
        return {
            "id": self.id,
            "username": self.username,
            "role": self.role,
            "must_change_password": self.must_change,
            "totp": self.totp,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user as administrators see one. Times are milliseconds since the epoch.

    Attributes:
        user: The person.
        disabled: Whether they may not sign in.
        created: When the account was made.
        last_login: When they last signed in, or None.
    """

    user: User
    disabled: bool
    created: int
    last_login: int | None

    def as_json(self) -> dict[str, object]:
        """The account object of the API."""
        more = {"disabled": self.disabled, "created": self.created, "last_login": self.last_login}
        return {**self.user.as_json(), **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where a request came from."""

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    channel: str = "web"

    @property
    def agent(self) -> str | None:
        """The user agent, cut to what is kept."""
        return None if self.user_agent is None else self.user_agent[:_AGENT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated request: whose it is, and by what.

    Attributes:
        user: The person, as their account is now.
        expires: Until when the token holds, in seconds since the epoch; None for a key that does not end.
        session_id: The session of an access token; None for a key.
        proved: When the session's person last gave their password, in milliseconds since the epoch; 0 for a key.
        key_id: The API key; None for a session.
        scopes: Of an API key; None for a session.
    """

    user: User
    expires: int | None
    session_id: str | None = None
    proved: int = 0
    key_id: str | None = None
    scopes: frozenset[str] | None = None

    def actor(self, client: Client) -> Actor:
        """The same person as an actor for the host."""
        return Actor(
            user_id=self.user.id,
            username=self.user.username,
            role=self.user.role,
            channel=client.channel,
            session_id=self.session_id,
            ip=client.ip,
            request_id=client.request_id,
            scopes=self.scopes,
            key_id=self.key_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A new session or a renewed one. The tokens are shown once; their reprs must not reach a log.

    Attributes:
        user: The person.
        session_id: The session.
        access_token: For an hour.
        refresh_token: For one use; None where this client has just been given the next one.
        expires_in: Seconds that the access token holds.
    """

    user: User
    session_id: str
    access_token: str
    refresh_token: str | None
    expires_in: int = ACCESS_SECONDS

    def __repr__(self) -> str:
        return f"SignedIn(user={self.user!r}, session_id={self.session_id!r})"


def user_of(row: Row[*tuple[Any, ...]]) -> User:
    """The user that a row of the table says; it may hold more."""
    return User(id=row.id, username=row.username, role=row.role, must_change=row.must_change, totp=row.totp is not None)


def read_username(name: object) -> str:
    """A user name as it is stored.

    Raises:
        UsageError: `username_invalid`.
    """
    lowered = name.strip().lower() if isinstance(name, str) else ""
    if not _USERNAME.fullmatch(lowered):
        raise UsageError(
            "username_invalid",
            "A user name has 1 to 64 letters without accents, digits or . _ @ + -, and starts with a letter or digit.",
            "Choose another name.",
        )
    return lowered
