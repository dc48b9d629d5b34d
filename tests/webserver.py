"""A running server and people at it, over real HTTP and WebSockets. Shared by the tests of the web and of the page."""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Self

from prefork import Forked, command, start
from warmth import warm
from websockets.sync.client import ClientConnection, connect

PASSWORD = "correct horse battery"
GENEROUS = {f"TOOLHOST_{name}_RATE": "1000000/1m" for name in ("API", "CHAT", "SOCKET", "LOGIN")}
"""Rate limits that tests about something else do not reach."""
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    cookies: SimpleCookie
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The error code."""
        return self.json["error"]["code"]


class WebServer:
    """`toolhost serve` over a data directory of its own."""

    def __init__(self, **variables: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="toolhost-web-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.variables = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TOOLHOST_DATA": str(self.data),
            "TOOLHOST_OLLAMA": "off",  # whatever this machine has, a test names its models
            **GENEROUS,
            **variables,
        }
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | Forked | None = None
        self.port = 0

    def start(self, port: int = 0) -> WebServer:
        warm(self.data)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = port or probe.getsockname()[1]
        with self.log.open("ab") as log:
            self.process = start("serve", "--port", str(self.port), env=self.variables, stderr=log.fileno())
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        printed, deadline = b"", time.monotonic() + 60
        while b"Ready." not in printed:
            readable, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(self.process.stdout.fileno(), 65536) if readable else b""
            assert piece, f"the server did not come up: {printed!r} {self.log.read_text()}"
            printed += piece
        self.printed = printed.decode()
        return self

    def end(self) -> int:
        """Stop the server; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)  # a machine that tests keep busy
        finally:
            self.process.kill()
            self.process.wait(10)
            assert self.process.stdout is not None
            self.process.stdout.close()

    def kill(self) -> None:
        """End the server as a power cut would."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait(20)
        self.process.stdout.close()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def setup_token(self) -> str:
        return self.printed.partition("#token=")[2].split()[0]

    def audit(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for line in (self.data / "state" / "audit.log").read_text().rpartition("\n")[0].splitlines()
        ]

    def set_up(self, username: str = "ada") -> Person:
        """Create the administrator and sign in."""
        body = {"token": self.setup_token, "username": username, "password": PASSWORD}
        assert Person(self).post("/api/setup", body).status == 201
        return self.person(username)

    def add_user(self, username: str, role: str = "user") -> Person:
        """Create a person by the command line and sign in."""
        self.command("user", "add", username, "--role", role, "--password-stdin", stdin=PASSWORD + "\n")
        return self.person(username)

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command line beside the server."""
        return command(*words, stdin=stdin, env=self.variables)

    def command(self, *words: str, stdin: str = "") -> str:
        """The same for what has to succeed; returns what it printed."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def person(self, username: str) -> Person:
        person = Person(self)
        person.sign_in(username)
        return person

    def stranger(self) -> Person:
        return Person(self)


@dataclass
class Person:
    """Somebody with a client. `bearer` is used where it is set, like a program; cookies only where asked for.

    `sent` are headers that go with everything, such as a proxy's.
    """

    server: WebServer
    bearer: str | None = None
    cookies: dict[str, str] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)

    def sign_in(self, username: str, password: str = PASSWORD) -> Answer:
        answer = self.post("/api/auth/login", {"username": username, "password": password})
        assert answer.status == 200, answer.text
        self.bearer = answer.json["access_token"]
        self.cookies = {name: morsel.value for name, morsel in answer.cookies.items()}
        return answer

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        sent = dict(self.sent)
        if self.bearer is not None and not anonymous:
            sent["Authorization"] = f"Bearer {self.bearer}"
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, path, data, {**sent, **(headers or {})})
            response = connection.getresponse()
            cookies: SimpleCookie = SimpleCookie()
            for line in response.headers.get_all("Set-Cookie") or ():
                cookies.load(line)
            headers = {k.lower(): v for k, v in response.headers.items()}
            return Answer(response.status, headers, cookies, response.read())
        finally:
            connection.close()

    def get(self, path: str, **more: Any) -> Answer:
        return self.request("GET", path, **more)

    def post(self, path: str, body: object = None, **more: Any) -> Answer:
        return self.request("POST", path, {} if body is None else body, **more)

    def browse(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """As a browser does: cookies, and where the request comes from."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Cookie": cookie, "Origin": self.server.origin, "Sec-Fetch-Site": "same-origin"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(method, path, body, headers={k: v for k, v in sent.items() if v}, anonymous=True)

    def call(self, tool: str, conversation_id: str | None = None, **arguments: object) -> Answer:
        return self.post(f"/api/tools/{tool}/call", {"arguments": arguments, "conversation_id": conversation_id})

    def conversation(self, **fields: object) -> str:
        answer = self.post("/api/conversations", fields)
        assert answer.status == 201, answer.text
        return answer.json["id"]

    def socket(self, query: str = "") -> Socket:
        """A WebSocket as a program opens it; `?view=html` as a page does."""
        headers = {"Authorization": f"Bearer {self.bearer}", **self.sent}
        url = f"ws://127.0.0.1:{self.server.port}/ws/chat{query}"
        return Socket(connect(url, additional_headers=headers, open_timeout=10, close_timeout=5))


class Socket:
    """One end of `/ws/chat`."""

    connection: ClientConnection

    def __init__(self, opening: connect) -> None:
        self._opening = opening

    def __enter__(self) -> Self:
        self.connection = self._opening.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._opening.__exit__(*raised)

    def send(self, kind: str, **fields: object) -> None:
        self.connection.send(json.dumps({"type": kind, **fields}))

    def next(self, timeout: float = 60) -> dict[str, Any]:
        return json.loads(self.connection.recv(timeout))

    def until(self, *kinds: str, timeout: float = 60) -> list[dict[str, Any]]:
        """Everything up to the first event of these types."""
        events, deadline = [], time.monotonic() + timeout
        while True:
            events.append(self.next(max(0.01, deadline - time.monotonic())))
            if events[-1]["type"] in kinds:
                return events

    def to_the_end(self) -> list[dict[str, Any]]:
        """Everything up to a run's last event."""
        return self.until(*TERMINAL)


TERMINAL = ("run.completed", "run.failed", "run.cancelled")


def of_runs(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Only the events of runs, without the answers to this socket alone."""
    return [event for event in events if event["run_id"] is not None]
