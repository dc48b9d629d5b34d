"""The command line without a start of the interpreter for each command: `main()`, forked where it was imported before.

Importing takes half a second of the processor, and the tests give hundreds of commands. What is forked has imported the
code and done nothing else; its arguments, folder, variables and streams are those of the command, and it ends as an
interpreter does. How the installed command itself starts is shown by those tests that start it.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

WIDEST = 1 << 17  # bytes of a request
SERVERS = ("toolhost.cli.serve", "toolhost.cli.demo")


class Prefork:
    """The test's end."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._alone = threading.Lock()
        variables = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd="/", env=variables, pass_fds=[theirs.fileno()])

    def run(
        self, arguments: Sequence[str], *, stdin: str, cwd: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str] | None:
        """As `subprocess.run` of the installed command; None where this is no place for it.

        Another command may be running, or this one is to start otherwise, or it is longer than a message.
        """
        request = json.dumps({"arguments": arguments, "cwd": str(cwd), "env": dict(env), "within": timeout}).encode()
        plain = env.get("LANG") == "C.UTF-8" and not any(name.startswith("PYTHON") for name in env)
        if not plain or arguments[:1] in (("serve",), ("demo",)) or len(request) > WIDEST:
            return None
        if not self._alone.acquire(blocking=False):
            return None
        try:
            return self._run(arguments, request, stdin, timeout)
        finally:
            self._alone.release()

    def _run(
        self, arguments: Sequence[str], request: bytes, stdin: str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin.encode(errors="surrogateescape"))
            given.seek(0)
            socket.send_fds(self._socket, [request], [given.fileno(), out.fileno(), err.fileno()])
            self._socket.settimeout(timeout + 10)
            said = json.loads(self._socket.recv(WIDEST))
            if said is None:
                raise subprocess.TimeoutExpired(["toolhost", *arguments], timeout)
            shown = []
            for stream in (out, err):
                stream.seek(0)
                shown.append(stream.read().decode(errors="surrogateescape"))
        return subprocess.CompletedProcess(["toolhost", *arguments], said, *shown)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait(10)


@functools.cache
def prefork() -> Prefork:
    """The one of this process of the tests."""
    forks = Prefork()
    atexit.register(forks.close)
    return forks


def command(
    *arguments: str, stdin: str, cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command, forked where that can be."""
    done = prefork().run(arguments, stdin=stdin, cwd=cwd, env=env, timeout=timeout)
    if done is not None:
        return done
    return subprocess.run(
        [str(Path(sys.executable).parent / "toolhost"), *arguments],
        input=stdin,
        cwd=cwd,
        env=env,
        timeout=timeout,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )


def _serve(connection: socket.socket) -> dict[str, object]:
    """Fork for each request until the other end is closed; returns the request where this is a fork."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(connection, WIDEST, 3)
        if not data:
            os._exit(0)
        request: dict[str, object] = json.loads(data)
        pid = os.fork()
        if pid == 0:
            for number, fd in enumerate(descriptors):
                os.dup2(fd, number)
                os.close(fd)
            connection.close()
            return request
        for fd in descriptors:
            os.close(fd)
        connection.send(json.dumps(_ended(pid, float(str(request["within"])))).encode())


def _ended(pid: int, within: float) -> int | None:
    """How it ended, as `subprocess` says it; None where it had to be killed."""
    fd = os.pidfd_open(pid)
    try:
        in_time = bool(select.select([fd], [], [], within)[0])
        if not in_time:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    finally:
        os.close(fd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if in_time else None


def main() -> None:
    """Import, then fork."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    cli = importlib.import_module("toolhost.cli")
    for module, _ in cli.COMMANDS.values():
        if module not in SERVERS:
            importlib.import_module(module)
    gc.freeze()
    request = _serve(connection)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    sys.argv = ["toolhost", *request["arguments"]]  # type: ignore[misc]
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
