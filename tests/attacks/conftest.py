"""What the attacks share: a sandbox, a whole host, a secret beside them, and a look at what is left afterwards."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import Driver, becomes, box, no_tools, state, work
from hosted import Hosted
from internet import internet, online

__all__ = ["box", "internet", "online", "state", "work"]

# What a person would grant for looking at things: each attack on it is refused, or harmless where it runs.
READING = """
runs_code = ["sh", "python3"]
[commands]
allow = [
  "awk {regex:[{] *print [$][0-9]+ *[}]} {read...}",
  "cat {read...}",
  "echo {text...}",
  "find {read}",
  "find {read} -name {text}",
  "git diff --no-ext-diff --no-textconv [--stat] [--] [{read...}]",
  "git log --no-ext-diff --no-textconv [--oneline] [-n|--max-count {int:1..500}] [--author {text}] [--] [{read...}]",
  "git status [--short] [--] [{read...}]",
  "ls [-l] [-a] [--] [{read...}]",
  "python3 -c {text}",
  "rg [-n] [-i] -- {text} [{read...}]",
  "sed -n {regex:[0-9]+(,[0-9]+)?p} {read...}",
  "sh -c {text}",
  "sort [-n] [-r] [--] {read...}",
  "tar -tf {read}",
  "touch {write...}",
  "xxd [-l {int}] {read}",
]
inside = [
  "cat", "chmod", "cp", "dirname", "git", "ln", "ls", "mkdir", "mkfifo", "mv", "rm", "sleep", "touch", "true", "yes",
]
[paths]
write = ["{workspace}"]
"""


@pytest.fixture
def canary(space: Path) -> Path:
    """A host secret that the service user may read, outside every root."""
    file = space / "canary"
    file.write_text("CANARY")
    file.chmod(0o644)
    return file


@pytest.fixture(scope="module")
def shared_host() -> Iterator[Hosted]:
    """A host whose policy lets the probe's programs look at the workspace."""
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    hosted = Hosted(folder, probe=READING)
    assert hosted.ask(do="facts")["problems"] == []
    yield hosted
    hosted.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def host(shared_host: Hosted) -> Hosted:
    """The host, with an empty workspace."""
    for path in shared_host.workspace.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return shared_host


@pytest.fixture
def new_host(space: Path) -> Iterator[Callable[..., Hosted]]:
    """Starts a host with policies of the test's own."""
    started: list[Hosted] = []

    def start(**policies: str) -> Hosted:
        started.append(Hosted(space, **policies))
        started[-1].ask(do="facts")  # it is up
        return started[-1]

    yield start
    for each in started:
        each.close()


def _mounts() -> set[str]:
    """The mounts of the host, but for the network namespaces and full disks that other tests make meanwhile."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line for line in lines if "/netns" not in line and "/tmp/toolhost-full-" not in line}


def _folders() -> set[str]:
    """What an attack or a probe keeps its files in; other tests' servers make and remove such folders too."""
    return {name for name in os.listdir("/tmp") if name.startswith(("toolhost-attack", "toolhost-probe"))}


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each attack: no tool runs, no mount and no file of the host's is more than before, no set-id bit stands."""
    drivers = [request.getfixturevalue(name) for name in ("box", "host") if name in request.fixturenames]
    space = request.getfixturevalue("space") if "space" in request.fixturenames else None
    mounts, before = _mounts(), _folders()
    yield
    for driver in drivers:
        assert isinstance(driver, Driver)
        assert no_tools(driver), "a process of the sandbox is left"
    assert _mounts() == mounts
    found = _folders() - before
    assert becomes(lambda: not found & _folders(), within=20.0)
    for path in space.rglob("*") if space is not None else ():
        mode = path.lstat().st_mode
        assert not mode & (stat.S_ISUID | stat.S_ISGID), path
        assert not stat.S_ISBLK(mode), path
