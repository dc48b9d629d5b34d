"""Carrying one connection of a sandbox through the egress broker: reading what it asks for, and moving its bytes.

A CONNECT becomes a tunnel to the one address that was dialled for it. A plain request is read as HTTP, written anew for
the host that was judged, and is the only one of its connection: what a client sends after it is never looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

import h11

from toolhost.sandbox.destinations import EgressRefused, parse_authority

__all__ = ["Dial", "Link", "carry", "refuse", "reset"]

_CHUNK = 64 * 1024
_HEADERS = 16 * 1024
_HEADER_SECONDS = 10.0
_PARTING_SECONDS = 1.0
_PARTING = 1 << 20
_ABSOLUTE = re.compile(r"http://([^/?#]+)([^#]*)", re.IGNORECASE)
# RFC 9110, 7.6.1. Transfer-Encoding stays: h11 frames by it. `expect` is answered here.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    }
)

_Headers = Iterable[tuple[bytes, bytes]]


@dataclass(slots=True)
class Link:
    """What is known of a connection so far.

    Attributes:
        meter: Told of every byte that is about to be passed on; raises where the call has had its share.
        host: As it was asked for; unread text where it could not be read.
        port: The port; 0 where it could not be read.
        address: The address that was dialled, or None.
        sent: Bytes that left.
        received: Bytes that came.
        answered: Whether an answer is under way, so that a refusal can only break it off.
    """

    meter: Callable[[int], None]
    host: str = ""
    port: int = 0
    address: str | None = None
    sent: int = 0
    received: int = 0
    answered: bool = False

    def out(self, size: int) -> None:
        """Count bytes on their way out."""
        self.meter(size)
        self.sent += size

    def back(self, size: int) -> None:
        """Count bytes on their way in."""
        self.meter(size)
        self.received += size


Dial = Callable[[Link], Awaitable[socket.socket]]
"""Judge the destination of a link and connect to it."""


async def carry(inside: socket.socket, link: Link, dial: Dial) -> None:
    """Serve one connection that comes from a sandbox.

    Args:
        inside: The connection, non-blocking.
        link: Filled in on the way.
        dial: Connects outwards.

    Raises:
        EgressRefused: What is asked for may not be had.
        h11.RemoteProtocolError: What is asked is not HTTP.
        OSError: A connection could not be made, or broke.
        TimeoutError: No request came.
    """
    client = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEADERS)
    async with asyncio.timeout(_HEADER_SECONDS):
        request = await _event(client, inside)
    if not isinstance(request, h11.Request):
        raise EgressRefused("proxy_request_invalid", "Nothing was asked.")
    target = request.target.decode("ascii")
    link.host = target[:253]
    if request.method == b"CONNECT":
        link.host, link.port = parse_authority(target)
        with contextlib.closing(await dial(link)) as outside:
            link.answered = True
            await _send(inside, b"HTTP/1.1 200 Connection established\r\n\r\n")
            early, _ = client.trailing_data
            await _tunnel(inside, outside, link, early)
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise EgressRefused("proxy_request_invalid", "A proxy is asked by CONNECT, or with a whole http:// address.")
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}:
        raise EgressRefused("proxy_request_invalid", "The request says in two ways where it ends.")
    link.host, link.port = parse_authority(absolute[1], 80)
    path = absolute[2] if absolute[2].startswith("/") else f"/{absolute[2]}"
    with contextlib.closing(await dial(link)) as outside:
        await _exchange(client, _rewritten(request, link, path), inside, outside, link)


async def refuse(inside: socket.socket, link: Link, status: int, code: str, message: str) -> None:
    """Tell the client why, unless an answer is under way already.

    Args:
        inside: The client's connection.
        link: What is known of it.
        status: HTTP status.
        code: Stable code, also in a `Proxy-Status` header (RFC 9209).
        message: One sentence.
    """
    if link.answered:
        return
    body = message.encode("ascii", "backslashreplace") + b"\n"
    head = (
        f"HTTP/1.1 {status} {code}\r\n"
        f'Proxy-Status: toolhost; error=http_request_denied; details="{code}"\r\n'
        f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with contextlib.suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(_PARTING_SECONDS):
            await _send(inside, head.encode() + body)
            inside.shutdown(socket.SHUT_WR)
            # Closed with unread data in it, the connection would be reset and the answer lost on its way.
            left = _PARTING
            while left > 0 and (data := await _receive(inside)):
                left -= len(data)


def reset(connection: socket.socket) -> None:
    """Have a connection break off when it is closed: a clean end would look like a whole answer."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _tunnel(inside: socket.socket, outside: socket.socket, link: Link, early: bytes) -> None:
    async def pump(source: socket.socket, sink: socket.socket, count: Callable[[int], None], data: bytes) -> None:
        data = data or await _receive(source)
        while data:
            count(len(data))
            await _send(sink, data)
            data = await _receive(source)
        with contextlib.suppress(OSError):  # the other side is gone altogether
            sink.shutdown(socket.SHUT_WR)

    await _both(pump(inside, outside, link.out, early), pump(outside, inside, link.back, b""))


async def _both(*parts: Coroutine[Any, Any, None]) -> None:
    """Run parts to their end; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _rewritten(request: h11.Request, link: Link, path: str) -> h11.Request:
    """The request as the judged host gets it: its own name as Host, and the connection's headers as ours."""
    name = f"[{link.host}]" if ":" in link.host else link.host
    host = name if link.port == 80 else f"{name}:{link.port}"
    kept = [(name, value) for name, value in _end_to_end(request.headers) if name != b"host"]
    return h11.Request(
        method=request.method,
        target=path,
        headers=[(b"host", host.encode()), (b"connection", b"close"), *kept],
    )


async def _exchange(
    client: h11.Connection, request: h11.Request, inside: socket.socket, outside: socket.socket, link: Link
) -> None:
    """Carry one plain request and its answer. The answer may come before the request is sent to its end."""
    server = h11.Connection(h11.CLIENT, max_incomplete_event_size=4 * _HEADERS)
    if client.they_are_waiting_for_100_continue:
        await _send(inside, client.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
    upload = asyncio.ensure_future(_upload(client, server, request, inside, outside, link))
    download = asyncio.ensure_future(_download(client, server, inside, outside, link))
    try:
        done, _ = await asyncio.wait((upload, download), return_when=asyncio.FIRST_COMPLETED)
        if upload in done:
            upload.result()
        await download
    finally:
        for part in (upload, download):
            part.cancel()
        await asyncio.gather(upload, download, return_exceptions=True)


async def _upload(
    client: h11.Connection,
    server: h11.Connection,
    request: h11.Request,
    inside: socket.socket,
    outside: socket.socket,
    link: Link,
) -> None:
    event: h11.Event = request
    while True:
        data = server.send(event) or b""
        link.out(len(data))
        try:
            await _send(outside, data)
        except OSError:
            return  # the server wants no more of it; what it answers says why
        if isinstance(event, h11.EndOfMessage):
            return
        event = await _event(client, inside)


async def _download(
    client: h11.Connection, server: h11.Connection, inside: socket.socket, outside: socket.socket, link: Link
) -> None:
    while True:
        try:
            event = await _event(server, outside)
            if isinstance(event, h11.Response):
                event = h11.Response(
                    status_code=event.status_code,
                    reason=event.reason,
                    headers=[*_end_to_end(event.headers), (b"connection", b"close")],
                )
            data = client.send(event) or b""
        except h11.ProtocolError as error:
            raise EgressRefused("bad_response", f"{link.host} did not answer in HTTP: {error}.") from None
        link.back(len(data))
        link.answered = True
        await _send(inside, data)
        if isinstance(event, h11.EndOfMessage):
            return


def _end_to_end(headers: _Headers) -> list[tuple[bytes, bytes]]:
    """Without the headers that mean this connection only, the ones it names itself among them."""
    listed = list(headers)
    named = {
        word.strip().lower() for name, value in listed if name.lower() == b"connection" for word in value.split(b",")
    }
    # Content-Length and Transfer-Encoding frame the message whatever a connection says of them.
    dropped = _HOP_BY_HOP | (named - {b"content-length", b"transfer-encoding", b"host"})
    return [(name, value) for name, value in listed if name.lower() not in dropped]


async def _event(connection: h11.Connection, source: socket.socket) -> h11.Event:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await _receive(source))
        elif isinstance(event, h11.ConnectionClosed):
            if connection.our_role is h11.SERVER:
                return event
            raise ConnectionResetError("closed before it answered")
        elif isinstance(event, h11.Event):
            return event
        else:
            raise ConnectionResetError("closed in the middle")


async def _receive(source: socket.socket) -> bytes:
    # asyncio returns at once where there is data, so a fast connection would keep the loop for itself.
    await asyncio.sleep(0)
    return await asyncio.get_running_loop().sock_recv(source, _CHUNK)


async def _send(sink: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sink, data)
