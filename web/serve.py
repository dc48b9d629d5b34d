"""Serving the application with Hypercorn until it is told to stop, and ending in order."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import hypercorn.asyncio
from hypercorn.config import Config
from hypercorn.logging import Logger
from quart import Quart

from toolhost import metrics
from toolhost.web.site import EXTENSION, Site

__all__ = ["LARGEST_FRAME", "serve"]

LARGEST_FRAME = 1 << 20
"""Bytes of one WebSocket message from a client; a larger one closes the socket with 1009."""

_GRACE_SECONDS = 3.0
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})


class _AccessLog(Logger):
    """One entry a request: no query, no header, no body, so no secret; and no line that a path could forge."""

    async def access(self, request: Any, response: Any, request_time: float) -> None:
        """Log one request."""
        if self.access_logger is None:
            return
        peer = request.get("client")
        method = request.get("method", "WEBSOCKET")
        status = None if response is None else response["status"]
        metrics.REQUESTS.inc(method=method if method in _METHODS else "other", status=str(status or "none"))
        line = {
            "ip": peer[0] if peer else None,
            "method": method,
            "path": request["path"][:200],
            "status": status,
            "ms": round(request_time * 1000, 1),
        }
        self.access_logger.info("request", extra=line)


async def serve(
    app: Quart,
    listener: socket.socket,
    stopped: asyncio.Event,
    *,
    certfile: Path | None = None,
    keyfile: Path | None = None,
) -> None:
    """Serve on a listening socket until `stopped` is set; then end the runs, close the sockets, and return.

    Args:
        app: From `create_app`.
        listener: Bound and listening.
        stopped: Set by whoever handles the signals.
        certfile: Certificate chain, for TLS.
        keyfile: Its private key.
    """
    parts: Site = app.extensions[EXTENSION]

    async def stop() -> None:
        await stopped.wait()
        # Before Hypercorn's own wait: a socket that nobody closes would keep it for its whole grace period.
        parts.messages.close()
        await parts.runs.close()
        parts.sockets.close()

    config = Config()
    # A copy: Hypercorn closes what it is given, and the listener is the caller's.
    config.bind = [f"fd://{listener.dup().detach()}"]
    if certfile is not None and keyfile is not None:
        config.certfile, config.keyfile = str(certfile), str(keyfile)
    config.include_server_header = False
    config.websocket_max_message_size = LARGEST_FRAME
    # No pings of Hypercorn's: their task outlives its socket and holds up the end. The page sends its own.
    config.graceful_timeout = _GRACE_SECONDS
    config.h11_max_incomplete_size = 32 * 1024
    config.logger_class = _AccessLog
    # What is not a name of ours would get a handler of Hypercorn's; these go where everything is logged.
    config.accesslog = logging.getLogger("toolhost.access")
    config.errorlog = logging.getLogger("toolhost.server")
    await parts.messages.restore()
    # Beside the first requests: the library takes seconds, and whoever does not talk to a model need not wait for it.
    loading = asyncio.create_task(parts.models.start(), name="models")
    try:
        await hypercorn.asyncio.serve(app, config, shutdown_trigger=stop)
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
