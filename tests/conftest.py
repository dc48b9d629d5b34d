"""What tests of several rooms share: places the service user can reach, the installed command, a server."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import prefork
import pytest
import warmth
from hypothesis import settings
from owners import SERVICE_USER, give
from prefork import Forked

Run = Callable[..., subprocess.CompletedProcess[str]]


# A test is about what happens; how long it takes is the machine's affair.
settings.register_profile("toolhost", deadline=None)
settings.load_profile("toolhost")


@pytest.fixture
def space() -> Iterator[Path]:
    """An empty folder that everybody can enter, removed afterwards. pytest's own are closed to the service user."""
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        warmth.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        warmth.end()


ROOMS = ("browser", "repository", "web", "plugins", "cli", "core", "attacks", "sandbox", "policy")
"""From those whose modules take long to those whose modules take a moment; one of `repository` makes an environment."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker process is left alone with it at the end."""
    order = {room: number for number, room in enumerate(ROOMS)}
    items.sort(key=lambda item: order.get(item.path.relative_to(Path(__file__).parent).parts[0], 0))


@pytest.fixture
def data(space: Path) -> Path:
    """A data directory in which nothing has been called yet."""
    folder = space / "data"
    warmth.copy_first(folder)
    return folder


@pytest.fixture
def workspace(space: Path) -> Path:
    """An empty folder of the service user's."""
    folder = space / "workspace"
    folder.mkdir()
    give(folder, SERVICE_USER)
    return folder


@pytest.fixture
def environment(data: Path) -> dict[str, str]:
    """The variables a command of this test runs with."""
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "TOOLHOST_DATA": str(data)}


@pytest.fixture(scope="session")
def executable() -> str:
    """The installed command of this environment, however its python is linked."""
    return str(Path(sys.executable).parent / "toolhost")


@pytest.fixture
def toolhost(environment: dict[str, str], workspace: Path) -> Run:
    """Runs the command: `toolhost("call", "files.list")` in the workspace, over the test's data directory."""

    def run(
        *arguments: str,
        stdin: str = "",
        cwd: Path = workspace,
        env: Mapping[str, str | None] | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in {**environment, **(env or {})}.items() if value is not None}
        return prefork.command(*arguments, stdin=stdin, cwd=cwd, env=variables, timeout=timeout)

    return run


@pytest.fixture
def git_repository(space: Path) -> Callable[..., Path]:
    """Makes a repository with one commit a message, owned by whom the test wants."""

    def make(*messages: str, owner: str = SERVICE_USER, name: str = "repository") -> Path:
        folder = space / name
        folder.mkdir()
        who = {
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "HOME": "/tmp",
            "PATH": "/usr/bin:/bin",
        }
        for role in ("AUTHOR", "COMMITTER"):
            who |= {f"GIT_{role}_NAME": "Ada", f"GIT_{role}_EMAIL": "ada@example.org"}

        def git(*words: str) -> None:
            subprocess.run(["git", *words], cwd=folder, env=who, check=True, capture_output=True, timeout=30)

        git("init", "--quiet", "--initial-branch=main")
        for number, message in enumerate(messages or ("First commit",)):
            (folder / f"file{number}.txt").write_text(f"{message}\n")
            git("add", "--all")
            git("commit", "--quiet", "--message", message)
        give(folder, owner)
        return folder

    return make


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running `toolhost serve`."""

    url: str
    setup_url: str | None
    port: int
    process: subprocess.Popen[bytes] | Forked

    @property
    def setup_token(self) -> str:
        """The token of the printed setup address."""
        assert self.setup_url is not None
        return self.setup_url.rpartition("token=")[2]


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def serve(environment: dict[str, str], space: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server and waits until it says that it serves; forked, unless a command is named."""
    started: list[subprocess.Popen[bytes] | Forked] = []

    def start(
        *arguments: str,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        timeout: float = 30,
    ) -> Server:
        port = free_port()
        words = ("--port", str(port), *arguments)
        variables = {**environment, **(env or {})}
        with (space / "serve.stderr").open("a") as errors:
            process = (
                subprocess.Popen(
                    [*command, *words],
                    cwd="/",
                    env=variables,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
                if command
                else prefork.start("serve", *words, env=variables, stderr=errors.fileno())
            )
        started.append(process)
        assert process.stdin is not None
        process.stdin.close()
        lines = _lines_until_ready(process, timeout)
        setup = next((line.rpartition(" ")[2] for line in lines if "/setup#token=" in line), None)
        return Server(url=f"http://127.0.0.1:{port}", setup_url=setup, port=port, process=process)

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
    for process in started:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)
        assert process.stdout is not None
        process.stdout.close()


def _lines_until_ready(process: subprocess.Popen[bytes] | Forked, timeout: float) -> list[str]:
    """What the server prints until its last line, `Ready.`, or an error that shows what it printed instead."""
    assert process.stdout is not None
    deadline = time.monotonic() + timeout
    text = b""
    while b"Ready." not in text:
        readable, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
        chunk = os.read(process.stdout.fileno(), 65536) if readable else b""
        if not chunk:
            pytest.fail(f"the server did not come up; it printed {text.decode()!r}")
        text += chunk
    return text.decode().splitlines()
