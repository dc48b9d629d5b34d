"""What the chat adds to a model's words: the first one, and each of many when two hundred conversations stream at once.

The model server stamps each word with the moment it sends it; whoever receives it looks at the clock. The same words
through a bare proxy, which copies bytes, say how much of that is the machine's.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bareproxy import BareProxy
from chatting import write_settings
from modelserver import KEY
from report import p50, p95
from webserver import WebServer
from websockets.asyncio.client import connect

_BEGUN_A_SECOND = 4

_SETTINGS = """
[[models]]
name = "stamped"
provider = "openai"
model = "tiny"
url = "{url}"
key_env = "TEST_MODEL_KEY"

[agent]
runs = 1000
"""


def measure(rounds: int, conversations: int, words_per_second: float, seconds: float) -> None:
    """Measure against a server of its own, and print."""
    with model_server() as url, server_with(url) as server:
        person = server.set_up()
        for name, figures in asyncio.run(_first(server, person.bearer or "", url, rounds)).items():
            print(f"first word, {name}: p50 {p50(figures):.1f} ms, p95 {p95(figures):.1f} ms ({rounds} rounds)")
        import browsing  # here: a soak, which counts words alone, needs no browser

        browsing.measure(server, person, url, rounds)
        print()
        worst = {}
        for name, take in (("bare proxy", _proxied), ("toolhost", _chatted)):
            spent = _processor_time(server)
            delays = crowd(server, person.bearer or "", url, conversations, words_per_second, seconds, take)
            spent = _processor_time(server) - spent
            print(
                f"{conversations} conversations, {words_per_second:g} words a second each, {name}: each word "
                f"p50 {p50(delays):.1f} ms, p95 {p95(delays):.1f} ms, at most {max(delays):.0f} ms "
                f"({len(delays)} words; the server's processor time {spent:.1f} s)"
            )
            worst[name] = p95(delays)
        print(f"  more than the bare proxy at p95: {worst['toolhost'] - worst['bare proxy']:.1f} ms")


def _processor_time(server: WebServer) -> float:
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _script(words: int, delay: float) -> str:
    return "script:" + json.dumps([{"words": words, "stamped": True, "delay": delay}])


def _ages(text: str) -> Iterator[float]:
    """How old each whole word of a piece is, in milliseconds."""
    now = time.time()
    for word in text.split():
        yield (now - float(word.partition(":")[2])) * 1000


async def _first(server: WebServer, token: str, url: str, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"bare proxy": [], "toolhost": []}
    async with BareProxy(url) as port:
        for _ in range(rounds):
            found["bare proxy"].append((await _proxied(server, token, port, _script(3, 0.05)))[0])
            found["toolhost"].append((await _chatted(server, token, port, _script(3, 0.05)))[0])
    return found


def crowd(
    server: WebServer,
    token: str,
    url: str,
    conversations: int,
    words_per_second: float,
    seconds: float,
    take: Any = None,
) -> list[float]:
    """How old the words of so many answers at once are when they arrive, in milliseconds."""
    return asyncio.run(_crowd(take or _chatted, server, token, url, conversations, words_per_second, seconds))


async def _crowd(
    take: Any, server: WebServer, token: str, url: str, count: int, rate: float, seconds: float
) -> list[float]:
    # One begins after the other; what counts is the time in which all of them stream.
    async with BareProxy(url) as port:
        all_stream = count / _BEGUN_A_SECOND

        async def one(number: int) -> list[float]:
            begins = number / _BEGUN_A_SECOND
            await asyncio.sleep(begins)
            words = int(rate * (all_stream - begins + seconds))
            found: list[float] = await take(server, token, port, _script(words, 1 / rate))
            return found[-int(rate * seconds) :]

        return [delay for delays in await asyncio.gather(*map(one, range(count))) for delay in delays]


async def _chatted(server: WebServer, token: str, port: int, text: str) -> list[float]:
    """The ages of the words of one answer, as a client of the WebSocket sees them."""
    found: list[float] = []
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(f"ws://127.0.0.1:{server.port}/ws/chat", additional_headers=headers) as socket:
        await socket.send(json.dumps({"type": "message", "text": text}))
        async for raw in socket:
            event = json.loads(raw)
            if event["type"] == "message.delta":
                found += _ages(event["text"])
            elif event["type"].startswith("run.") and event["type"] in ("run.completed", "run.failed"):
                assert event["type"] == "run.completed", event
                break
    return found


async def _proxied(server: WebServer, token: str, port: int, text: str) -> list[float]:
    """The same, of the model server's own stream through a proxy that copies bytes."""
    found: list[float] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": text}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    while line := await reader.readline():
        if line.startswith(b"data: [DONE]"):
            break
        if line.startswith(b"data: "):
            choices = json.loads(line[6:])["choices"]
            if choices and choices[0]["delta"].get("content"):
                found += _ages(choices[0]["delta"]["content"])
    writer.close()
    return found


@contextmanager
def model_server() -> Iterator[str]:
    script = Path(__file__).parents[1] / "modelserver.py"
    process = subprocess.Popen(
        [sys.executable, str(script), "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def server_with(url: str) -> Iterator[WebServer]:
    server = WebServer(TEST_MODEL_KEY=KEY)
    write_settings(server, _SETTINGS.format(url=url))
    try:
        yield server.start()
    finally:
        server.close()
