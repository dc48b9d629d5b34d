"""Sessions: opened by a sign-in, renewed by rotating refresh tokens, ended at once and everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from toolhost.accounts.changes import Changes
from toolhost.accounts.kept import Kept
from toolhost.accounts.model import Client, Principal, SignedIn, User, user_of
from toolhost.accounts.record import Recorder
from toolhost.accounts.signing import SigningKeys
from toolhost.accounts.tokens import REFRESH_SECONDS, SESSION_SECONDS, AccessTokens, digest_of, new_opaque_token
from toolhost.errors import AccessError
from toolhost.identifiers import new_id, now_ms
from toolhost.model import Actor
from toolhost.storage import Database
from toolhost.storage.tables import refresh_tokens, sessions, users

__all__ = ["Session", "Sessions"]

_GRACE_MS = 10_000  # two pages of one browser may renew at the same moment
_FORGOTTEN_MS = 30 * 24 * 3600 * 1000  # ended sessions stay listed nowhere; their rows go after this


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open session as its person and administrators see it. Times are milliseconds since the epoch.

    Attributes:
        id: `s_...`.
        username: Whose it is.
        created: When it was opened.
        renewed: When its tokens were last renewed.
        expires: When it ends if they are not renewed.
        ip: From where it was opened, or None.
        user_agent: With what, or None.
    """

    id: str
    username: str
    created: int
    renewed: int
    expires: int
    ip: str | None
    user_agent: str | None

    def as_json(self) -> dict[str, object]:
        """The session object of the API."""
        return {
            "id": self.id,
            "username": self.username,
            "created": self.created,
            "renewed": self.renewed,
            "expires": self.expires,
            "ip": self.ip,
            "user_agent": self.user_agent,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """What an open session's row and its user's say."""

    user: User
    proved: int
    expires: int


class Sessions:
    """The sessions of everybody.

    Args:
        database: The host's database.
        recorder: Where what happens is written down.
        keys: What access tokens are signed with.
        changes: Tells when what is kept in memory no longer counts.
    """

    def __init__(self, database: Database, recorder: Recorder, keys: SigningKeys, changes: Changes) -> None:
        self._database = database
        self._recorder = recorder
        self._tokens = AccessTokens(keys)
        self._changes = changes
        self._kept: Kept[_Standing] = Kept(changes)

    # Opening and renewing

    async def open(self, user: User, client: Client, *, password: str, proved: int | None = None) -> SignedIn | None:
        """Open a session for somebody who has just proved who they are.

        Args:
            user: Who.
            client: From where.
            password: The hash of the password they proved it with.
            proved: When they last proved it in full, in milliseconds since the epoch; None for now.

        Returns:
            The session; None where that is their password no more, or they were shut out meanwhile: proving it takes
            time, and whoever changes it ends every session.
        """
        session_id, refresh, now = new_id("s"), new_opaque_token(), now_ms()
        here = users.c.id == user.id, users.c.password_hash == password, users.c.disabled.is_(False)
        async with self._database.begin() as connection:
            # First, for the lock: from here on nobody changes the password until the session is there.
            if (await connection.execute(update(users).where(*here).values(last_login=now))).rowcount != 1:
                return None
            await connection.execute(
                insert(sessions).values(
                    id=session_id,
                    user_id=user.id,
                    created=now,
                    renewed=now,
                    proved=now if proved is None else proved,
                    expires=now + REFRESH_SECONDS * 1000,
                    revoked=False,
                    ip=client.ip,
                    user_agent=client.agent,
                )
            )
            await connection.execute(insert(refresh_tokens).values(hash=digest_of(refresh), session_id=session_id))
            self._recorder.by_user("login", user, client, session=session_id)
        return self._signed_in(user, session_id, refresh)

    async def renew(self, token: object, client: Client) -> SignedIn:
        """Exchange a refresh token for new tokens; each works once.

        A second use within ten seconds by the same client gets an access token and no refresh token: two pages of one
        browser share the cookie that the first was given. Any other second use ends the session.

        Raises:
            AccessError: `not_authenticated`.
        """
        ended = AccessError("not_authenticated", "The session has ended.", "Sign in again.")
        if not isinstance(token, str) or not token:
            self._recorder.failure("refresh_failed", client)
            raise ended
        digest, fresh, now = digest_of(token), new_opaque_token(), now_ms()
        async with self._database.begin() as connection:
            # One statement: of two uses of one token at the same time, one gets the row.
            use = (
                update(refresh_tokens)
                .where(refresh_tokens.c.hash == digest, refresh_tokens.c.used.is_(None))
                .values(used=now)
                .returning(refresh_tokens.c.session_id)
            )
            used = (await connection.execute(use)).first()
            if used is not None:
                row = (await connection.execute(_open(used.session_id))).first()
                if row is not None:
                    await connection.execute(
                        insert(refresh_tokens).values(hash=digest_of(fresh), session_id=used.session_id)
                    )
                    expires = min(now + REFRESH_SECONDS * 1000, row.session_created + SESSION_SECONDS * 1000)
                    await connection.execute(
                        update(sessions)
                        .where(sessions.c.id == used.session_id)
                        .values(renewed=now, expires=expires, ip=client.ip, user_agent=client.agent)
                    )
        if used is None:
            return await self._again(digest, client, ended)
        if row is None:
            self._recorder.failure("refresh_failed", client, session=used.session_id)
            raise ended
        user = user_of(row)
        self._recorder.by_user("refresh", user, client, session=used.session_id)
        return self._signed_in(user, used.session_id, fresh)

    async def _again(self, digest: str, client: Client, ended: AccessError) -> SignedIn:
        """A token that was used before, or never given."""
        query = select(refresh_tokens.c.session_id, refresh_tokens.c.used).where(refresh_tokens.c.hash == digest)
        async with self._database.begin() as connection:
            earlier = (await connection.execute(query)).first()
            row = None if earlier is None else (await connection.execute(_open(earlier.session_id))).first()
        if earlier is None or row is None:
            self._recorder.failure("refresh_failed", client)
            raise ended
        user = user_of(row)
        same = row.ip == client.ip and row.user_agent == client.agent
        if same and now_ms() - earlier.used < _GRACE_MS:
            self._recorder.by_user("refresh", user, client, session=earlier.session_id, again=True)
            return self._signed_in(user, earlier.session_id, None)
        await self._end(sessions.c.id == earlier.session_id)
        self._recorder.failure(
            "refresh_reused", client, "security", user=user.username, user_id=user.id, session=earlier.session_id
        )
        raise ended

    async def prove(self, principal: Principal, client: Client) -> None:
        """Note that a session's person has given their password again."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(sessions).where(sessions.c.id == principal.session_id).values(proved=now_ms())
            )
            await self._changes.mark(connection)
            self._recorder.by_user("step_up", principal.user, client, session=principal.session_id)
        await self._changes.made()

    # Ending

    async def end(self, principal: Principal, client: Client) -> None:
        """End a session by its own person: its tokens no longer work, its open sockets are closed and its questions
        refused. What was begun in it goes on: it is the person's, who has only left."""
        await self._end(sessions.c.id == principal.session_id, logged_out=True)
        self._recorder.by_user("logout", principal.user, client, session=principal.session_id)

    async def revoke(self, session_id: str, by: Actor, *, owner: str | None = None) -> None:
        """End one session, and what was begun in it.

        Args:
            session_id: Which.
            by: Who ends it.
            owner: The user whose it must be; None for administrators.

        Raises:
            AccessError: `session_not_found`.
        """
        wanted = sessions.c.id == session_id
        if not await self._end(wanted if owner is None else wanted & (sessions.c.user_id == owner)):
            raise AccessError("session_not_found", "There is no such open session.", "List them and check the id.")
        self._recorder.by_actor("session_revoked", by, session=session_id)

    async def revoke_all(self, by: Actor, *, user: User | None = None, but: str | None = None) -> int:
        """End every session, or every one of a user, and what was begun in them; returns how many.

        Args:
            by: Who ends them.
            user: Whose; None for everybody's.
            but: A session that stays.
        """
        wanted = sessions.c.id != (but or "")
        count = await self._end(wanted if user is None else wanted & (sessions.c.user_id == user.id))
        self._recorder.by_actor("sessions_revoked", by, account=user and user.username, count=count)
        return count

    @staticmethod
    async def end_of(connection: AsyncConnection, user_id: str, by: Actor | None = None) -> None:
        """End every session of a user within a transaction that marks the change itself, and what was begun in them,
        but for the session that this comes from."""
        theirs = sessions.c.user_id == user_id
        if by is not None and by.session_id is not None:
            own = sessions.c.id == by.session_id
            await connection.execute(update(sessions).where(theirs, own).values(revoked=True, logged_out=True))
            theirs &= ~own
        await connection.execute(update(sessions).where(theirs).values(revoked=True, logged_out=False))

    async def list(self, user_id: str | None = None) -> list[Session]:
        """The open sessions of a user or of everybody, the last used first."""
        query = (
            select(sessions, users.c.username)
            .join(users, users.c.id == sessions.c.user_id)
            .where(sessions.c.revoked.is_(False), sessions.c.expires > now_ms())
            .order_by(sessions.c.renewed.desc())
        )
        async with self._database.begin() as connection:
            rows = await connection.execute(query if user_id is None else query.where(sessions.c.user_id == user_id))
            return [
                Session(**{name: getattr(row, name) for name in Session.__dataclass_fields__}) for row in rows.all()
            ]

    async def known(self, username: object, ip: str | None) -> bool:
        """Whether somebody of this name has signed in from an address before."""
        if not isinstance(username, str) or ip is None:
            return False
        query = exists().where(
            users.c.username == username.strip().lower(), sessions.c.user_id == users.c.id, sessions.c.ip == ip
        )
        async with self._database.begin() as connection:
            return bool((await connection.execute(select(query))).scalar_one())

    async def forget(self) -> None:
        """Remove what ended long ago."""
        old = select(sessions.c.id).where(sessions.c.expires < now_ms() - _FORGOTTEN_MS)
        async with self._database.begin() as connection:
            await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.session_id.in_(old)))
            await connection.execute(delete(sessions).where(sessions.c.expires < now_ms() - _FORGOTTEN_MS))

    # Asking

    async def authenticate(self, access_token: str) -> Principal:
        """Whose token this is, if its session stands and its user may sign in.

        Raises:
            AccessError: `not_authenticated`.
        """
        claims = self._tokens.read(access_token)
        return await self._principal(claims.session_id, claims.user_id, claims.expires)

    async def check(self, principal: Principal) -> Principal:
        """The principal as it is now.

        Raises:
            AccessError: `not_authenticated`.
        """
        if principal.session_id is None or principal.expires is None or principal.expires * 1000 <= now_ms():
            raise AccessError("not_authenticated", "The access token has expired.", "Sign in again.")
        return await self._principal(principal.session_id, principal.user.id, principal.expires)

    async def _principal(self, session_id: str, user_id: str, expires: int) -> Principal:
        standing = await self._kept.get(session_id, lambda: self._read(session_id))
        if standing is not None and standing.expires <= now_ms():
            standing = await self._read(session_id)  # renewed since, perhaps
        if standing is None or standing.user.id != user_id:
            raise AccessError("not_authenticated", "The session has ended.", "Sign in again.")
        return Principal(user=standing.user, session_id=session_id, expires=expires, proved=standing.proved)

    async def _read(self, session_id: str) -> _Standing | None:
        async with self._database.begin() as connection:
            row = (await connection.execute(_open(session_id))).first()
        return None if row is None else _Standing(user=user_of(row), proved=row.proved, expires=row.expires)

    async def _end(self, which: ColumnElement[bool], *, logged_out: bool = False) -> int:
        change = update(sessions).where(which, sessions.c.revoked.is_(False))
        async with self._database.begin() as connection:
            count = (await connection.execute(change.values(revoked=True, logged_out=logged_out))).rowcount
            if not logged_out:  # what was begun in one that its person has left ends as well
                await connection.execute(update(sessions).where(which).values(logged_out=False))
            await self._changes.mark(connection)
        await self._changes.made()
        return count

    def _signed_in(self, user: User, session_id: str, refresh: str | None) -> SignedIn:
        access = self._tokens.issue(user.id, session_id)
        return SignedIn(user=user, session_id=session_id, access_token=access, refresh_token=refresh)


def _open(session_id: str) -> Select[*tuple[Any, ...]]:
    """An open session with its user, who may sign in."""
    return (
        select(
            users,
            sessions.c.proved,
            sessions.c.expires,
            sessions.c.ip,
            sessions.c.user_agent,
            sessions.c.created.label("session_created"),
        )
        .join(sessions, sessions.c.user_id == users.c.id)
        .where(
            sessions.c.id == session_id,
            sessions.c.revoked.is_(False),
            sessions.c.expires > now_ms(),
            users.c.disabled.is_(False),
        )
    )
