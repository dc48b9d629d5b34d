"""Somebody who stays connected: asked again who they are whenever that may have changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from toolhost.accounts import Accounts, Principal
from toolhost.errors import AccessError
from toolhost.model import Actor
from toolhost.web.sockets import NOT_ALLOWED, UNAUTHENTICATED

__all__ = ["RECHECK_SECONDS", "Stay"]

RECHECK_SECONDS = 15.0
"""Somebody is asked again at least this often, and when their token runs out."""

_SHORTEST = 0.1  # seconds between two looks


class Stay:
    """One connection's person.

    Args:
        accounts: Who knows.
        principal: Who they were when they came.
        actor: The same person for the host.
        close: Told that they may not stay, with a WebSocket's code for why.

    Attributes:
        actor: Who they are now.
    """

    def __init__(self, accounts: Accounts, principal: Principal, actor: Actor, close: Callable[[int], None]) -> None:
        self._accounts = accounts
        self._principal = principal
        self.actor = actor
        self._close = close

    async def recheck(self) -> None:
        """Ask again: their session may have ended, their address be blocked, or their role be another one."""
        if await self._accounts.blocks.blocked(self.actor.ip):
            self._close(NOT_ALLOWED)
            return
        try:
            self._principal = await self._accounts.check(self._principal)
        except AccessError:
            self._close(UNAUTHENTICATED)
            return
        user = self._principal.user
        self.actor = replace(self.actor, role=user.role, username=user.username, scopes=self._principal.scopes)

    @property
    def patience(self) -> float:
        """Seconds until they have to be asked again, whatever happens."""
        expires = self._principal.expires
        left = RECHECK_SECONDS if expires is None else expires - time.time()
        return min(RECHECK_SECONDS, max(_SHORTEST, left))
