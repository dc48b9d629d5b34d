"""The broker by itself: real sockets on loopback, with a resolver and a check of addresses that belong to the test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from toolhost.sandbox.destinations import EgressRefused, check_address
from toolhost.sandbox.egress import Connection, EgressBroker, EgressLimits, serving
from toolhost.sandbox.errors import PlanRefused
from toolhost.sandbox.resolver import Resolver

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WITHIN = 20.0
DEFAULTS = EgressLimits()


def anywhere(_: str) -> None:
    """The check of tests, whose servers are all on loopback."""


class Bench:
    """A broker, what it recorded, and the names it knows."""

    def __init__(self) -> None:
        self.records: list[Connection] = []
        self.recorded = asyncio.Event()
        self.asked: list[str] = []
        self.names: dict[str, Sequence[str]] = {"ok.com": ["127.0.0.1"], "a.wild.org": ["127.0.0.1"]}
        self.address = ("", 0)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]

    def record(self, connection: Connection) -> None:
        self.records.append(connection)
        self.recorded.set()

    @contextlib.asynccontextmanager
    async def broker(
        self,
        *rules: str,
        check: Callable[[str], None] = anywhere,
        limits: EgressLimits = DEFAULTS,
        record: Callable[[Connection], None] | None = None,
    ) -> AsyncIterator[EgressBroker]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        broker = EgressBroker(listener, rules, record or self.record, resolve=self.resolve, check=check, limits=limits)
        try:
            yield broker
        finally:
            await broker.close()

    async def say(self, request: bytes) -> bytes:
        """Send bytes and read to the end."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(request)
            await writer.drain()
            with contextlib.suppress(ConnectionError):
                return await asyncio.wait_for(reader.read(), WITHIN)
            return b""
        finally:
            writer.close()

    async def last(self) -> Connection:
        """The record of the connection that has just ended."""
        await asyncio.wait_for(self.recorded.wait(), WITHIN)
        self.recorded.clear()
        return self.records[-1]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@contextlib.asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[int]:
    """A server on loopback; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await handler(reader, writer)
        finally:
            writer.close()

    served = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield served.sockets[0].getsockname()[1]
    finally:
        served.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def answering(body: bytes, seen: list[bytes] | None = None, head: bytes = b"") -> Handler:
    """An HTTP server that reads one request's head, answers and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(request)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (len(body), head) + body)
        await writer.drain()

    return handler


# -- tunnels -----------------------------------------------------------------------------------------------------------


async def test_a_tunnel_carries_bytes_both_ways_and_ends_with_its_ends(bench: Bench) -> None:
    async with server(echo) as port, bench.broker(f"ok.com:{port}"):
        reader, writer = await asyncio.open_connection(*bench.address)
        writer.write(b"CONNECT OK.com:%d HTTP/1.1\r\nHost: ok.com\r\n\r\nearly " % port)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
        writer.write(b"late")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), WITHIN) == b"early late"
        writer.close()
        record = await bench.last()
    assert (record.host, record.port, record.address) == ("ok.com", port, "127.0.0.1")
    assert (record.sent, record.received, record.code) == (10, 10, "ok")


async def test_a_client_of_http_1_0_gets_its_tunnel_too(bench: Bench) -> None:
    async with server(echo) as port, bench.broker(f"ok.com:{port}"):
        reader, writer = await asyncio.open_connection(*bench.address)
        writer.write(b"CONNECT ok.com:%d HTTP/1.0\r\n\r\nx" % port)
        writer.write_eof()
        assert (await asyncio.wait_for(reader.read(), WITHIN)).endswith(b"\r\n\r\nx")
        writer.close()


async def test_a_megabyte_passes_unchanged(bench: Bench) -> None:
    data = bytes(range(256)) * 8192
    async with server(echo) as port, bench.broker(f"ok.com:{port}"):
        reader, writer = await asyncio.open_connection(*bench.address)
        writer.write(b"CONNECT ok.com:%d HTTP/1.1\r\nHost: ok.com\r\n\r\n" % port)
        await reader.readuntil(b"\r\n\r\n")

        async def send() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        _, back = await asyncio.gather(send(), asyncio.wait_for(reader.read(), WITHIN))
        writer.close()
        assert back == data


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("evil.com:443", "destination_not_allowed"),
        ("ok.com:444", "destination_not_allowed"),
        ("user@ok.com:443", "bad_host"),
        ("2852039166:443", "bad_host"),
        ("169.254.169.254:443", "destination_not_allowed"),
        ("[::1]:443", "destination_not_allowed"),
        ("ok.com", "bad_host"),
        ("https://ok.com:443", "bad_host"),
    ],
)
async def test_a_connect_elsewhere_is_refused_before_any_name_is_looked_up(
    bench: Bench, target: str, code: str
) -> None:
    async with bench.broker("ok.com:443"):
        answer = await bench.say(f"CONNECT {target} HTTP/1.1\r\nHost: ok.com\r\n\r\n".encode())
        record = await bench.last()
    assert answer.startswith(f"HTTP/1.1 403 {code}\r\n".encode())
    assert f'details="{code}"'.encode() in answer
    assert (record.code, record.address, bench.asked) == (code, None, [])


@pytest.mark.parametrize(
    "request_line", [b"CONNECT evil.com\0.ok.com:443 HTTP/1.1", b"CONNECT ok.com\x80:443 HTTP/1.1", b"\x16\x03\x01"]
)
async def test_what_is_no_http_is_refused(bench: Bench, request_line: bytes) -> None:
    async with bench.broker("ok.com:443"):
        answer = await bench.say(request_line + b"\r\nHost: ok.com\r\n\r\n")
        record = await bench.last()
    assert answer.startswith(b"HTTP/1.1 400 proxy_request_invalid\r\n")
    assert record.code == "proxy_request_invalid"


async def test_headers_without_an_end_are_refused(bench: Bench) -> None:
    async with bench.broker("ok.com:443"):
        answer = await bench.say(b"CONNECT ok.com:443 HTTP/1.1\r\n" + b"X-A: " + b"a" * 200_000)
        record = await bench.last()
    assert answer.startswith(b"HTTP/1.1 431 proxy_request_invalid\r\n")
    assert record.code == "proxy_request_invalid"


async def test_a_connection_that_asks_nothing_is_recorded(bench: Bench) -> None:
    async with bench.broker("ok.com:443"):
        _, writer = await asyncio.open_connection(*bench.address)
        writer.close()
        assert (await bench.last()).code == "proxy_request_invalid"


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "127.0.0.1"],
        ["93.184.216.34", "2606:4700::1", "fd00::2"],
        ["169.254.169.254"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["192.0.2.2"],
    ],
)
async def test_a_name_with_one_address_that_is_not_public_is_refused_as_a_whole(
    bench: Bench, addresses: list[str]
) -> None:
    reached = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(1)

    async with server(handler) as port, bench.broker("*", check=check_address):
        bench.names["ok.com"] = addresses
        answer = await bench.say(b"CONNECT ok.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
        assert (await bench.last()).code == "private_address"
    assert answer.startswith(b"HTTP/1.1 403 private_address\r\n")
    assert not reached


async def test_a_name_with_more_addresses_than_a_host_has_is_refused_before_any_is_looked_at(bench: Bench) -> None:
    """Its owner could keep the host busy with judging them."""
    judged: list[str] = []
    async with bench.broker("ok.com:443", check=judged.append):
        bench.names["ok.com"] = [f"93.184.{number >> 8}.{number & 255}" for number in range(4000)]
        answer = await bench.say(b"CONNECT ok.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await bench.last()).code == "too_many_addresses"
    assert answer.startswith(b"HTTP/1.1 403 too_many_addresses\r\n")
    assert not judged


async def test_addresses_that_never_answer_leave_the_others_their_turn(bench: Bench) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here")

    async with server(handler) as port, bench.broker("*"):
        with contextlib.ExitStack() as stack:
            for address in ("127.0.0.2", "127.0.0.3"):  # nobody accepts there, and the queue of one is full
                deaf = stack.enter_context(socket.socket())
                deaf.bind((address, port))
                deaf.listen(0)
                stack.enter_context(socket.create_connection((address, port), timeout=WITHIN))
            bench.names["ok.com"] = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
            answer = await bench.say(b"CONNECT ok.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
    assert answer.endswith(b"here")


@pytest.mark.parametrize(
    "literal", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"]
)
async def test_an_address_that_is_asked_for_itself_is_judged_alike(bench: Bench, literal: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    bench.address = listener.getsockname()
    broker = EgressBroker(listener, ("*",), bench.record, resolve=Resolver().for_call())
    try:
        answer = await bench.say(f"CONNECT {literal}:{bench.address[1]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 403 private_address\r\n")
        assert (await bench.last()).code == "private_address"
    finally:
        await broker.close()


async def test_the_address_that_was_checked_is_the_one_that_is_dialled(bench: Bench) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    checked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return next(answers)

    bench.resolve = rebinding  # type: ignore[method-assign]
    async with server(answering(b"first")) as port, bench.broker(f"ok.com:{port}", check=checked.append):
        answer = await bench.say(b"GET http://ok.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % port)
        record = await bench.last()
    assert answer.endswith(b"first")
    assert (checked, record.address) == (["127.0.0.1"], "127.0.0.1")


async def test_an_address_that_does_not_answer_gives_way_to_the_next(bench: Bench) -> None:
    async with server(answering(b"here")) as port, bench.broker(f"ok.com:{port}"):
        bench.names["ok.com"] = ["127.0.0.9", "127.0.0.1"]
        assert (await bench.say(b"GET http://ok.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % port)).endswith(b"here")
        assert (await bench.last()).address == "127.0.0.1"


async def test_a_name_that_is_not_known_and_a_host_that_is_not_there_are_told_apart(bench: Bench) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with bench.broker("*"):
            answer = await bench.say(b"CONNECT nowhere.org:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 403 unknown_host")
            assert (await bench.last()).code == "unknown_host"
            answer = await bench.say(b"CONNECT ok.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
            assert answer.startswith(b"HTTP/1.1 502 unreachable")
            assert (await bench.last()).code == "unreachable"


# -- plain requests ----------------------------------------------------------------------------------------------------


async def test_a_plain_request_is_written_anew_for_the_host_that_was_judged(bench: Bench) -> None:
    seen: list[bytes] = []
    async with server(answering(b"hello", seen)) as port, bench.broker(f"ok.com:{port}"):
        answer = await bench.say(
            b"GET http://ok.com:%d/a?b=c HTTP/1.1\r\nHost: evil.com\r\nProxy-Authorization: secret\r\n"
            b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Kept: 2\r\n\r\n" % port
        )
        record = await bench.last()
    head = seen[0].lower()
    assert head.startswith(b"get /a?b=c http/1.1\r\nhost: ok.com:%d\r\nconnection: close\r\n" % port)
    assert b"x-kept: 2" in head
    for dropped in (b"evil", b"secret", b"x-hop", b"trailers", b"upgrade", b"keep-alive"):
        assert dropped not in head
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")
    assert b"connection: close" in answer.lower()
    assert record.code == "ok"


@pytest.mark.parametrize(
    "target",
    [
        "/etc",
        "*",
        "ok.com:443",
        "https://ok.com/",
        "ftp://ok.com/",
        "http:///",
        "http://",
        "http://ok.com/#f",
        "http://user@ok.com/",
        "http://ok.com\\@evil.com/",
        "http://evil.com/",
        "http://ok.com:81/",
    ],
)
async def test_a_plain_request_for_anything_else_is_refused(bench: Bench, target: str) -> None:
    async with bench.broker("ok.com:80"):
        answer = await bench.say(f"GET {target} HTTP/1.1\r\nHost: ok.com\r\n\r\n".encode())
        record = await bench.last()
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert record.code in {"proxy_request_invalid", "bad_host", "destination_not_allowed"}
    assert not bench.asked


async def test_a_second_request_on_a_connection_is_never_carried(bench: Bench) -> None:
    seen: list[bytes] = []
    async with server(answering(b"one", seen)) as port, bench.broker(f"ok.com:{port}"):
        first = b"GET http://ok.com:%d/1 HTTP/1.1\r\nHost: x\r\n\r\n" % port
        second = b"GET http://evil.com/2 HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await bench.say(first + second + first)
    assert answer.count(b"HTTP/1.1") == 1
    assert len(seen) == 1


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
    ],
)
async def test_a_request_that_could_be_framed_in_two_ways_smuggles_nothing(bench: Bench, framing: bytes) -> None:
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        seen.append(await reader.read())

    async with server(handler) as port, bench.broker(f"ok.com:{port}"):
        smuggled = b"GET /evil HTTP/1.1\r\nHost: evil.com\r\n\r\n"
        await bench.say(b"POST http://ok.com:%d/ HTTP/1.1\r\nHost: x\r\n" % port + framing + smuggled)
        await bench.last()
    assert all(b"/evil" not in request for request in seen)


async def test_a_body_is_carried_and_a_client_that_waits_is_told_to_go_on(bench: Bench) -> None:
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head + await reader.readexactly(5))
        writer.write(b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n")

    async with server(handler) as port, bench.broker(f"ok.com:{port}"):
        reader, writer = await asyncio.open_connection(*bench.address)
        writer.write(
            b"PUT http://ok.com:%d/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n" % port
        )
        assert b"100" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
        writer.write(b"12345")
        answer = await asyncio.wait_for(reader.read(), WITHIN)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 201 Made\r\n")
    assert b"yes" in answer
    assert seen[0].endswith(b"\r\n\r\n12345")
    assert b"expect" not in seen[0].lower()


async def test_an_answer_that_comes_before_the_body_is_sent_is_passed_on(bench: Bench) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with server(handler) as port, bench.broker(f"ok.com:{port}"):
        reader, writer = await asyncio.open_connection(*bench.address)
        writer.write(b"POST http://ok.com:%d/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1" % port)
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)).startswith(b"HTTP/1.1 413")
        writer.close()


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", b"HTTP/9.9 x\r\n\r\n"]
)
async def test_a_server_that_does_not_answer_in_http_is_not_passed_on(bench: Bench, answer: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with server(handler) as port, bench.broker(f"ok.com:{port}"):
        said = await bench.say(b"GET http://ok.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % port)
        assert said.startswith(b"HTTP/1.1 403 bad_response")
        assert (await bench.last()).code == "bad_response"


async def test_an_answer_that_is_cut_short_does_not_look_whole(bench: Bench) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")

    async with server(handler) as port, bench.broker(f"ok.com:{port}"):
        reader, writer = await asyncio.open_connection(*bench.address)
        writer.write(b"GET http://ok.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % port)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), WITHIN)
        writer.close()
        assert (await bench.last()).code == "bad_response"


# -- caps --------------------------------------------------------------------------------------------------------------


async def test_bytes_are_counted_over_the_whole_call_and_then_nothing_passes(bench: Bench) -> None:
    limits = EgressLimits(bytes=100_000)
    async with server(answering(b"x" * 60_000)) as port, bench.broker(f"ok.com:{port}", limits=limits):
        ask = b"GET http://ok.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % port
        assert (await bench.say(ask)).endswith(b"x")
        assert (await bench.last()).code == "ok"
        assert len(await bench.say(ask)) < 60_000
        assert (await bench.last()).code == "too_much_data"
        assert (await bench.say(ask)).startswith(b"HTTP/1.1 403 too_much_data")
    assert sum(record.sent + record.received for record in bench.records) <= 100_000


async def test_connections_are_counted_and_after_the_last_nothing_listens(bench: Bench) -> None:
    async with bench.broker("ok.com:443", limits=EgressLimits(connections=3)):
        for _ in range(3):
            await bench.say(b"CONNECT evil.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await bench.last()).code == "destination_not_allowed"
        assert b"too_many_connections" in await bench.say(b"CONNECT ok.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await bench.last()).code == "too_many_connections"
        for _ in range(50):
            with pytest.raises(ConnectionError):
                await asyncio.open_connection(*bench.address)
    assert len(bench.records) == 4


async def test_connections_above_those_at_once_wait_for_their_turn(bench: Bench) -> None:
    async with server(echo) as port, bench.broker(f"ok.com:{port}", limits=EgressLimits(at_once=1)):
        ask = b"CONNECT ok.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port
        first_reader, first = await asyncio.open_connection(*bench.address)
        first.write(ask)
        await first_reader.readuntil(b"\r\n\r\n")
        second_reader, second = await asyncio.open_connection(*bench.address)
        second.write(ask)
        waiting = asyncio.ensure_future(second_reader.readuntil(b"\r\n\r\n"))
        first.write(b"still served")
        assert await asyncio.wait_for(first_reader.readexactly(12), WITHIN) == b"still served"
        assert not waiting.done()
        first.close()
        assert b"200" in await asyncio.wait_for(waiting, WITHIN)
        second.close()


async def test_a_connection_has_its_time(bench: Bench) -> None:
    async with server(echo) as port, bench.broker(f"ok.com:{port}", limits=EgressLimits(seconds=0.05)):
        reader, writer = await asyncio.open_connection(*bench.address)
        writer.write(b"CONNECT ok.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
        await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), WITHIN)
        writer.close()
        assert (await bench.last()).code == "timeout"
        assert b"504 timeout" in await bench.say(b"CONNECT ok")
        assert (await bench.last()).code == "timeout"


async def test_a_fast_connection_leaves_the_event_loop_to_others(bench: Bench) -> None:
    """As much as may pass is pulled through, while something else takes its turns."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with server(flood) as port, bench.broker(f"ok.com:{port}", limits=EgressLimits(bytes=8 << 20)):
        counting = asyncio.ensure_future(others())
        await bench.say(b"CONNECT ok.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
        counting.cancel()
        assert (await bench.last()).code == "too_much_data"
    assert turns > (8 << 20) // 65536


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_closing_cuts_and_records_what_is_open(bench: Bench) -> None:
    async with server(echo) as port:
        async with bench.broker(f"ok.com:{port}"):
            reader, writer = await asyncio.open_connection(*bench.address)
            writer.write(b"CONNECT ok.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
            await reader.readuntil(b"\r\n\r\n")
            _, idle = await asyncio.open_connection(*bench.address)
            idle.write(b"CONNECT")
            await asyncio.sleep(0)
        assert await asyncio.wait_for(reader.read(), WITHIN) == b""
        writer.close()
        idle.close()
    assert sorted(record.code for record in bench.records) in (["call_ended", "ok"], ["ok"])


async def test_what_cannot_be_recorded_is_not_carried(bench: Bench) -> None:
    failed = asyncio.Event()

    def full(_: Connection) -> None:
        failed.set()
        raise OSError(28, "No space left on device")

    async with server(answering(b"x")) as port, bench.broker(f"ok.com:{port}", record=full) as broker:
        ask = b"GET http://ok.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % port
        await bench.say(ask)
        await asyncio.wait_for(failed.wait(), WITHIN)
        with contextlib.suppress(ConnectionError):
            assert b"200" not in await bench.say(ask)
        assert isinstance(broker.failure, OSError)


async def test_what_recording_raised_is_raised_at_the_end() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()

    def full(_: Connection) -> None:
        raise OSError(28, "No space left on device")

    async def call() -> None:
        async with serving(listener, ("ok.com:443",), full, Resolver()):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"CONNECT evil.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(reader.read(), WITHIN)
            writer.close()

    with pytest.raises(OSError, match="No space"):
        await call()


async def test_a_network_that_nobody_records_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(PlanRefused) as refused:
            async with serving(listener, ("ok.com:443",), None, Resolver()):
                pass
        assert refused.value.code == "network_not_recorded"


async def test_without_rules_nothing_is_served() -> None:
    async with serving(None, (), None, Resolver()):
        pass


async def test_a_reset_by_the_client_ends_the_connection_quietly(bench: Bench) -> None:
    async with server(echo) as port, bench.broker(f"ok.com:{port}"):
        loop = asyncio.get_running_loop()
        with socket.create_connection(bench.address) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, b"CONNECT ok.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
            await loop.sock_recv(client, 1024)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert (await bench.last()).code == "broken_off"


# -- names -------------------------------------------------------------------------------------------------------------


async def test_a_name_is_looked_up_once_and_a_failure_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def known(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if host == "nowhere.org":
            raise socket.gaierror(-2, "Name or service not known")
        return [(2, 1, 6, "", ("93.184.216.34", port)), (2, 1, 17, "", ("93.184.216.34", port))]

    monkeypatch.setattr(socket, "getaddrinfo", known)
    resolve = Resolver().for_call()
    assert await resolve("ok.com", 443) == ("93.184.216.34",)
    with pytest.raises(OSError, match="not known"):
        await resolve("nowhere.org", 443)
    assert asked == ["ok.com", "nowhere.org"]


async def test_slow_lookups_of_one_call_leave_places_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    answer = threading.Event()

    def slow(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host == "slow.org":
            answer.wait(WITHIN)
        return [(2, 1, 6, "", ("93.184.216.34", port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = Resolver()
    greedy, other = resolver.for_call(), resolver.for_call()
    stuck = [asyncio.ensure_future(greedy("slow.org", 443)) for _ in range(50)]
    try:
        assert await asyncio.wait_for(other("ok.com", 443), WITHIN)
        assert not any(task.done() for task in stuck)
        for task in stuck[:25]:
            task.cancel()
    finally:
        answer.set()
    found = await asyncio.wait_for(asyncio.gather(*stuck, return_exceptions=True), WITHIN)
    assert sum(isinstance(one, tuple) for one in found) == 25
    assert await asyncio.wait_for(greedy("ok.com", 443), WITHIN)


def test_a_refusal_is_a_sentence_of_printable_ascii() -> None:
    with pytest.raises(EgressRefused) as refused:
        check_address("\x1b[2J\u202e")
    assert refused.value.message.isascii()
    assert refused.value.message.isprintable()
