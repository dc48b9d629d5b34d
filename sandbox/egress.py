"""The egress broker: a forward proxy in the host for one call, the only way out of its sandbox.

The spawner makes the call a network namespace without a route, listens on 127.0.0.1:3128 in it and hands the listening
socket out. Nothing of ours runs inside, and no name is looked up there. For each connection the broker reads what is
asked, judges it by the plan's rules, resolves the name once, checks every address it has, and dials one of those it
checked: what a name means a moment later cannot matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import h11

from toolhost.sandbox.carrying import Link, carry, refuse, reset
from toolhost.sandbox.destinations import EgressRefused, check_address, is_allowed
from toolhost.sandbox.errors import PlanRefused
from toolhost.sandbox.resolver import Resolve, Resolver

__all__ = ["Connection", "EgressBroker", "EgressLimits", "OnConnection", "serving"]

_DIAL_SECONDS = 10.0
_ATTEMPTS = 4
_ADDRESSES = 64  # of one name; each is judged, and an answer has room for thousands
_RETRY_SECONDS = 0.1
_BURST = 32
_PACE_SECONDS = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressLimits:
    """What one call may use of the network.

    Attributes:
        bytes: In both directions together, over all connections.
        connections: Connections in all; the first one above it is refused, then nothing listens any more.
        at_once: Connections at a time; more wait.
        seconds: Life of one connection (the call's own `wall` limit ends all of them).
    """

    bytes: int = 64 << 20
    connections: int = 256
    at_once: int = 16
    seconds: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection of a sandbox, when it has ended.

    Attributes:
        host: As it was asked for; unread text where it could not be read.
        port: The port; 0 where it could not be read.
        address: The address that was dialled, or None.
        sent: Bytes that left.
        received: Bytes that came.
        code: `ok`, or why it was refused or cut.
        duration_ms: Milliseconds.
    """

    host: str
    port: int
    address: str | None
    sent: int
    received: int
    code: str
    duration_ms: float


OnConnection = Callable[[Connection], None]


def serving(
    listener: socket.socket | None, rules: tuple[str, ...], on_connection: OnConnection | None, resolver: Resolver
) -> contextlib.AbstractAsyncContextManager[None]:
    """Give a sandbox the network of its plan for as long as the context lasts; nothing where the plan has none.

    Args:
        listener: From the spawner; closed here.
        rules: The plan's.
        on_connection: Told of each connection when it has ended.
        resolver: Looks names up.

    Raises:
        PlanRefused: `network_not_recorded`.
        Exception: What `on_connection` raised.
    """
    return _serving(listener, rules, on_connection, resolver) if rules else contextlib.nullcontext()


@contextlib.asynccontextmanager
async def _serving(
    listener: socket.socket | None, rules: tuple[str, ...], on_connection: OnConnection | None, resolver: Resolver
) -> AsyncIterator[None]:
    if listener is None or on_connection is None:
        if listener is not None:
            listener.close()
        raise PlanRefused("network_not_recorded", "A call has a network only where somebody records its connections.")
    broker = EgressBroker(listener, rules, on_connection, resolve=resolver.for_call())
    try:
        yield
    finally:
        closing = asyncio.ensure_future(broker.close())
        cancelled = False
        while not closing.done():
            try:
                await asyncio.wait((closing,))
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError
    if broker.failure is not None:
        raise broker.failure


class EgressBroker:
    """Serves one call's listening socket.

    Args:
        listener: Listens already; the broker closes it.
        rules: The plan's.
        on_connection: Told of each connection when it has ended. If it raises, nothing is carried any more.
        resolve: Looks names up.
        check: Raises `EgressRefused` for an address that may not be dialled. Given only by tests, which have no
            public addresses.
        limits: Caps of the call.
    """

    def __init__(
        self,
        listener: socket.socket,
        rules: tuple[str, ...],
        on_connection: OnConnection,
        *,
        resolve: Resolve,
        check: Callable[[str], None] = check_address,
        limits: EgressLimits = EgressLimits(),
    ) -> None:
        self._listener = listener
        self._rules = rules
        self._on_connection = on_connection
        self._resolve = resolve
        self._check = check
        self._limits = limits
        self._bytes = 0
        self._open: set[asyncio.Task[str]] = set()
        self._failure: BaseException | None = None
        listener.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(), name="egress")

    async def close(self) -> None:
        """Cut every connection, tell of each, and stop listening. Safe to call twice."""
        tasks = (self._accepting, *self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()  # the task that does it may never have begun

    @property
    def failure(self) -> BaseException | None:
        """What `on_connection` raised, if it did."""
        return self._failure

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        places = asyncio.Semaphore(self._limits.at_once)
        taken = 0
        with self._listener:
            while taken <= self._limits.connections:
                await places.acquire()
                if taken > _BURST:
                    await asyncio.sleep(_PACE_SECONDS)  # a flood must not keep the loop from the host's other work
                try:
                    inside, _ = await loop.sock_accept(self._listener)
                except OSError:
                    places.release()
                    await asyncio.sleep(_RETRY_SECONDS)  # out of descriptors, most likely
                    continue
                taken += 1
                link = Link(self._meter)
                task = loop.create_task(self._serve(inside, link, too_many=taken > self._limits.connections))
                self._open.add(task)
                task.add_done_callback(functools.partial(self._ended, inside, link, time.monotonic()))
                task.add_done_callback(lambda _: places.release())

    async def _serve(self, inside: socket.socket, link: Link, *, too_many: bool) -> str:
        """Carry one connection; returns the code of its record."""
        try:
            if too_many:
                raise EgressRefused("too_many_connections", "This call has used up its connections.")
            async with asyncio.timeout(self._limits.seconds):
                await carry(inside, link, self._dial)
        except EgressRefused as refused:
            status, code, message = 403, refused.code, refused.message
        except TimeoutError:
            status, code, message = 504, "timeout", "The connection took too long."
        except OSError:
            code = "broken_off" if link.answered else "unreachable"
            status, message = 502, "The connection could not be made, or broke off."
        except h11.RemoteProtocolError as error:
            status, code, message = error.error_status_hint, "proxy_request_invalid", "This is not an HTTP request."
        else:
            return "ok"
        await refuse(inside, link, status, code, message)
        return code

    async def _dial(self, link: Link) -> socket.socket:
        """Judge the destination and connect to an address that was itself checked."""
        if not is_allowed(link.host, link.port, self._rules):
            raise EgressRefused("destination_not_allowed", f"The policy does not allow {link.host}:{link.port}.")
        async with asyncio.timeout(_DIAL_SECONDS):
            try:
                addresses = await self._resolve(link.host, link.port)
            except TimeoutError:
                raise
            except OSError:
                raise EgressRefused("unknown_host", f"{link.host} has no address.") from None
            if len(addresses) > _ADDRESSES:
                raise EgressRefused("too_many_addresses", f"{link.host} has more than {_ADDRESSES} addresses.")
            for address in addresses:
                self._check(address)
            return await self._reach(addresses[:_ATTEMPTS], link)

    async def _reach(self, addresses: Sequence[str], link: Link) -> socket.socket:
        failure: OSError = ConnectionRefusedError("no address")
        patience = _DIAL_SECONDS / max(1, len(addresses))  # one that never answers must not take the others' turn
        for address in addresses:
            link.address = address
            outside = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            try:
                outside.setblocking(False)
                outside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                async with asyncio.timeout(patience):
                    await asyncio.get_running_loop().sock_connect(outside, (address, link.port))
            except OSError as error:
                outside.close()
                failure = error
            except BaseException:
                outside.close()
                raise
            else:
                return outside
        raise failure

    def _meter(self, size: int) -> None:
        if self._failure is not None:
            raise EgressRefused("not_recorded", "The host cannot record what this call sends.")
        self._bytes += size
        if self._bytes > self._limits.bytes:
            raise EgressRefused("too_much_data", "This call has used up what it may send and receive.")

    def _ended(self, inside: socket.socket, link: Link, began: float, task: asyncio.Task[str]) -> None:
        self._open.discard(task)
        if task.cancelled():
            # The call's processes are gone, and with them their ends of the connections.
            code = "ok" if link.answered else "call_ended"
        elif task.exception() is not None:
            code, self._failure = "broker_failed", self._failure or task.exception()
        else:
            code = task.result()
        if code != "ok" and link.answered:
            reset(inside)
        inside.close()
        try:
            self._on_connection(
                Connection(
                    host=link.host,
                    port=link.port,
                    address=link.address,
                    sent=link.sent,
                    received=link.received,
                    code=code,
                    duration_ms=(time.monotonic() - began) * 1000,
                )
            )
        except Exception as error:
            self._failure = self._failure or error
        if self._failure is not None:
            for other in (self._accepting, *self._open):
                other.cancel()
