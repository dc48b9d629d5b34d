"""The open WebSockets, so that the end of a session or of the server can close them."""

from __future__ import annotations

from typing import Protocol

__all__ = ["GOING_AWAY", "UNAUTHENTICATED", "Sockets"]

GOING_AWAY = 1001
UNAUTHENTICATED = 4401


class Closable(Protocol):
    """Something with a session that can be told to close."""

    @property
    def session_id(self) -> str:
        """The session it was opened in."""
        ...

    def close_with(self, code: int) -> None:
        """Begin to close."""
        ...


class Sockets:
    """The open WebSockets of one server."""

    def __init__(self) -> None:
        self._open: set[Closable] = set()

    def add(self, socket: Closable) -> None:
        """Keep a socket in mind."""
        self._open.add(socket)

    def remove(self, socket: Closable) -> None:
        """Forget a socket."""
        self._open.discard(socket)

    def end_session(self, session_id: str) -> None:
        """Close what was opened in a session that has ended."""
        for socket in tuple(self._open):
            if socket.session_id == session_id:
                socket.close_with(UNAUTHENTICATED)

    def close(self) -> None:
        """Close all: the server is going."""
        for socket in tuple(self._open):
            socket.close_with(GOING_AWAY)
