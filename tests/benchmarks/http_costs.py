"""What a request costs that is authenticated, authorised and rate-limited, against an empty handler on the same server.

Both run in processes of their own, are asked by the same client at the same concurrency, and take turns.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from report import p50, p95
from webserver import WebServer

EMPTY = """
import asyncio, logging, socket
import hypercorn.asyncio
from hypercorn.config import Config
from quart import Quart
from toolhost.logs import configure
from toolhost.settings import load_settings
from toolhost.web.serve import _AccessLog

configure(load_settings({"data": "/nonexistent"}, {}))
app = Quart("empty")

@app.get("/empty")
async def empty():
    return {"user": {"id": "u_x", "username": "bench", "role": "user"}}

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = Config()
config.bind = [f"fd://{listener.fileno()}"]
config.logger_class = _AccessLog
config.accesslog = logging.getLogger("toolhost.access")
config.errorlog = logging.getLogger("toolhost.server")
asyncio.run(hypercorn.asyncio.serve(app, config))
"""
"""The same server, with the same access log."""


async def _ask(port: int, request: bytes, count: int) -> list[float]:
    """Milliseconds of each of so many requests, one after the other over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    for _ in range(count):
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        took.append((time.perf_counter() - started) * 1000)
    writer.close()
    return took


async def _together(port: int, request: bytes, connections: int, count: int) -> tuple[float, list[float]]:
    """Requests a second, and the milliseconds of each."""
    started = time.perf_counter()
    took = await asyncio.gather(*(_ask(port, request, count) for _ in range(connections)))
    seconds = time.perf_counter() - started
    return connections * count / seconds, [one for each in took for one in each]


def _get(path: str, bearer: str | None = None) -> bytes:
    sent = "" if bearer is None else f"Authorization: Bearer {bearer}\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{sent}\r\n".encode()


async def _fail(port: int) -> None:
    body = b'{"username": "bench", "password": "wrong, and long enough"}'
    head = f"POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()


async def _reads(server: WebServer, empty: int, bearer: str, key: str, turns: int) -> None:
    requests = {
        "an empty Quart handler": (empty, _get("/empty")),
        "GET /api/auth/me with an access token": (server.port, _get("/api/auth/me", bearer)),
        "GET /api/auth/me with an API key": (server.port, _get("/api/auth/me", key)),
    }
    rates: dict[str, list[float]] = {name: [] for name in requests}
    times: dict[str, list[float]] = {name: [] for name in requests}
    for port, request in requests.values():
        await _together(port, request, 8, 20)
    for _ in range(turns):
        for name in random.sample(list(requests), len(requests)):
            rate, took = await _together(*requests[name], 8, 50)
            rates[name].append(rate)
            times[name].extend(took)
    base = "an empty Quart handler"
    print("\nReads, 8 at a time\n\n| request | a second | p50 ms | p95 ms | cost |\n|---|---|---|---|---|")
    for name in requests:
        ratio = statistics.median(a / b for a, b in zip(rates[base], rates[name], strict=True))
        cells = f"{statistics.median(rates[name]):.0f} | {p50(times[name]):.2f} | {p95(times[name]):.2f} | {ratio:.2f}x"
        print(f"| {name} | {cells} |", flush=True)


async def _logins(server: WebServer, bearer: str, turns: int) -> None:
    request = _get("/api/auth/me", bearer)
    times: dict[str, list[float]] = {"nobody signs in": [], "50 sign in": []}
    ratios: dict[float, list[float]] = {50: [], 95: []}
    for _ in range(turns):
        logins = []

        async def going(logins: list[asyncio.Task[None]] = logins) -> bool:
            if not logins:
                logins += [asyncio.create_task(_fail(server.port)) for _ in range(50)]
            await asyncio.sleep(0)
            return not all(login.done() for login in logins)

        busy: list[float] = []
        quiet = (await _together(server.port, request, 4, 100))[1]
        while await going():
            busy += (await _together(server.port, request, 4, 5))[1]
        await asyncio.gather(*logins)
        quiet += (await _together(server.port, request, 4, 100))[1]
        times["nobody signs in"] += quiet
        times["50 sign in"] += busy
        ratios[50].append(p50(busy) / p50(quiet))
        ratios[95].append(p95(busy) / p95(quiet))
    print("\nOthers while 50 people sign in at once, 4 at a time\n\n| | p50 ms | p95 ms |\n|---|---|---|")
    for name, took in times.items():
        print(f"| {name} | {p50(took):.2f} | {p95(took):.2f} |")
    medians = " | ".join(f"{statistics.median(found):.2f}" for found in ratios.values())
    print(f"| ratio, the median of {turns} turns | {medians} |", flush=True)


def measure(rounds: int) -> None:
    """Both tables."""
    server = WebServer()
    command = [sys.executable, "-c", EMPTY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ)) as empty:
        try:
            assert empty.stdout is not None
            port = int(empty.stdout.readline())
            person = server.start().set_up("bench")
            key = person.post("/api/keys", {"name": "bench", "scopes": ["chat"]}).json["token"]
            assert person.bearer is not None
            asyncio.run(_reads(server, port, person.bearer, key, max(3, rounds // 5)))
            asyncio.run(_logins(server, person.bearer, max(3, rounds // 10)))
        finally:
            empty.kill()
            server.close()
