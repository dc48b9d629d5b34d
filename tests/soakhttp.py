"""What is thrown at the doors of a server by the thousand: see scripts/soak."""

from __future__ import annotations

import asyncio
import random
import resource
import statistics
import sys
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from driver import becomes, own, processes
from warmth import warm
from webserver import Person, WebServer
from websockets.exceptions import ConnectionClosed

from toolhost.settings import Rate
from toolhost.web.rates import RateLimitedError, Rates

_LOGIN_HEAD = "POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


def resident(pid: int) -> tuple[float, float]:
    """MiB of memory that a process has now, and that it had at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return sizes["VmRSS"], sizes["VmHWM"]


async def _log_in(port: int, username: str, password: str) -> tuple[str, float]:
    """One attempt over a connection of its own: the status, and the seconds it took."""
    body = f'{{"username": "{username}", "password": "{password}"}}'
    started = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return "no connection", 0.0
    writer.write(f"{_LOGIN_HEAD}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    try:
        line = await asyncio.wait_for(reader.readline(), 300)
        return (line.split()[1].decode() if line else "closed"), time.perf_counter() - started
    except ConnectionError:
        return "closed", 0.0
    except TimeoutError:
        return "no answer", 0.0
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def flood(port: int, count: int) -> dict[str, int]:
    """So many attempts to sign in at once: how many were answered with each status."""
    answers = await asyncio.gather(*(_log_in(port, f"nobody{number}", "wrong and long") for number in range(count)))
    seen: dict[str, int] = {}
    for status, _ in answers:
        seen[status] = seen.get(status, 0) + 1
    return seen


def storm(rounds: int) -> str:
    """So many attempts to sign in at once: the server's memory stays bounded, and it answers afterwards."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = WebServer()
    try:
        person = server.start().set_up()
        assert server.process is not None
        before, _ = resident(server.process.pid)
        seen = asyncio.run(flood(server.port, rounds))
        after, most = resident(server.process.pid)
        # A connection that waits too long to be read is closed; what is answered is a refusal or "come back".
        assert set(seen) <= {"401", "503", "no connection", "closed"}, (seen, server.log.read_text()[-2000:])
        assert person.get("/api/auth/me").status == 200
        # A connection of Hypercorn's takes about 60 KiB, a hash 19 MiB; both are counted generously.
        assert most - before < 150 + rounds * 0.1, (before, after, most)
        return f"{seen}; {before:.0f} MiB before, {most:.0f} at most"
    finally:
        server.close()


async def _times(port: int, rounds: int) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {"known": [], "unknown": []}
    for number in range(rounds):
        for kind in random.sample(list(took), 2):
            username = "ada" if kind == "known" else f"nobody{number}"
            status, seconds = await _log_in(port, username, "wrong and long")
            assert status == "401", status
            took[kind].append(seconds * 1000)
    return took


def timed(rounds: int) -> str:
    """A wrong password of somebody and of nobody take equally long, within what the machine varies by itself."""
    server = WebServer()
    try:
        server.start().set_up()
        took = asyncio.run(_times(server.port, rounds))
    finally:
        server.close()
    medians = {kind: statistics.median(times) for kind, times in took.items()}
    quarters = statistics.quantiles(took["known"], n=4)
    spread = quarters[2] - quarters[0]
    assert abs(medians["known"] - medians["unknown"]) < max(spread, 0.1 * medians["known"]), (medians, spread)
    return f"{medians['known']:.1f} ms known, {medians['unknown']:.1f} ms unknown, half of all within {spread:.1f} ms"


def counted(rounds: int) -> str:
    """So many addresses: the counters stay in a bounded place."""
    settings = SimpleNamespace(**{f"{name}_rate": Rate(5, 60) for name in ("api", "chat", "socket", "login")})
    rates = Rates(settings, SimpleNamespace(write=lambda *record, **more: None))  # type: ignore[arg-type]
    tracemalloc.start()
    for number in range(rounds):
        address = f"{number >> 24 & 255}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        rates.count("api", address, None)
        with suppress(RateLimitedError):
            rates.attempt(f"nobody{number}", address, known=False)
    used = tracemalloc.get_traced_memory()[1] / (1 << 20)
    tracemalloc.stop()
    assert used < 120, used
    return f"{used:.0f} MiB at most for {rounds} addresses"


def described(rounds: int) -> str:
    """So many requests to each route, made from the OpenAPI document: nothing breaks, nothing is undescribed."""
    sys.path.append(str(Path(__file__).parent / "web"))
    from strangedata import send_everything

    server = WebServer()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = send_everything(server.start().set_up(), rounds, seed=2)
    finally:
        server.close()
    assert not found, found
    return f"{rounds} requests to each route"


_SLOW = """plugin = "slow"
[commands]
allow = ["sleep {text}"]
[paths]
write = ["{workspace}"]
"""


def revoked(rounds: int) -> str:
    """A session, a key, an account and an address are taken away in turn: how long what they began goes on."""
    sys.path.append(str(Path(__file__).parent / "web"))
    from test_taint import plugin

    server = WebServer(TOOLHOST_TRUSTED_PROXIES="127.0.0.0/8")
    warm(server.data)
    plugin(server, "slow", _SLOW, {"hold": "sleep {word}"})
    own(server.data)
    worst: dict[str, float] = {}
    try:
        admin = server.start().set_up()
        eve = server.add_user("eve")
        for number in range(rounds):
            kind = ("session", "key", "person", "address", "session from beside")[number % 5]
            seconds = f"{900 + number}.5"
            program = Person(server, sent={"X-Forwarded-For": f"198.51.100.{number % 250}"})
            program.sign_in("eve")
            session = next(one["id"] for one in program.get("/api/sessions").json["sessions"] if one["current"])
            if kind == "key":
                made = eve.post("/api/keys", {"name": "soak", "scopes": ["chat", "tools:run"]}).json
                program.bearer = made["token"]
            with program.socket() as socket, ThreadPoolExecutor(1) as pool:
                pool.submit(program.call, "slow.hold", word=seconds)
                assert becomes(lambda seconds=seconds: bool(processes(f"sleep\0{seconds}")), 60)
                if kind == "session":
                    eve.request("DELETE", f"/api/sessions/{session}")
                elif kind == "key":
                    eve.request("DELETE", f"/api/keys/{made['key']['id']}")
                elif kind == "person":
                    admin.request("PATCH", "/api/users/eve", {"disabled": True})
                elif kind == "address":
                    admin.post("/api/blocks", {"address": program.sent["X-Forwarded-For"]})
                else:
                    server.command("sessions", "revoke", session)
                began = time.monotonic()
                with suppress(ConnectionClosed):
                    while True:
                        socket.next(30)
                closed = time.monotonic() - began
                assert becomes(lambda seconds=seconds: not processes(f"sleep\0{seconds}"), 30)
                ended = time.monotonic() - began
            for what, took in ((f"{kind}: socket", closed), (f"{kind}: call", ended)):
                worst[what] = max(worst.get(what, 0.0), took)
            admin.request("PATCH", "/api/users/eve", {"disabled": False})
            eve.sign_in("eve")
    finally:
        server.close()
    assert max(worst.values()) < 1.0, worst
    return ", ".join(f"{what} {took * 1000:.0f} ms" for what, took in worst.items()) + " at most"


SOAKS = {
    "storm": (storm, 10_000),
    "timed": (timed, 300),
    "counted": (counted, 1_000_000),
    "described": (described, 200),
    "revoked": (revoked, 50),
}
