"""What a host leaves behind when it and its spawner are killed together is gone when the next one has started."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import stat
import threading
import time
from pathlib import Path

import pytest
from driver import Driver, children, gone, own, writable
from racing import rounds

from toolhost.sandbox.leftovers import Leftovers

PROTECTED = [".envrc", ".git/hooks", ".vscode", "sub/.mcp.json"]


def test_placeholders_of_a_host_killed_with_its_spawner_are_removed_at_the_next_start(state: Path, work: Path) -> None:
    (work / "sub").mkdir()
    os.mkfifo(work / "up")
    (work / ".bashrc").write_text("mine")
    own(work)
    first = Driver(state)
    root = writable(work, protected=[*PROTECTED, ".bashrc"])
    first.send(programs=["sh", "sleep"], arguments=["-c", "echo x > /workspace/up; sleep 98731"], roots=[root])
    with (work / "up").open() as up:
        assert up.read() == "x\n"
    spawner = children(first.process.pid)[0]
    os.kill(spawner, signal.SIGSTOP)  # so that it cannot clean up
    first.process.kill()
    first.process.wait(10)
    os.kill(spawner, signal.SIGKILL)
    assert gone("98731")
    assert set(os.listdir(work)) == {"up", "sub", ".bashrc", ".envrc", ".git", ".vscode"}
    second = Driver(state)
    second.ask(do="facts")
    assert set(os.listdir(work)) == {"up", "sub", ".bashrc"}
    assert os.listdir(work / "sub") == []
    assert (work / ".bashrc").read_text() == "mine"
    second.close()
    first.close()
    assert os.listdir(state / "placeholders") == []


def test_what_somebody_put_in_the_place_of_a_placeholder_stays(state: Path, work: Path) -> None:
    facts = work.stat()
    (work / ".envrc").write_text("mine")
    (work / ".envrc").chmod(stat.S_ISVTX)
    (work / ".git").mkdir()
    (work / ".git" / "config").write_text("mine")
    (work / ".git").chmod(stat.S_ISVTX)
    own(work)
    noted = {"source": str(work), "device": facts.st_dev, "inode": facts.st_ino, "hidden": [], "protected": PROTECTED}
    (state / "placeholders").mkdir(exist_ok=True)
    (state / "placeholders" / "1").write_text(json.dumps(noted) + "\n")
    own(state / "placeholders")
    driver = Driver(state)
    driver.ask(do="facts")
    driver.close()
    assert set(os.listdir(work)) == {".envrc", ".git"}
    (work / ".envrc").chmod(0o644)
    assert (work / ".envrc").read_text() == "mine"


def test_a_living_host_keeps_its_placeholders_when_another_starts(state: Path, work: Path) -> None:
    os.mkfifo(work / "up")
    own(work)
    first = Driver(state)
    root = writable(work, protected=PROTECTED)
    script = "echo x > /workspace/up; read x < /workspace/up; echo bad > /workspace/.envrc"
    first.send(programs=["sh"], arguments=["-c", script], roots=[root])
    with (work / "up").open() as up:
        assert up.read() == "x\n"
    second = Driver(state)
    second.ask(do="facts")
    assert ".envrc" in os.listdir(work)
    with (work / "up").open("w") as up:
        up.write("go on\n")
    assert first.read()["exit_code"] != 0
    assert os.listdir(work) == ["up"]
    first.close()
    second.close()


def test_hosts_that_need_and_remove_the_same_placeholders_refuse_no_call(state: Path, work: Path) -> None:
    call = {"programs": ["true"], "arguments": [], "roots": [writable(work, protected=[*PROTECTED, "commondir"])]}
    hosts = [Driver(state) for _ in range(3)]
    try:
        for _ in range(rounds(30)):
            for host in hosts:
                host.send(do="gather", requests=[call] * 4)
            said = [one for host in hosts for one in host.read()["answers"]]
            assert [one.get("error") for one in said] == [None] * 12
    finally:
        for host in hosts:
            host.close()
    assert os.listdir(work) == []


def test_a_placeholder_waits_for_the_next_call_unless_somebody_filled_it(state: Path, work: Path) -> None:
    for name in ("up", "down"):
        os.mkfifo(work / name)
    own(work)
    driver = Driver(state)
    root = writable(work, protected=PROTECTED)

    def waiting() -> set[int]:
        return {one.lstat().st_ino for one in (state / "spares").glob("*/*")}

    assert driver.sh("true", roots=[root])["exit_code"] == 0
    first = waiting()
    assert len(first) == 2  # the folder, and the file that had two names
    assert set(os.listdir(work)) == {"up", "down"}
    script = "echo x > /workspace/up; read x < /workspace/down; echo bad > /workspace/.envrc"
    driver.send(programs=["sh"], arguments=["-c", script], roots=[root])
    assert (work / "up").read_text() == "x\n"
    assert {(work / name).lstat().st_ino for name in (".envrc", ".git", ".vscode")} == first
    (work / ".envrc").write_text("mine")
    (work / "down").write_text("go on\n")
    assert driver.read()["exit_code"] != 0
    assert (work / ".envrc").read_text() == "mine"
    assert ".git" not in os.listdir(work)
    filled = (work / ".envrc").stat().st_ino
    assert len(waiting()) == 1
    assert filled not in waiting()
    assert driver.sh("true", roots=[root])["exit_code"] == 0
    assert (work / ".envrc").read_text() == "mine"
    driver.close()
    assert os.listdir(state / "spares") == []


def test_what_a_killed_spawner_kept_is_gone_when_the_next_one_has_started(state: Path, work: Path) -> None:
    first = Driver(state)
    first.sh("true", roots=[writable(work, protected=PROTECTED)])
    spawner = children(first.process.pid)[0]
    os.kill(spawner, signal.SIGKILL)
    first.process.kill()
    first.process.wait(10)
    assert os.listdir(state / "spares") != []
    second = Driver(state)
    second.ask(do="facts")
    assert os.listdir(state / "spares") == []
    second.close()
    first.close()


def trees(state: Path) -> set[str]:
    return set(os.listdir(state / "tool-roots" / "trees"))


def test_old_tool_roots_are_cleared_out_but_none_that_is_in_use(space: Path) -> None:
    state = own(space)
    first = Driver(state)
    first.ask(programs=["true"])
    second = Driver(state)
    second.ask(programs=["true", "false"])
    assert len(trees(state)) == 2
    second.close()
    long_ago = time.time() - 365 * 24 * 3600
    for path in [*(state / "tool-roots" / "index").iterdir(), state / "tool-roots" / "lock"]:
        os.utime(path, (long_ago, long_ago))
    blobs = len(os.listdir(state / "tool-roots" / "blobs"))
    third = Driver(state)
    third.ask(do="facts")
    assert len(trees(state)) == 1
    assert len(os.listdir(state / "tool-roots" / "blobs")) == blobs - 1  # false; the libraries are needed on
    assert first.ask(programs=["true"])["exit_code"] == 0
    assert third.ask(programs=["true", "false"])["exit_code"] == 0
    first.close()
    third.close()


def test_half_made_tool_roots_are_cleared_out_unless_somebody_makes_one(space: Path) -> None:
    state = own(space)
    Driver(state).close()
    folder = state / "tool-roots"
    (folder / "trees" / ".making-1-2" / "usr").mkdir(parents=True)
    (folder / "blobs" / "abc-555-1.4711").write_text("half")
    own(folder)
    with (folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        Driver(state).close()
        assert trees(state) == {".making-1-2"}
    Driver(state).close()
    assert trees(state) == set()
    assert os.listdir(folder / "blobs") == []


def test_a_tool_root_whose_source_changed_is_made_anew(space: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    data = Path("/usr/share/toolhost-test")
    data.mkdir(exist_ok=True)
    try:
        (data / "words").write_text("old")
        state = own(space)
        driver = Driver(state)
        request = {"programs": ["cat"], "arguments": [str(data / "words")], "support": [str(data)]}
        assert driver.ask(**request)["stdout"] == "old"
        driver.close()
        (data / "words").write_text("newer")
        driver = Driver(state)
        assert driver.ask(**request)["stdout"] == "newer"
        driver.close()
    finally:
        shutil.rmtree(data)


def test_notes_are_not_swept_while_their_host_begins_them(tmp_path: Path) -> None:
    roots = [{"writable": True, "source": "/x", "device": 1, "inode": 1, "hidden": (), "protected": (".envrc",)}]
    others, done = Leftovers(str(tmp_path)), threading.Event()
    others.sweep()

    def sweep() -> None:  # as every command does that starts beside a server
        while not done.is_set():
            others.sweep()

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for _ in range(rounds(3000)):
            host = Leftovers(str(tmp_path))
            host.note(roots)
            assert len(list((tmp_path / "placeholders").iterdir())) == 1
            host.close(clean=True)
    finally:
        done.set()
        sweeper.join(30)


def test_placeholders_of_a_killed_spawner_are_removed_at_the_next_start_although_its_host_ended_well(
    state: Path, work: Path
) -> None:
    os.mkfifo(work / "up")
    own(work)
    first = Driver(state)
    first.send(
        programs=["sh", "sleep"],
        arguments=["-c", "echo x > /workspace/up; sleep 98733"],
        roots=[writable(work, protected=PROTECTED)],
    )
    with (work / "up").open() as up:
        assert up.read() == "x\n"
    (spawner,) = children(first.process.pid)
    os.kill(spawner, signal.SIGKILL)
    assert first.read()["status"] == "signaled"
    assert gone("98733")
    first.close()
    assert ".envrc" in os.listdir(work)
    second = Driver(state)
    second.ask(do="facts")
    assert os.listdir(work) == ["up"]
    second.close()
    assert os.listdir(state / "placeholders") == []
