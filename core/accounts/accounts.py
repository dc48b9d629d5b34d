"""Accounts: the parts of this room over one host, and what takes several of them together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from sqlalchemy import select, update

from toolhost.accounts.blocks import Blocks
from toolhost.accounts.changes import Changes
from toolhost.accounts.keys import PREFIX, Keys
from toolhost.accounts.links import Links
from toolhost.accounts.model import Client, Principal, SignedIn, User, read_username, user_of
from toolhost.accounts.passwords import Passwords
from toolhost.accounts.people import People, password_wrong
from toolhost.accounts.record import Recorder
from toolhost.accounts.second_factor import SecondFactor
from toolhost.accounts.sessions import Sessions
from toolhost.accounts.signing import SigningKeys
from toolhost.accounts.standing import Standing
from toolhost.accounts.vouched import vouched
from toolhost.audit import AuditLog
from toolhost.errors import AccessError, UsageError
from toolhost.extensions.model import Identity
from toolhost.model import Actor
from toolhost.storage import Database
from toolhost.storage.tables import users

__all__ = ["Accounts"]

_BOOTSTRAP = Actor(user_id="local", username="ADMIN_PASSWORD", role="admin", channel="cli")


class Accounts:
    """People, and how they prove who they are.

    Args:
        database: The host's database.
        audit: The host's audit log.
        signing: What access tokens are signed with.
        state: The folder with the other keys.

    Attributes:
        changes: Tells what other processes changed.
        people: The accounts.
        sessions: The sessions.
        keys: The API keys.
        blocks: The addresses that get no answer.
        links: Setup, invitations, new passwords.
        second_factor: Codes by time.
        standing: Whether what somebody began may go on.
        signing: The keys of access tokens.
    """

    def __init__(self, database: Database, audit: AuditLog, signing: SigningKeys, state: Path) -> None:
        self._database = database
        self._recorder = Recorder(audit)
        self._passwords = Passwords()
        self.signing = signing
        self.changes = Changes(database)
        self.people = People(database, self._recorder, self._passwords, self.changes)
        self.sessions = Sessions(database, self._recorder, self.signing, self.changes)
        self.keys = Keys(database, self._recorder, self.changes)
        self.blocks = Blocks(database, self._recorder, self.changes)
        self.links = Links(database, self._recorder, self._passwords, self.changes)
        self.second_factor = SecondFactor(database, self._recorder, state, self.changes)
        self.standing = Standing(database)
        self.changes.on_change(self._reload)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Notice in the meantime what other processes change: for a host that serves."""
        await self.sessions.forget()
        async with self.changes.following():
            yield

    async def bootstrap(self, password: str | None) -> User | None:
        """Make the first administrator, `admin`, where there is nobody and a password is given; they have to choose
        another one before anything else works.

        Raises:
            UsageError: A password that cannot be used.
        """
        if not password or not await self.links.setup_needed():
            return None
        return await self.people.create("admin", password, "admin", _BOOTSTRAP, must_change=True)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """A place in the queue of those who give a password; see `Passwords.turn`."""
        return self._passwords.turn()

    async def sign_in(self, username: object, password: object, client: Client, *, totp: object = None) -> SignedIn:
        """Open a session.

        Raises:
            AccessError: `login_failed`: the same answer, after the same work, whatever was wrong. `totp_required` and
                `totp_wrong` come after a right password only.
            MachineError: `login_busy`.
        """
        user, stored, renewed = await self._known(username, password, client)
        if user.totp:
            await self._second(user, totp, client)
        if renewed is not None:
            still = users.c.id == user.id, users.c.password_hash == stored
            async with self._database.begin() as connection:
                await connection.execute(update(users).where(*still).values(password_hash=renewed))
        signed_in = await self.sessions.open(user, client, password=renewed or stored)
        if signed_in is None:
            raise self._failed(client, user.username, user.id)
        return signed_in

    async def step_up(self, principal: Principal, password: object, client: Client, *, totp: object = None) -> None:
        """Have a signed-in person prove again who they are.

        Raises:
            AccessError: `password_wrong`, `totp_required`, `totp_wrong`.
        """
        user, _ = await self._same(principal, password, client)
        if user.totp:
            await self._second(user, totp, client)
        await self.sessions.prove(principal, client)

    async def change_password(
        self, principal: Principal, current: object, password: object, client: Client
    ) -> SignedIn:
        """Have a person choose another password. Every session of theirs ends; this is a new one.

        Raises:
            AccessError: `password_wrong` where the current one is.
            UsageError: `password_unchanged`, or a password that cannot be used.
        """
        user, stored = await self._same(principal, current, client)
        if current == password:
            raise UsageError("password_unchanged", "The new password is the old one.", "Choose another one.")
        hashed = await self.people.set_password(user, password, principal.actor(client), known=stored)
        # A password alone is no new proof where a code belongs to it.
        proved = principal.proved if user.totp else None
        changed = (await self.people.get(user.username)).user
        signed_in = await self.sessions.open(changed, client, password=hashed, proved=proved)
        if signed_in is None:  # changed once more, or shut out
            raise password_wrong()
        return signed_in

    async def authenticate(self, token: str) -> Principal:
        """Whose access token or API key this is.

        Raises:
            AccessError: `not_authenticated`.
        """
        if token.startswith(PREFIX):
            return await self.keys.authenticate(token)
        return await self.sessions.authenticate(token)

    async def check(self, principal: Principal) -> Principal:
        """The principal as it is now: ask again before each message of a long connection.

        Raises:
            AccessError: `not_authenticated`.
        """
        if principal.session_id is None and principal.key_id is None:
            return await self.vouched(Identity(username=principal.user.username, proved=principal.proved))
        return await (self.sessions if principal.key_id is None else self.keys).check(principal)

    async def vouched(self, identity: Identity) -> Principal:
        """Somebody whom a trusted extension vouches for.

        Raises:
            AccessError: `not_authenticated`.
        """
        return await vouched(self.people, identity)

    async def rotate(self, by: Actor) -> str:
        """Sign access tokens with a new key; a running server follows within a second. Returns the key's id.

        Raises:
            UsageError: `secret_key_given` where the key comes from the environment.
        """
        kid = self.signing.rotate()
        async with self._database.begin() as connection:
            await self.changes.mark(connection)
            self._recorder.by_actor("signing_key_rotated", by, kid=kid)
        await self.changes.made()
        return kid

    async def _same(self, principal: Principal, password: object, client: Client) -> tuple[User, str]:
        try:
            return (await self._known(principal.user.username, password, client))[:2]
        except AccessError:
            raise password_wrong() from None

    async def _known(self, username: object, password: object, client: Client) -> tuple[User, str, str | None]:
        """The user of a name and a password with the hash it was compared with, and one to put in its place; after the
        same work whatever is wrong."""
        try:
            name = read_username(username)
        except UsageError:
            name = ""
        async with self._database.begin() as connection:
            row = (await connection.execute(select(users).where(users.c.username == name))).first() if name else None
        right, renewed = await self._passwords.verify(password, None if row is None else row.password_hash)
        if row is None or not right or row.disabled:
            raise self._failed(client, name, None if row is None else row.id)
        return user_of(row), row.password_hash, renewed

    def _failed(self, client: Client, name: str, user_id: str | None) -> AccessError:
        self._recorder.failure("login_failed", client, user=name, user_id=user_id)
        return AccessError("login_failed", "The name or the password is wrong.", "Check both and try again.")

    async def _second(self, user: User, totp: object, client: Client) -> None:
        try:
            await self.second_factor.verify(user, totp, client)
        except AccessError as error:
            self._recorder.failure("login_failed", client, user=user.username, user_id=user.id, reason=error.code)
            raise

    async def _reload(self) -> None:
        self.signing.reload()
