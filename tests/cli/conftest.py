"""Policies of a test's own, and what belongs to watching a command while it runs."""

import os
import pty
import select
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import own
from prefork import at_terminal

ROOT = Path(__file__).parents[2]


@pytest.fixture
def policies(space: Path, environment: dict[str, str]) -> Path:
    """A policies folder for this test: the packaged files, to be changed before the first command."""
    folder = space / "policies"
    shutil.copytree(ROOT / "policies", folder, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    environment["TOOLHOST_POLICIES"] = str(folder)
    # Of its own files the host knows at once that nobody writes them; of others' it waits for a while to be sure.
    return own(folder)


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, *arguments: str, cwd: Path, env: dict[str, str], installed: bool) -> None:
        self._ours, theirs = pty.openpty()
        try:
            self.process = at_terminal(*arguments, cwd=cwd, env=env, terminal=theirs, installed=installed)
        finally:
            os.close(theirs)
        self.shown = ""

    def wait_for(self, text: str, timeout: float = 30) -> str:
        """Read until the terminal shows a text; returns everything shown so far."""
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            readable, _, _ = select.select([self._ours], [], [], max(0, deadline - time.monotonic()))
            if not readable or not self._read():
                pytest.fail(f"the terminal never showed {text!r}, but {self.shown!r}")
        return self.shown

    def _read(self) -> bool:
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._ours, text.encode())

    def end(self, timeout: float = 30) -> int:
        """Wait until the command ends; returns its exit code."""
        deadline = time.monotonic() + timeout
        while select.select([self._ours], [], [], max(0, deadline - time.monotonic()))[0] and self._read():
            pass
        return self.process.wait(max(1, deadline - time.monotonic()))

    def close(self) -> None:
        """End the command and the terminal."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self._ours)


@pytest.fixture
def terminal(environment: dict[str, str], workspace: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts `toolhost` at a terminal, in the workspace."""
    opened: list[Terminal] = []

    def start(*arguments: str, installed: bool = False) -> Terminal:
        opened.append(Terminal(*arguments, cwd=workspace, env=environment, installed=installed))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
