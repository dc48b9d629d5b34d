"""The bench that tests of plugins work at, and a host with the bundled plugins under their packaged policies."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import own
from hosted import Hosted
from internet import internet
from pluginbench import POLICIES, Bench
from warmth import warm

__all__ = ["internet"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "works(*tools): bundled tools that end well in this test")


@pytest.fixture(autouse=True)
def _works(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test says that works in it has to."""
    before = len(Hosted.worked)
    yield
    mark = request.node.get_closest_marker("works")
    missing = set(mark.args if mark else ()) - set(Hosted.worked[before:])
    assert not missing


@pytest.fixture(scope="session")
def shared_state() -> Iterator[Path]:
    """The sandbox's state folder for all tests: copying Python's library anew for each would be most of the time."""
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    warm(folder / "data")
    yield folder / "data" / "state"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bench(space: Path, shared_state: Path) -> Bench:
    """An empty bench with the packaged policies."""
    folder = space / "host"
    folder.mkdir()
    return Bench(folder, shared_state)


@pytest.fixture(scope="session")
def bundled_host() -> Iterator[Hosted]:
    """One host for all tests of bundled plugins; they differ in their workspace."""
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    host = Hosted(folder, **{file.stem: file.read_text() for file in POLICIES.glob("*.toml")})
    assert host.ask(do="facts")["problems"] == []
    yield host
    host.close()
    shutil.rmtree(folder, ignore_errors=True)


class Person:
    """Somebody who calls bundled tools in a workspace."""

    def __init__(self, host: Hosted, workspace: Path) -> None:
        self._host = host
        self.workspace = workspace

    def call(self, tool: str, *, approve: bool = True, **arguments: Any) -> dict[str, Any]:
        """The result object of a call; what asks is approved."""
        own(self.workspace)
        return self._host.ask(tool=tool, arguments=arguments, workspace=str(self.workspace), approve=approve)

    def text(self, tool: str, **arguments: Any) -> str:
        """What a call shows that has to succeed."""
        result = self.call(tool, **arguments)
        assert result.get("status") == "ok", result
        return str(result["stdout"])

    def value(self, tool: str, **arguments: Any) -> Any:
        """The structured result of a call that has to succeed."""
        result = self.call(tool, **arguments)
        assert result.get("status") == "ok", result
        return next(part["value"] for part in result["content"] if part["type"] == "json")

    def fails(self, tool: str, **arguments: Any) -> str:
        """The code of a call that has to fail."""
        result = self.call(tool, **arguments)
        assert result.get("status", "error") == "error", result
        return str(result["error"]["code"])

    def decided(self, tool: str, **arguments: Any) -> str:
        """How a call is decided that nobody approves."""
        return str(self.call(tool, approve=False, **arguments)["decision"]["outcome"])

    def denied(self, tool: str, **arguments: Any) -> str:
        """The code by which a call is denied that an approval would not help."""
        result = self.call(tool, **arguments)
        assert result.get("status") == "denied", result
        return str(result["decision"]["code"])


@pytest.fixture
def ada(bundled_host: Hosted, workspace: Path) -> Person:
    """A person with an empty workspace."""
    return Person(bundled_host, workspace)


@pytest.fixture
def in_repository(bundled_host: Hosted, git_repository: Callable[..., Path]) -> Callable[..., Person]:
    """A person whose workspace is a Git repository with one commit a message."""
    return lambda *messages: Person(bundled_host, git_repository(*messages))
