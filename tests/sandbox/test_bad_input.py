"""What is wrong with the machine or a plan is a typed error that names the cause; nothing runs, nothing is left."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import Driver, becomes, children, gone, no_sandboxes, own, processes, writable

TRUE = {"programs": ["true"], "arguments": []}


@pytest.fixture
def lone(state: Path) -> Iterator[Driver]:
    """A host of this test alone."""
    driver = Driver(state)
    yield driver
    driver.close()


def test_a_root_that_vanished_refuses_the_call(box: Driver, work: Path) -> None:
    box.ask(**TRUE, roots=[writable(work)], keep="vanished")
    shutil.rmtree(work)
    error = box.ask(kept="vanished")["error"]
    assert (error["type"], error["code"]) == ("PlanRefused", "root_missing")
    assert str(work) in error["text"]


def test_a_root_that_vanishes_under_a_running_call_ends_nothing_else(box: Driver, work: Path) -> None:
    script = "while [ -e /workspace/file ]; do :; done  # 98791"
    (work / "file").touch()
    own(work)
    box.send(programs=["sh"], arguments=["-c", script], roots=[writable(work)], limits={"wall": 20})
    deadline = time.monotonic() + 10
    while not processes("98791") and time.monotonic() < deadline:
        time.sleep(0.01)
    shutil.rmtree(work)
    assert box.read()["status"] == "exited"
    assert box.sh("echo ran")["stdout"] == "ran\n"


@pytest.mark.parametrize("name", ["wall", "cpu", "memory", "processes", "open_files", "file_size", "output", "scratch"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_of_nothing_refuses_the_plan(box: Driver, name: str, value: int) -> None:
    error = box.ask(**TRUE, limits={name: value})["error"]
    assert (error["type"], error["code"]) == ("PlanRefused", "limit_invalid")
    assert f"`{name}`" in error["text"]


def test_a_limit_that_leaves_no_room_is_an_end_and_no_failure_of_the_host(box: Driver) -> None:
    for limits in ({"memory": 1}, {"processes": 1}, {"open_files": 1}, {"scratch": 1}, {"file_size": 1}):
        said = box.sh("echo ran", limits=limits)
        assert "status" in said or said["error"]["type"] == "PlanRefused", limits
    assert box.sh("echo ran")["stdout"] == "ran\n"


def open_descriptors(driver: Driver) -> int:
    return driver.ask(do="facts")["descriptors"]


def test_descriptors_that_run_out_at_any_point_are_a_typed_error_and_leave_nothing(lone: Driver, work: Path) -> None:
    # What was there before counts as growth where it was not measured before.
    (work / "deep" / "er").mkdir(parents=True)
    (work / "deep" / "er" / "large").write_bytes(b"x" * (2 << 20))
    own(work)
    kinds = itertools.cycle(
        (
            TRUE,
            {**TRUE, "roots": [writable(work, hidden=["a"], protected=["b"])], "limits": {"workspace": 1 << 20}},
            {**TRUE, "network": ["example.org:443"]},
            {**TRUE, "isolation": "conversation", "conversation": "c", "roots": [writable(work, hidden_globs=["x*"])]},
        )
    )
    for _ in range(4):
        lone.ask(**next(kinds))
    assert no_tools_left(lone)
    before = lone.ask(do="facts")["descriptors"]
    odd, ran = [], 0
    for spare, request in zip([0, *range(42)], kinds, strict=False):
        said = lone.ask(do="starved", spare=spare, request=request)
        if "error" in said:
            if said["error"]["code"] != "descriptors_exhausted":
                odd.append(said)
            assert said["error"]["type"] in {"SandboxUnavailable", "PlanRefused"}, said
        elif said["status"] == "limit":  # it ran, and then its growth could not be told
            assert said["limit"] == "workspace", said
        else:
            assert (said["status"], said["exit_code"]) == ("exited", 0), said
            ran += 1
    assert not odd
    assert ran  # with enough of them it runs
    assert becomes(lambda: lone.ask(do="facts")["descriptors"] <= before + 2, within=20)
    assert list(work.iterdir()) == [work / "deep"]
    assert lone.sh("echo ran")["stdout"] == "ran\n"


_HOG = """
import os
open("/workspace/up", "w").close()
while not os.path.exists("/workspace/go"): pass
for _ in range(4):
    if os.fork() == 0: break
held = b"x" * (24 << 20)
while True: pass
"""


def test_a_call_is_watched_on_when_there_were_no_descriptors_for_a_while(lone: Driver, work: Path) -> None:
    hog = {"programs": ["python3"], "arguments": ["-c", _HOG], "roots": [writable(work)]}
    hog |= {"limits": {"memory": 64 << 20, "wall": 20}}
    starve = {"do": "breathless", "after": str(work / "up"), "then": str(work / "go"), "seconds": 0.3}
    said, _ = lone.ask(do="gather", requests=[hog, starve])["answers"]
    assert (said["status"], said["limit"]) == ("limit", "memory")


def test_a_spawner_without_descriptors_says_so_and_recovers(lone: Driver, work: Path) -> None:
    request = {**TRUE, "roots": [writable(work, hidden=["a", "b"], protected=["c"])]}
    lone.ask(**request)
    (spawner,) = children(lone.process.pid)
    usual = lone.ask(do="starve", pid=spawner, most=110)["most"]
    refused = 0
    for limit in range(64, 110, 2):
        lone.ask(do="starve", pid=spawner, most=limit)
        # Another shape each time: what is armed already needs no descriptor.
        said = lone.ask(10, **request, limits={"memory": (256 << 20) + limit})
        if "error" in said:
            refused += 1
            assert said["error"]["type"] in {"SandboxUnavailable", "PlanRefused"}, said
        else:
            assert (said["status"], said["exit_code"]) == ("exited", 0), said
    assert refused
    lone.ask(do="starve", pid=spawner, most=usual)
    said = lone.ask(**request)
    assert said.get("status") == "exited", said
    assert list(work.iterdir()) == []


def test_a_spawner_without_descriptors_covers_nothing_by_half(lone: Driver, work: Path) -> None:
    request = {**TRUE, "roots": [writable(work, hidden=["a", "b/c"], protected=[".git/hooks", "commondir"])]}
    lone.ask(**request)
    (spawner,) = children(lone.process.pid)
    usual = lone.ask(do="starve", pid=spawner, most=4096)["most"]
    ran: list[bool] = []
    for limit in range(64, 110):
        while not lone.ask(do="settle")["armed"]:  # what stands needs to be covered, and nothing else
            lone.ask(**request)
        lone.ask(do="starve", pid=spawner, most=limit)
        said = lone.ask(10, **request)
        lone.ask(do="starve", pid=spawner, most=usual)
        ran.append("status" in said)
        if not ran[-1]:
            assert said["error"]["code"] in {"descriptors_exhausted", "mask_failed"}, said
            said = lone.ask(**request)
        assert (said["status"], said["exit_code"]) == ("exited", 0), said
        assert list(work.iterdir()) == []
    assert set(ran) == {False, True}


def no_tools_left(driver: Driver) -> bool:
    return not processes("/usr/bin/true")


def test_a_bubblewrap_that_is_killed_while_it_sets_up_is_a_typed_error(lone: Driver) -> None:
    lone.ask(**TRUE)
    (spawner,) = children(lone.process.pid)
    lone.send(do="gather", requests=[TRUE] * 20)
    killed = 0
    deadline = time.monotonic() + 20
    while killed < 10 and time.monotonic() < deadline:
        for pid in children(spawner):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    answers = lone.read()["answers"]
    assert len(answers) == 20
    for said in answers:
        ended = said.get("status") in {"exited", "signaled"}
        assert ended or said["error"]["type"] == "SandboxUnavailable", said
    assert lone.sh("echo ran")["stdout"] == "ran\n"


# A bubblewrap that ends at one of its steps; which one, the CPU limit says, which is the only word that differs.
_STEPS = {
    "ended without a word": "exit 1",
    "no luck": "echo 'bwrap: no luck' >&2; exit 1",
    "it ended without": "printf '{\"child-pid\": ' >&9; exit 1",
    "without a word": "printf '{\"child-pid\": 1}' >&9; printf R >&2; exit 0",
    "without a": "printf R >&2; kill -SEGV $$",
    "refused a limit": "printf '!limits\\n+\\n126\\n' >&2; exec /usr/bin/sleep 98775",  # and waits to be let go
}
_DYING = """#!/bin/bash
case "$1" in --help|--version) exec /usr/games/bwrap "$1";; esac
case "$*" in
{cases}
esac
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to put another bubblewrap in its place")
def test_a_bubblewrap_that_ends_at_any_of_its_steps_is_named_and_nothing_runs(state: Path, space: Path) -> None:
    cases = "\n".join(f'*"-t {cpu} "*) {step} ;;' for cpu, step in enumerate(_STEPS.values(), 11))
    (space / "bwrap").write_text(_DYING.replace("{cases}", cases))
    (space / "bwrap").chmod(0o755)
    mounts = space / "mounts"
    mounts.write_text(
        "#!/bin/sh\nmount -t tmpfs toolhost /usr/games && cp /usr/bin/bwrap /usr/games/ &&\n"
        f'cp {space}/bwrap /usr/games/dying && mount --bind /usr/games/dying /usr/bin/bwrap && exec "$@"\n'
    )
    mounts.chmod(0o755)
    dying = Driver(state, prefix=("/usr/bin/unshare", "--mount", str(mounts)))
    try:
        for cpu, said in enumerate(_STEPS, 11):
            for isolation in ("call", "conversation"):
                talk = {"isolation": isolation, "conversation": "c", "limits": {"cpu": cpu}}
                error = dying.ask(10, programs=["sh"], arguments=["-c", "echo ran # 98775"], **talk)["error"]
                limit = said == "refused a limit"
                assert error["code"] == ("limits_refused" if limit else "setup_failed"), said
                assert error["type"] == ("PlanRefused" if limit else "SandboxUnavailable")
                assert said in error["text"]
        assert gone("98775")
        assert no_sandboxes(dying)
    finally:
        dying.close()


def test_a_filter_that_was_cut_short_runs_nothing(state: Path) -> None:
    broken = Driver(state, prefix=("/usr/bin/env", "TOOLHOST_TEST_CUT_FILTER=1"))
    try:
        error = broken.sh("echo ran")["error"]
        assert error["type"] == "SandboxUnavailable"
        assert error["code"] == "setup_failed"
        assert no_sandboxes(broken)
    finally:
        broken.close()


@pytest.mark.parametrize("step", range(1, 7))
def test_a_spawner_that_cannot_change_its_mounts_goes_on_in_its_own_or_not_at_all(
    state: Path, work: Path, step: int
) -> None:
    call = {**TRUE, "roots": [writable(work, protected=[".envrc"])]}
    barred = Driver(state, prefix=("/usr/bin/env", f"TOOLHOST_TEST_BARRED={step}"))
    try:
        codes = [barred.ask(**call).get("error", {}).get("code", "ran") for _ in range(3)]
        back = step % 2 == 0  # every second step is the way back into its own
        assert codes[1:] == ["spawner_gone" if back else "ran"] * 2, codes
    finally:
        barred.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_full_disk_is_a_typed_error() -> None:
    folder = Path(tempfile.mkdtemp(prefix="toolhost-full-", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0755", "full", folder], check=True)
    try:
        own(folder)
        full = Driver(folder)
        try:
            full.ask(do="facts")  # it has started, and made what it makes at its start
            with (folder / "filler").open("ab", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            error = full.ask(programs=["python3"], arguments=["-c", "print('ran')"])["error"]
            assert error["type"] == "SandboxUnavailable"
            assert "space" in error["text"]
            assert no_sandboxes(full)
            (folder / "filler").unlink()
        finally:
            full.close()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()
