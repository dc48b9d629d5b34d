"""Where a request really came from, when it came through a proxy that the settings trust."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from toolhost.accounts.blocks import contains
from toolhost.settings import Network

__all__ = ["PEER", "Forwarded"]

PEER = "toolhost.peer"
"""In a connection's scope: the address it comes from, and whether that is a trusted proxy's."""

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Forwarded:
    """Puts the client's address and scheme in the place of a trusted proxy's; believes nobody else.

    Args:
        app: The application.
        trusted: The proxies' addresses.
    """

    def __init__(self, app: Asgi, trusted: Iterable[Network]) -> None:
        self._app = app
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection. The scope is changed in place: the server's access log reads it too."""
        peer = scope.get("client")
        scope[PEER] = ("", False) if peer is None else (peer[0], self._trusts(peer[0]))
        if self._trusted and peer is not None and self._trusts(peer[0]):
            headers = scope["headers"]
            client = self._client(_joined(headers, b"x-forwarded-for"))
            if client is not None:
                scope["client"] = (client, 0)
            scheme = _joined(headers, b"x-forwarded-proto").rpartition(",")[2].strip().lower()
            if scheme in ("http", "https"):
                secure = scheme == "https"
                scope["scheme"] = ("wss" if secure else "ws") if scope["type"] == "websocket" else scheme
        await self._app(scope, receive, send)

    def _client(self, header: str) -> str | None:
        """The nearest address that is no trusted proxy: what stands left of it anybody can write."""
        found = None
        for part in reversed(header.split(",")):
            address = part.strip().removeprefix("[").partition("]")[0]
            if address.count(":") == 1:  # some proxies add the port
                address = address.partition(":")[0]
            try:
                found = str(ipaddress.ip_address(address))
            except ValueError:
                return found
            if not self._trusts(found):
                return found
        return found

    def _trusts(self, address: str) -> bool:
        # A socket for both kinds of addresses has a proxy's IPv4 one as IPv6.
        return any(contains(network, address) for network in self._trusted)


def _joined(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    """Every header of this name, in order, as one list."""
    return ",".join(value.decode("latin-1") for key, value in headers if key.lower() == name)
