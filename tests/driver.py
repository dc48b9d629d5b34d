"""The test's end of `harness.py`: a sandbox in a process of the service user, and what its tests ask of the machine."""

from __future__ import annotations

import json
import os
import pwd
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prefork import Forked

HARNESS = Path(__file__).parent / "harness.py"


class Driver:
    """A process of the service user with a sandbox in it."""

    def __init__(
        self,
        state: Path,
        script: Path = HARNESS,
        *,
        prefix: Sequence[str] = (),
        armament: dict[str, float] | None = None,
    ) -> None:
        self._left = b""
        more = [json.dumps(armament)] if armament else []
        self.process = self._begin([*prefix, sys.executable, str(script), str(state), *more])

    def _begin(self, command: list[str]) -> subprocess.Popen[bytes] | Forked:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")

    def ask(self, within: float = 60, /, **request: Any) -> dict[str, Any]:
        """Send one request and read its answer."""
        self.send(**request)
        return self.read(within)

    def send(self, **request: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def read(self, within: float = 60) -> dict[str, Any]:
        assert self.process.stdout is not None
        deadline = time.monotonic() + within
        while b"\n" not in self._left:
            ready, _, _ = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"no answer within {within} s"
            piece = os.read(self.process.stdout.fileno(), 1 << 20)
            assert piece, "the harness ended"
            self._left += piece
        line, _, self._left = self._left.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def sh(self, script: str, *programs: str, **request: Any) -> dict[str, Any]:
        """Run a shell script with the named programs beside the shell."""
        return self.ask(programs=["sh", *programs], arguments=["-c", script], **request)

    def python(self, code: str, *programs: str, **request: Any) -> dict[str, Any]:
        """Run Python code."""
        return self.ask(programs=["python3", *programs], arguments=["-c", code], **request)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(15)
        finally:
            self.process.kill()
            self.process.wait(15)
            self.process.stdout.close()


def processes(tag: str) -> list[int]:
    """Pids of processes on the host whose command line holds `tag`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    if tag.encode() in file.read():
                        found.append(int(name))
            except OSError:
                continue
    return found


def gone(tag: str, within: float = 1.0) -> bool:
    """Whether no process with `tag` in its command line is left after at most `within` seconds."""
    deadline = time.monotonic() + within
    while processes(tag):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def children(pid: int) -> list[int]:
    """Child processes of a process."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def no_sandboxes(box: Driver, within: float = 1.0) -> bool:
    """Whether the driver's spawner has no child left after at most `within` seconds."""
    deadline = time.monotonic() + within
    while any(children(spawner) for spawner in children(box.process.pid)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def becomes(true: Callable[[], bool], within: float = 1.0) -> bool:
    """Whether something becomes true in at most `within` seconds."""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def no_tools(box: Driver, within: float = 1.0) -> bool:
    """Whether nothing but waiting launchers is left in the driver's sandboxes after at most `within` seconds."""
    deadline = time.monotonic() + within
    while any(name not in ("bwrap", "7") for name in _names_below(children(box.process.pid))):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _names_below(pids: list[int]) -> Iterator[str]:
    """The names of all descendants, but not of the processes themselves."""
    for pid in pids:
        try:
            below = children(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in below:
            try:
                yield Path(f"/proc/{child}/comm").read_text().strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
        yield from _names_below(below)


def own(folder: Path) -> Path:
    """Give a folder and everything in it to the service user, where the tests run as root."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("toolhost")
        for each in (folder, *folder.rglob("*")):
            os.chown(each, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return folder


@pytest.fixture(scope="session")
def state() -> Iterator[Path]:
    """The state folder; shared, so that each tool root is made once."""
    folder = own(Path(tempfile.mkdtemp(prefix="toolhost-state-", dir="/tmp")))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def box(state: Path) -> Iterator[Driver]:
    """Runs plans; every call is a sandbox of its own."""
    driver = Driver(state)
    yield driver
    driver.close()


@pytest.fixture
def work(space: Path) -> Path:
    """An empty folder of the service user's, to be a root."""
    folder = space / "work"
    folder.mkdir()
    return own(folder)


def writable(folder: Path, target: str = "/workspace", **more: Any) -> dict[str, Any]:
    """A writable root of a request."""
    return {"source": str(folder), "target": target, "writable": True, **more}


def readable(folder: Path, target: str = "/readable", **more: Any) -> dict[str, Any]:
    """A read-only root of a request."""
    return {"source": str(folder), "target": target, **more}
