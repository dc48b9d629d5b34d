"""Looking names up for the egress broker, without letting a slow name server hold anything else up.

`getaddrinfo` blocks and cannot be interrupted. In the event loop's own pool of threads a sandbox that asks for slow
names would stop everything else that uses the pool, so each lookup has a thread of its own, bounded for all calls
together and for each one; a lookup that is given up keeps its place until it really ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Resolve", "Resolver"]

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and a port to addresses, the best first. Raises OSError where there is none."""

_ALL = 16
_EACH = 2


class Resolver:
    """The lookups of one host process."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_ALL)

    def for_call(self) -> Resolve:
        """Lookups for one call: a few at once, so that no call takes every place."""
        own = asyncio.Semaphore(_EACH)

        async def resolve(host: str, port: int) -> Sequence[str]:
            with contextlib.ExitStack() as places:
                for each in (own, self._places):
                    await each.acquire()
                    places.callback(each.release)
                looking = _look_up(host, port, places.pop_all().close)
            return await looking

        return resolve


def _look_up(host: str, port: int, ended: Callable[[], object]) -> asyncio.Future[Sequence[str]]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Sequence[str]] = loop.create_future()

    def settle(found: Sequence[str], error: OSError | None) -> None:
        ended()
        if future.done():
            return
        if error is None:
            future.set_result(found)
        else:
            future.set_exception(error)

    def look() -> None:
        found: Sequence[str] = ()
        failure: OSError | None = None
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))
        except OSError as error:
            failure = error
        except UnicodeError as error:  # a label that IDNA cannot encode
            failure = OSError(str(error))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, found, failure)

    try:
        threading.Thread(target=look, name="toolhost-resolve", daemon=True).start()
    except RuntimeError as error:  # the system has no thread to give
        settle((), OSError(str(error)))
    return future
