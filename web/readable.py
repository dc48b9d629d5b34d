"""What Quart reads of a request before it asks anybody, put so that it can.

What it cannot read would be answered by Hypercorn: without our headers, counted by no limit, for a blocked address too,
and with a traceback in the log each time.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Readable"]

_NOT_ASCII = re.compile(rb"[^\x00-\x7f]")

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Readable:
    """Gives every request an address that can be read; one that is nobody's is refused further inside.

    Args:
        app: The application.
    """

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection. The scope is changed in place: the server's access log reads it too."""
        if scope["type"] in ("http", "websocket"):
            scope["path"] = _path(scope["path"])
            # HTTP/2 brings bytes that HTTP/1.1 refuses.
            scope["query_string"] = _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], scope["query_string"])
            scope["headers"] = [
                (name, b"" if name.lower() == b"host" and not _is_name(value) else value)
                for name, value in scope["headers"]
            ]
        await self._app(scope, receive, send)


def _path(target: str) -> str:
    """The path of a target, which may be a whole address, or nothing."""
    if target.startswith("/"):
        return target
    try:
        path = urlsplit(target).path
    except ValueError:
        path = target
    return "/" + path.removeprefix("/")


def _is_name(host: bytes) -> bool:
    """Whether a Host header can be looked at; whether it is a name of ours is asked later."""
    try:
        host.decode("latin-1").lower().partition(":")[0].encode("idna")
    except UnicodeError:
        return False
    return True
