"""One request at the endpoint, handed to the SDK's application and its answer handed back as an answer of ours.

So the guard stands in front of it and every header of ours is on what comes out, whichever status it has. Whoever hangs
up, or may not be here any more, takes with them what was begun for them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from quart import Response

from toolhost.accounts import Accounts, Principal
from toolhost.errors import AccessError
from toolhost.model import Actor
from toolhost.sandbox.uninterrupted import to_the_end
from toolhost.web.bodies import check_still_there
from toolhost.web.sockets import Sockets
from toolhost.web.staying import Stay

__all__ = ["VISIT", "Visit"]

VISIT = "toolhost.visit"
"""In the scope that the SDK's application gets: the visit, by which what it calls knows whose the request is."""

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
Value = TypeVar("Value")

_ORDER_SECONDS = 5.0

# What the answer's headers may say. Everything else is ours to say, or the server's own (lengths, connections).
_PASSED = frozenset({"content-type", "allow"})
# What says who somebody is has been read, and is of no use to anybody behind the door.
_KEPT_BACK = frozenset({b"authorization", b"cookie"})


class Visit:
    """A request and whoever sent it.

    Args:
        accounts: Who knows people.
        streams: The open streams of the server, of which it is one in the meantime.
        principal: Who sent it.
        actor: The same person for the host.
        origin: The server's own address, as the client wrote it.
        counted: Whether it was counted as one that makes a tool work.
        listens: Whether it only waits for news, for as long as its person may be here.

    Attributes:
        origin: As above.
        counted: As above.
        listens: As above.
    """

    def __init__(
        self,
        *,
        accounts: Accounts,
        streams: Sockets,
        principal: Principal,
        actor: Actor,
        origin: str,
        counted: bool,
        listens: bool,
    ) -> None:
        self._stay = Stay(accounts, principal, actor, self.close_with)
        self.origin = origin
        self.counted = counted
        self.listens = listens
        self._streams = streams
        self._closed = self._over = self._whole = False
        self._app: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[Any]] = set()
        self._pieces: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(1)  # whoever reads slowly is waited for
        self._look = time.monotonic() + self._stay.patience

    @property
    def actor(self) -> Actor:
        """Who sent it, as they are now."""
        return self._stay.actor

    async def through(self, app: Asgi, scope: Mapping[str, Any], body: bytes) -> Response:
        """Have the request answered.

        Args:
            app: The SDK's application.
            scope: The request's.
            body: All of it.

        Returns:
            The whole answer; or, where the application does not send it in one piece, one that streams.

        Raises:
            AccessError: `not_authenticated`, where their session or key ended meanwhile.
        """
        check_still_there()
        connection = asyncio.current_task()
        assert connection is not None
        connection.add_done_callback(lambda done: self.cut())  # also where nobody came to read the answer
        told = [pair for pair in scope["headers"] if pair[0].lower() not in _KEPT_BACK]
        if not any(name.lower() == b"accept" for name, _ in told):
            told.append((b"accept", b"*/*"))  # who says nothing takes anything
        given = {**scope, "headers": told, VISIT: self}
        self._app = asyncio.create_task(self._run(app, given, body), name="mcp")
        self._streams.add(self)
        streams = False
        try:
            start = await self._next()
            first = None if start is None else await self._next()
            if start is None or first is None:
                raise self._broken()
            streams = not self._whole
            piece, headers = first.get("body", b""), _headers(start["headers"])
            if not streams:
                whole = Response(piece, start["status"], headers)
                if not piece:
                    del whole.headers["Content-Type"]  # of nothing
                return whole
            response = Response(self._rest(piece), start["status"], headers)
            response.timeout = None  # a call takes as long as it takes
            response.headers["X-Accel-Buffering"] = "no"
            return response
        finally:
            if not streams:
                await self.end()

    async def own(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Do something of this request's in a task of its own.

        What is cut off by the SDK is cancelled over and over until it is out; the host ends a call by one cancellation,
        and has to kill and to record after it.
        """
        if self._over:  # begun behind the back of whoever has left meanwhile
            work.close()
            raise asyncio.CancelledError
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    def cut(self) -> None:
        """Begin to end, if it has not begun: nobody is there any more."""
        if not self._over:  # once: what is cancelled has something to put in order
            self._over = True
            self._streams.remove(self)
            for task in self._tasks():
                task.cancel()

    async def end(self) -> None:
        """End, and with it what was begun."""
        if self._whole:  # all was said: the application only puts itself in order
            await self._in_order()
        self.cut()
        left = self._tasks()
        if left and await to_the_end(asyncio.gather(*left, return_exceptions=True)):
            raise asyncio.CancelledError

    # As one of the server's open streams

    async def recheck(self) -> None:
        """Ask again whose this is."""
        await self._stay.recheck()

    def tell(self, kind: str, user_id: str | None = None) -> None:
        """The SDK has its own news."""

    def tell_in(self, user_id: str, conversation_id: str, kind: str, **fields: Any) -> None:
        """Likewise."""

    def close_with(self, code: int) -> None:
        """They may not be here any more."""
        self._closed = True
        self.cut()

    # The inside

    async def _run(self, app: Asgi, scope: Mapping[str, Any], body: bytes) -> None:
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Mapping[str, Any]:
            if not unread:
                await asyncio.Event().wait()  # for good: whoever hangs up has this cancelled
            return unread.pop()

        await app(scope, receive, self._pieces.put)

    async def _next(self) -> Mapping[str, Any] | None:
        """The next piece of the answer; None where there is none."""
        assert self._app is not None
        getting = asyncio.create_task(self._pieces.get())
        try:
            while not getting.done() and not (self._app.done() and self._pieces.empty()):
                rest = max(0.0, self._look - time.monotonic()) if self.listens else None
                await asyncio.wait((getting, self._app), timeout=rest, return_when=asyncio.FIRST_COMPLETED)
                if self.listens and time.monotonic() >= self._look:
                    await self.recheck()
                    self._look = time.monotonic() + self._stay.patience
            if not getting.done():
                return None
            message = getting.result()
            self._whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            return message
        finally:
            getting.cancel()

    async def _rest(self, piece: bytes) -> AsyncIterator[bytes]:
        try:
            yield piece
            while not self._whole and (message := await self._next()) is not None:
                yield message.get("body", b"")
        finally:
            await self.end()

    async def _in_order(self) -> None:
        if tasks := self._tasks():
            await asyncio.wait(tasks, timeout=_ORDER_SECONDS)

    def _tasks(self) -> set[asyncio.Task[Any]]:
        """What is still under way."""
        return {task for task in (*self._work, self._app) if task is not None and not task.done()}

    def _broken(self) -> Exception:
        if self._closed:
            return AccessError(
                "not_authenticated",
                "The session or key of this request has ended, or its address was blocked.",
                "Sign in again, or use another key.",
            )
        assert self._app is not None
        failure = None if self._app.cancelled() else self._app.exception()
        return failure if isinstance(failure, Exception) else RuntimeError("the MCP application gave no answer")


def _headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}
    return {name: value for name, value in named.items() if name in _PASSED}
