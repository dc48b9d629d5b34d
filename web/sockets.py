"""The open WebSockets and streams, so that the end of a session or of the server can close them."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["GOING_AWAY", "NOT_ALLOWED", "UNAUTHENTICATED", "Sockets"]

GOING_AWAY = 1001
NOT_ALLOWED = 1008
"""Too many messages, or an address that was blocked."""

UNAUTHENTICATED = 4401


class Closable(Protocol):
    """Something of somebody's that can be told to close."""

    async def recheck(self) -> None:
        """Ask again whether its person may be here."""
        ...

    def tell(self, kind: str, user_id: str | None = None) -> None:
        """Send an event that is no run's; where it is one person's, only to them."""
        ...

    def tell_in(self, user_id: str, conversation_id: str, kind: str, **fields: Any) -> None:
        """The same, where it follows a conversation of this person's."""
        ...

    def close_with(self, code: int) -> None:
        """Begin to close."""
        ...


class Sockets:
    """The open connections of one kind."""

    def __init__(self) -> None:
        self._open: set[Closable] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, socket: Closable) -> None:
        """Keep one in mind."""
        self._open.add(socket)

    def remove(self, socket: Closable) -> None:
        """Forget one."""
        self._open.discard(socket)

    async def recheck(self) -> None:
        """Close what belongs to a session or a key that has ended, and let the others know what they may do now."""
        for socket in tuple(self._open):
            await socket.recheck()

    def tell(self, kind: str, user_id: str | None = None) -> None:
        """Send an event that is no run's to everybody, or to one person."""
        for socket in tuple(self._open):
            socket.tell(kind, user_id)

    def tell_in(self, user_id: str, conversation_id: str, kind: str, **fields: Any) -> None:
        """Send an event that is no run's to whoever follows a conversation."""
        for socket in tuple(self._open):
            socket.tell_in(user_id, conversation_id, kind, **fields)

    def close(self) -> None:
        """Close all: the server is going."""
        for socket in tuple(self._open):
            socket.close_with(GOING_AWAY)
