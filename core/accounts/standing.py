"""Whether what somebody began may go on: what was decided once holds only while they may still be here."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Literal

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from toolhost.accounts.blocks import contains, holds
from toolhost.identifiers import now_ms
from toolhost.model import Actor
from toolhost.settings import Network
from toolhost.storage import Database
from toolhost.storage.tables import api_keys, blocks, sessions, users

__all__ = ["Standing", "Withdrawal"]

Withdrawal = Literal["disabled", "session", "key", "address"]
"""What was taken from somebody: their account, the session or the key they came by, their address."""


class Standing:
    """Looks in the database, since another process may have changed it.

    Args:
        database: The host's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def withdrawn(self, actors: Collection[Actor], *, logouts: bool = False) -> dict[Actor, Withdrawal]:
        """Those whose calls and runs may not go on, and why.

        Args:
            actors: Who began something, as they were then.
            logouts: Whether a session that its own person has left counts too.
        """
        if not actors:
            return {}
        people = {actor.user_id for actor in actors}
        opened = {actor.session_id for actor in actors if actor.session_id is not None}
        keys = {actor.key_id for actor in actors if actor.key_id is not None}
        left = sessions.c.revoked.is_(True) if logouts else sessions.c.revoked.is_(True) & ~sessions.c.logged_out
        over = or_(api_keys.c.revoked.is_not(None), api_keys.c.expires <= now_ms())
        async with self._database.begin() as connection:
            gone: Mapping[Withdrawal, Collection[str]] = {
                "disabled": await _found(connection, users.c.id, people, users.c.disabled.is_(True)),
                "session": await _found(connection, sessions.c.id, opened, left),
                "key": await _found(connection, api_keys.c.id, keys, over),
            }
            named = [actor.ip for actor in actors if actor.ip is not None]
            networks = [_parsed(text) for text in await _blocked(connection)] if named else []
        shut = {ip for ip in named if any(contains(network, ip) for network in networks)}
        found: dict[Actor, Withdrawal] = {}
        for actor in actors:
            if actor.user_id in gone["disabled"]:
                found[actor] = "disabled"
            elif actor.session_id in gone["session"]:
                found[actor] = "session"
            elif actor.key_id in gone["key"]:
                found[actor] = "key"
            elif actor.ip in shut:
                found[actor] = "address"
        return found


async def _found(
    connection: AsyncConnection, column: ColumnElement[str], names: Collection[str], condition: ColumnElement[bool]
) -> set[str]:
    if not names:
        return set()
    return set((await connection.execute(select(column).where(column.in_(names), condition))).scalars())


async def _blocked(connection: AsyncConnection) -> list[str]:
    return list((await connection.execute(select(blocks.c.network).where(holds()))).scalars())


@lru_cache(maxsize=4096)
def _parsed(network: str) -> Network:
    return ipaddress.ip_network(network)
