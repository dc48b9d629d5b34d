"""Commands, servers and hosts without a start of the interpreter for each: forked where their code was imported before.

Importing takes half a second of the processor, for a server more than one, and the tests start hundreds. What is forked
has imported the code and done nothing else; its arguments, folder, variables and streams are those of the command, and
it ends as one does. How the installed command itself starts is shown by those tests that start it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

WIDEST = 1 << 17  # bytes of a request
TOOLHOST = Path(sys.executable).parent / "toolhost"
AHEAD = [
    "harness",
    "toolhost.following",
    "toolhost.metrics",
    "toolhost.policy.schema",
    "toolhost.sandbox.selfattack",
    "toolhost.watching",
    "toolhost.web",
    "aiosqlite",
    "anyio._backends._asyncio",
    "argon2",
    "passlib.handlers.argon2",
    "prometheus_client",
    "pyseccomp",
    "re2",
    "tree_sitter_toml",
]
"""What servers and hosts import beside the commands, some of it not before they need it."""


class Forked:
    """A process that was forked and goes on: of `subprocess.Popen` what the tests use.

    Args:
        said: A pipe with a line that has its pid, and another with its exit code when it has ended.
    """

    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None
    returncode: int | None = None

    def __init__(self, said: int) -> None:
        self._said = said
        self.pid = self._number()

    def _number(self) -> int:
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self._said, 1)
            assert piece, "what forks has ended"
            line += piece
        return int(line)

    def poll(self) -> int | None:
        return self.returncode if self.returncode is not None or not self._ends(0) else self.wait()

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not self._ends(timeout):
                raise subprocess.TimeoutExpired([f"{self.pid}"], timeout or 0)
            self.returncode = self._number()
            os.close(self._said)
        return self.returncode

    def _ends(self, within: float | None) -> bool:
        return bool(select.select([self._said], [], [], within)[0])

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Prefork:
    """The test's end."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        variables = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd="/", env=variables, pass_fds=[theirs.fileno()])

    def run(
        self, arguments: Sequence[str], *, stdin: str, cwd: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str] | None:
        """As `subprocess.run` of the installed command; None where it is to start otherwise, or too long to be told."""
        request = _request(env, arguments=arguments, cwd=str(cwd))
        if request is None:
            return None
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin.encode(errors="surrogateescape"))
            given.seek(0)
            forked = self._fork(request, given.fileno(), out.fileno(), err.fileno())
            try:
                code = forked.wait(timeout)
            finally:
                forked.kill()
                forked.wait()
            shown = []
            for stream in (out, err):
                stream.seek(0)
                shown.append(stream.read().decode(errors="surrogateescape"))
        return subprocess.CompletedProcess(["toolhost", *arguments], code, *shown)

    def at_terminal(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], terminal: int
    ) -> Forked | None:
        """The installed command at a terminal, in a session of its own; None where `run` gives None."""
        request = _request(env, arguments=arguments, cwd=str(cwd), session=True)
        return None if request is None else self._fork(request, terminal, terminal, terminal)

    def start(
        self, arguments: Sequence[str], *, env: Mapping[str, str], stderr: int, script: Path | None = None
    ) -> Forked | None:
        """As `subprocess.Popen` of the installed command, or of a script, with pipes; None where `run` gives None."""
        request = _request(env, arguments=arguments, cwd="/", script=None if script is None else str(script))
        if request is None:
            return None
        (stdin, given), (taken, stdout) = os.pipe(), os.pipe()
        try:
            forked = self._fork(request, stdin, stdout, stderr)
        finally:
            os.close(stdin)
            os.close(stdout)
        forked.stdin, forked.stdout = os.fdopen(given, "wb"), os.fdopen(taken, "rb", buffering=0)
        return forked

    def _fork(self, request: bytes, *streams: int) -> Forked:
        said, saying = os.pipe()
        try:
            socket.send_fds(self._socket, [request], [*streams, saying])
        finally:
            os.close(saying)
        return Forked(said)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait(10)


def _request(env: Mapping[str, str], **fields: object) -> bytes | None:
    """The message; None where what is asked for is to start in a way that a fork cannot."""
    request = json.dumps({**fields, "env": dict(env)}).encode()
    plain = env.get("LANG") == "C.UTF-8" and not any(name.startswith("PYTHON") for name in env)
    return request if plain and len(request) <= WIDEST else None


@functools.cache
def prefork() -> Prefork:
    """The one of this process of the tests."""
    forks = Prefork()
    atexit.register(forks.close)
    return forks


def at_terminal(
    *arguments: str, cwd: Path, env: Mapping[str, str], terminal: int, installed: bool = False
) -> Forked | subprocess.Popen[bytes]:
    """Start a command at a terminal, forked where that can be and the installed one is not asked for."""
    forked = None if installed else prefork().at_terminal(arguments, cwd=cwd, env=env, terminal=terminal)
    if forked is not None:
        return forked
    return subprocess.Popen(
        [str(TOOLHOST), *arguments],
        cwd=cwd,
        env=env,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )


def command(
    *arguments: str, stdin: str = "", cwd: Path = Path("/"), env: Mapping[str, str], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command, forked where that can be."""
    done = prefork().run(arguments, stdin=stdin, cwd=cwd, env=env, timeout=timeout)
    if done is not None:
        return done
    return subprocess.run(
        [str(TOOLHOST), *arguments],
        input=stdin,
        cwd=cwd,
        env=env,
        timeout=timeout,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )


def start(
    *arguments: str, env: Mapping[str, str], stderr: int = 2, script: Path | None = None
) -> Forked | subprocess.Popen[bytes]:
    """Start a server, or a script that is a host, forked where that can be. What is measured is never forked."""
    if "PYTEST_VERSION" in os.environ:
        forked = prefork().start(arguments, env=env, stderr=stderr, script=script)
        if forked is not None:
            return forked
    words = [str(TOOLHOST)] if script is None else [sys.executable, str(script)]
    return subprocess.Popen(
        [*words, *arguments], cwd="/", env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
    )


def _serve(connection: socket.socket) -> dict[str, object]:
    """Fork for each request until the other end is closed; returns the request where this is a fork."""
    running: dict[int, tuple[int, int]] = {}  # by its pidfd: its pid, and where to say how it ended
    ready = select.poll()
    ready.register(connection, select.POLLIN)
    while True:
        for fd, _ in ready.poll():
            if fd in running:
                pid, said = running.pop(fd)
                _say(said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                ready.unregister(fd)
                os.close(fd)
                os.close(said)
                continue
            data, descriptors, _, _ = socket.recv_fds(connection, WIDEST, 4)
            if not data:
                os._exit(0)
            request: dict[str, object] = json.loads(data)
            *streams, said = descriptors
            pid = os.fork()
            if pid == 0:
                connection.close()
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                for other in (*descriptors, *running, *(saying for _, saying in running.values())):
                    os.close(other)
                return request
            for stream in streams:
                os.close(stream)
            _say(said, pid)
            running[fd := os.pidfd_open(pid)] = pid, said
            ready.register(fd, select.POLLIN)


def _say(said: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody wants to know
        os.write(said, f"{number}\n".encode())


def main() -> None:
    """Import, then fork."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    cli = importlib.import_module("toolhost.cli")
    for module in (*(module for module, _ in cli.COMMANDS.values()), *AHEAD):
        importlib.import_module(module)
    gc.freeze()
    request = _serve(connection)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    if request.get("session"):
        os.setsid()
    script = request.get("script")
    sys.argv = [str(script or "toolhost"), *request["arguments"]]  # type: ignore[misc]
    try:
        if script is None:
            cli.main()
        else:
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as ended:
        _end(ended.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        _end(1)
    _end(0)


def _end(code: object) -> None:
    """End as an interpreter does, but for taking all modules apart: that would copy the memory that forks share."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect(1)  # what is left of what ran says what it has to; not all there is, which would copy as much
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        os._exit(120)
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main()
