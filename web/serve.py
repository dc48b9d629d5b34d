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
from hypercorn.protocol.h11 import H11Protocol
from quart import Quart

from toolhost import metrics
from toolhost.web.site import EXTENSION, Site

__all__ = ["LARGEST_FRAME", "serve"]

LARGEST_FRAME = 1 << 20
"""Bytes of one WebSocket message from a client; a larger one closes the socket with 1009."""

_log = logging.getLogger("toolhost.server")

_GRACE_SECONDS = 3.0
_INSIDE_SECONDS = 10.0  # what the application itself ends; it waits for nobody outside
_INSISTING = 4  # times
_AGAIN_SECONDS = 0.5
_CONNECTION = "_server_callback"  # in the name of what serves one, which Hypercorn keeps to itself
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


async def _stay(self: H11Protocol, event: Any) -> None:
    """Speak HTTP/1.1 to the end of a connection in clear, whatever is asked for.

    A proxy that passes `Upgrade` on, as it has to for WebSockets, sees nothing of what is said in HTTP/2 after. A
    client could write the headers there that only the proxy may, with any address and any person in them.
    """


H11Protocol._check_protocol = _stay  # type: ignore[method-assign]  # noqa: SLF001 - it has no setting for that


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

    closing = asyncio.Event()

    async def stop() -> None:
        await stopped.wait()
        # Before Hypercorn's own wait: a socket that nobody closes would keep it for its whole grace period.
        parts.messages.close()
        parts.mcp.close()
        await parts.runs.close()
        parts.sockets.close()
        closing.set()

    config = Config()
    # A copy: Hypercorn closes what it is given, and the listener is the caller's.
    config.bind = [f"fd://{listener.dup().detach()}"]
    if certfile is not None and keyfile is not None:
        config.certfile, config.keyfile = str(certfile), str(keyfile)
    config.include_server_header = False
    config.websocket_max_message_size = LARGEST_FRAME
    # No pings of Hypercorn's: their task outlives its socket and holds up the end. The page sends its own.
    config.graceful_timeout = _GRACE_SECONDS
    config.shutdown_timeout = _INSIDE_SECONDS
    config.h11_max_incomplete_size = 32 * 1024
    config.logger_class = _AccessLog
    # What is not a name of ours would get a handler of Hypercorn's; these go where everything is logged.
    config.accesslog = logging.getLogger("toolhost.access")
    config.errorlog = logging.getLogger("toolhost.server")
    await parts.messages.restore()
    # Beside the first requests: the library takes seconds, and whoever does not talk to a model need not wait for it.
    loading = asyncio.create_task(parts.models.start(), name="models")
    serving = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop), name="serving")
    closed = asyncio.create_task(closing.wait(), name="closing")
    try:
        await asyncio.wait((serving, closed), return_when=asyncio.FIRST_COMPLETED)
        await _end(serving)
    finally:
        closed.cancel()
        serving.cancel()  # where this was cancelled itself
        loading.cancel()
        await asyncio.gather(closed, loading, return_exceptions=True)


async def _end(serving: asyncio.Task[None]) -> None:
    """Wait for Hypercorn's end, and for no connection longer than its grace.

    Hypercorn waits until what it has sent is read, and takes one cancellation for the wish to do that: somebody who
    reads nothing could keep a server from ending.
    """
    await asyncio.wait((serving,), timeout=2 * _GRACE_SECONDS)
    for _ in range(_INSISTING):
        if serving.done():
            break
        kept = [task for task in asyncio.all_tasks() if _CONNECTION in getattr(task.get_coro(), "__qualname__", "")]
        _log.warning("%d connections are cut: what was sent to them is not read", len(kept))
        for task in kept:
            task.cancel()
        await asyncio.wait((serving,), timeout=_AGAIN_SECONDS)
    if not serving.done():
        _log.error("Hypercorn did not end; the server ends without it")
        serving.cancel()
        return
    serving.result()
