"""Nothing outlives its host, however the host ends."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

import pytest
from driver import Driver, becomes, children, gone, processes, writable


@pytest.fixture
def own_box(state: Path) -> Driver:
    return Driver(state)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_host_that_is_killed_takes_its_sandboxes_along(own_box: Driver, work: Path, number: int) -> None:
    fifo = work / "up"
    os.mkfifo(fifo)
    os.chown(fifo, work.stat().st_uid, -1)
    root = writable(work, protected=[".envrc"])
    own_box.send(
        programs=["sh", "sleep", "setsid"],
        arguments=["-c", "setsid sleep 98781 & echo x > /workspace/up; sleep 98781"],
        roots=[root],
    )
    with fifo.open() as up:
        assert up.read() == "x\n"
    assert becomes(lambda: len(processes("98781")) >= 2)
    own_box.process.send_signal(number)
    assert gone("98781")
    assert own_box.process.wait(10) != 0
    assert becomes(lambda: os.listdir(work) == ["up"])  # the spawner has removed the placeholder
    own_box.close()


@pytest.mark.parametrize("round_", range(6))
def test_a_host_killed_while_sandboxes_are_made_leaves_none(own_box: Driver, work: Path, round_: int) -> None:
    one = {"programs": ["sh", "sleep"], "arguments": ["-c", "sleep 98782"], "roots": [writable(work)]}
    own_box.ask(programs=["sh", "sleep"], arguments=["-c", "true"])
    own_box.send(do="gather", requests=[one] * 8)
    spawner = children(own_box.process.pid)
    assert len(spawner) == 1
    select_for(round_ * 0.004)
    own_box.process.kill()
    own_box.process.wait(10)
    assert gone("98782")
    assert ended(spawner[0])
    own_box.close()


def test_a_bubblewrap_that_was_stopped_goes_with_its_call(own_box: Driver, work: Path) -> None:
    os.mkfifo(work / "go")
    os.chown(work / "go", work.stat().st_uid, -1)
    own_box.send(programs=["sh"], arguments=["-c", "read x < /workspace/go; echo $x"], roots=[writable(work)])
    with (work / "go").open("w") as go:
        (spawner,) = children(own_box.process.pid)
        (bubblewrap,) = children(spawner)
        os.kill(bubblewrap, signal.SIGSTOP)
        go.write("ran\n")
    assert own_box.read()["stdout"] == "ran\n"
    own_box.ask(do="disarm")
    assert ended(bubblewrap, within=2)
    own_box.close()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/toolhost/call-{own_box.process.pid}-*"))


def test_closing_ends_the_spawner_and_every_call(own_box: Driver) -> None:
    own_box.sh("true")
    spawner = children(own_box.process.pid)
    own_box.close()
    assert own_box.process.returncode == 0
    assert ended(spawner[0])


def test_a_dead_spawner_refuses_every_call(own_box: Driver) -> None:
    own_box.sh("true")
    own_box.ask(do="disarm")  # one that stands already dies with the spawner, if a call does not reach it first
    os.kill(children(own_box.process.pid)[0], signal.SIGKILL)
    assert own_box.sh("echo ran")["error"]["code"] in {"spawner_gone", "launch_failed"}
    own_box.close()


def test_root_may_not_start_a_sandbox(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    from toolhost.sandbox import Sandbox, SandboxUnavailable

    with pytest.raises(SandboxUnavailable, match="root"):
        Sandbox.start(tmp_path)


def select_for(seconds: float) -> None:
    """Let the machine work for a moment: the point of these rounds is to hit different moments of a set-up."""
    select.select([], [], [], seconds)


def ended(pid: int, within: float = 1.0) -> bool:
    deadline = time.monotonic() + within
    while Path(f"/proc/{pid}").exists():
        if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return True
        if time.monotonic() > deadline:
            return False
        select_for(0.01)
    return True


@pytest.mark.parametrize("isolation", ["call", "conversation"])
def test_a_call_that_may_not_begin_any_more_leaves_nothing_that_the_next_ones_meet(
    own_box: Driver, isolation: str
) -> None:
    echo = {"programs": ["echo"], "arguments": ["hello"], "isolation": isolation, "conversation": "c"}
    for number in range(20):
        assert own_box.ask(refused=True, **echo)["error"]["code"] == "policy_changed"
        # The numbers of its descriptors are others' now, such as of the connection of a server's client.
        assert own_box.ask(do="listen", pipes=16)["heard"] == 16, number
    own_box.close()
