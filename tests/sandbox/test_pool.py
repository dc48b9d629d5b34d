"""Armed sandboxes: made before the call, used once, and never other than a cold one would have been."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import Driver, becomes, children, no_tools, own, readable, writable


@pytest.fixture
def pool(box: Driver) -> Iterator[Driver]:
    """The module's box, with nothing armed at first and at last."""
    box.ask(do="disarm")
    yield box
    box.ask(do="disarm")


def armed(box: Driver) -> int:
    return int(box.ask(do="settle")["armed"])


def test_the_first_call_of_a_shape_is_cold_and_the_next_finds_one_armed(pool: Driver) -> None:
    assert not pool.sh("true")["armed"]
    assert armed(pool) == 1
    assert pool.sh("true")["armed"]


@pytest.mark.parametrize("stands", [True, False])
def test_what_is_reserved_for_a_call_runs_it_or_nothing_and_leaves_nothing(
    pool: Driver, work: Path, stands: bool
) -> None:
    """As it stood in the pool, or was begun for this call because the pool had none."""
    call = {"programs": ["sh"], "arguments": ["-c", "echo ran > ran; echo said"], "cwd": "/workspace"}
    call |= {"roots": [writable(work, protected=[".envrc"])]}
    pool.ask(**call)  # makes the tool root
    before = pool.ask(do="facts")["descriptors"]
    for run in (False, True):
        (work / "ran").unlink()
        if stands:
            pool.ask(**call)
            (work / "ran").unlink()
            assert armed(pool) == 1
        said = pool.ask(do="reserve", run=run, **call)
        assert sorted(os.listdir(work)) == (["ran"] if run else [])
        if run:
            assert (said["stdout"], said["armed"]) == ("said\n", stands)
        else:
            (work / "ran").touch()
        assert becomes(lambda: pool.ask(do="facts")["descriptors"] <= before, within=20)


def test_a_working_folder_that_is_covered_is_entered_covered(pool: Driver, work: Path) -> None:
    """The launcher stands before anything is covered for its call."""
    (work / "private").mkdir()
    (work / "hooks").mkdir()
    (work / "private/secret").write_text("CANARY")
    own(work)
    call = {"programs": ["sh", "ls"], "arguments": ["-c", "ls; echo planted > planted"]}
    call |= {"roots": [writable(work, hidden=["private"], protected=["hooks"])]}
    pool.ask(**call, cwd="/tmp")
    for cwd in ("/workspace/private", "/workspace/hooks"):
        assert armed(pool) == 1
        said = pool.ask(do="reserve", run=True, **call, cwd=cwd)
        assert said["armed"]
        assert "secret" not in said["stdout"]
    assert sorted(os.listdir(work / "private")) == ["secret"]
    assert os.listdir(work / "hooks") == []


def test_one_in_which_nothing_waits_for_a_call_any_more_is_not_used(pool: Driver) -> None:
    pool.sh("true")
    assert armed(pool) == 1
    (spawner,) = children(pool.process.pid)
    (launcher,) = [child for bubblewrap in children(spawner) for child in children(bubblewrap)]
    (waiting,) = children(launcher)
    os.kill(waiting, signal.SIGKILL)
    # It sleeps again: it has said so, and waits for its own end.
    assert becomes(lambda: not children(launcher) and "State:\tS" in Path(f"/proc/{launcher}/status").read_text())
    assert pool.sh("echo ran")["stdout"] == "ran\n"


def test_each_is_used_once(pool: Driver) -> None:
    pool.sh("true")
    armed(pool)
    assert pool.sh("echo left > /tmp/left; echo $$")["armed"]
    armed(pool)
    said = pool.sh("ls -A /tmp", "ls")
    assert said["stdout"] == ""


def test_an_armed_sandbox_runs_nothing_and_leaves_the_workspace_alone(pool: Driver, work: Path) -> None:
    root = writable(work, protected=[".envrc", ".git/hooks"])
    pool.sh("true", roots=[root])
    assert armed(pool) == 1
    assert os.listdir(work) == []


def test_a_path_that_appears_while_one_is_parked_is_covered_all_the_same(pool: Driver, work: Path) -> None:
    root = writable(work, hidden=["secret"], protected=[".envrc"])
    pool.sh("true", roots=[root])
    assert armed(pool) == 1
    (work / "secret").write_text("CANARY")
    (work / ".envrc").write_text("mine")
    own(work)
    said = pool.sh("cat secret; echo x > .envrc; cat .envrc", "cat", roots=[root], cwd="/workspace")
    assert "CANARY" not in said["stdout"] + said["stderr"]
    assert (work / ".envrc").read_text() == "mine"
    # Replaced by another file, as editors do: a mask that was put there earlier would be gone.
    armed(pool)
    (work / "new").write_text("CANARY")
    own(work)
    (work / "new").replace(work / "secret")
    said = pool.sh("cat secret", "cat", roots=[root], cwd="/workspace")
    assert said["armed"]
    assert "CANARY" not in said["stdout"] + said["stderr"]


@pytest.mark.parametrize(
    "other",
    [
        {"limits": {"memory": 256 << 20}},
        {"limits": {"scratch": 8 << 20}},
        {"policy_digest": "sha256:other"},
        {"files": {"/etc/motd": "hello"}},
        {"support": ["/usr/share/misc"]},
    ],
)
def test_a_plan_of_another_shape_gets_its_own(pool: Driver, other: dict[str, Any]) -> None:
    pool.sh("true")
    armed(pool)
    assert not pool.sh("true", **other)["armed"]


def test_what_comes_with_the_call_does_not_change_the_shape(pool: Driver) -> None:
    pool.sh("true")
    armed(pool)
    said = pool.sh('echo "$A $PWD"; cat', "cat", env={"A": "b"}, cwd="/tmp", stdin="given")
    assert not said["armed"]  # another program: another shape
    armed(pool)
    said = pool.sh('echo "$A $PWD"; cat', "cat", env={"A": "c"}, cwd="/", stdin="given")
    assert said["armed"]
    assert said["stdout"] == "c /\ngiven"


def test_a_new_policy_ends_what_was_armed_under_the_old_one(pool: Driver) -> None:
    pool.sh("true", policy_digest="sha256:old")
    assert armed(pool) == 1
    pool.sh("true", policy_digest="sha256:new")
    assert armed(pool) == 1
    assert not pool.sh("true", policy_digest="sha256:old")["armed"]


def test_a_root_that_was_replaced_is_never_served_from_the_pool(pool: Driver, space: Path) -> None:
    folder = space / "root"
    folder.mkdir()
    (folder / "name").write_text("first")
    root = readable(own(folder), "/root")
    pool.ask(programs=["cat"], arguments=["/root/name"], roots=[root])
    pool.ask(programs=["cat"], arguments=["/root/name"], roots=[root], keep="kept")
    assert armed(pool) == 1
    folder.rename(space / "moved")
    assert pool.ask(kept="kept")["error"]["code"] == "root_missing"
    folder.mkdir()
    (folder / "name").write_text("second")
    own(folder)
    assert pool.ask(kept="kept")["error"]["code"] == "root_changed"
    said = pool.ask(programs=["cat"], arguments=["/root/name"], roots=[root])
    assert (said["stdout"], said["armed"]) == ("second", False)


def test_a_root_that_vanishes_refuses_its_calls(pool: Driver, space: Path) -> None:
    folder = space / "gone"
    folder.mkdir()
    pool.sh("true", roots=[readable(own(folder))])
    assert armed(pool) == 1
    pool.sh("true", roots=[readable(folder)], keep="vanishing")
    shutil.rmtree(folder)
    assert pool.ask(kept="vanishing")["error"]["code"] == "root_missing"


def test_a_burst_raises_what_is_kept_armed(pool: Driver) -> None:
    burst = {"do": "gather", "requests": [{"programs": ["true"]}] * 6}
    answers = pool.ask(**burst)["answers"]
    assert all(answer["exit_code"] == 0 for answer in answers)
    assert armed(pool) == 6
    answers = pool.ask(**burst)["answers"]
    assert [answer["armed"] for answer in answers] == [True] * 6


def test_the_number_over_all_shapes_is_bounded(pool: Driver) -> None:
    for number in range(4):
        requests = [{"programs": ["true"], "limits": {"memory": (number + 64) << 20}}] * 12
        pool.ask(do="gather", requests=requests)
        armed(pool)
    assert 12 <= armed(pool) <= 32


def test_an_armed_sandbox_that_dies_is_replaced_by_a_cold_start(pool: Driver) -> None:
    pool.sh("true")
    assert armed(pool) == 1
    pool.ask(do="kill_parked")
    said = pool.sh("echo here")
    assert (said["stdout"], said["armed"]) == ("here\n", False)


def test_one_that_died_unnoticed_is_let_go_of_by_the_call_that_finds_it(pool: Driver) -> None:
    call = {"programs": ["true"], "arguments": []}
    pool.ask(**call)
    before = pool.ask(do="facts")["descriptors"]
    for _ in range(3):
        pool.ask(**call)
        assert armed(pool)
        assert not pool.ask(do="kill_parked", then=call)["armed"]
    assert becomes(lambda: pool.ask(do="facts")["descriptors"] <= before, within=20)


def test_what_is_not_asked_for_decays_to_nothing(state: Path) -> None:
    driver = Driver(state, armament={"idle": 0.05})
    try:
        driver.ask(do="gather", requests=[{"programs": ["true"]}] * 4)
        assert driver.ask(do="decayed")["armed"] == 0
        assert not driver.ask(programs=["true"])["armed"]
    finally:
        driver.close()


def test_with_no_armament_every_call_is_cold(state: Path) -> None:
    driver = Driver(state, armament={"most": 0})
    try:
        assert [driver.ask(programs=["true"])["armed"] for _ in range(3)] == [False] * 3
        assert driver.ask(do="settle")["armed"] == 0
    finally:
        driver.close()


def in_its_mounts(box: Driver, *words: str) -> None:
    subprocess.run(["nsenter", "--mount", f"--target={box.process.pid}", *words], check=True, timeout=10)


@pytest.fixture
def apart(state: Path, request: pytest.FixtureRequest) -> Iterator[Driver]:
    """A host with mounts of its own, which reach its spawner or not."""
    box = Driver(state, prefix=("/usr/bin/unshare", "--mount", "--propagation", request.param))
    box.ask(do="facts")
    yield box
    box.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize("apart", ["shared"], indirect=True)  # as systemd has it
@pytest.mark.parametrize("more", [{}, {"isolation": "conversation", "conversation": "c"}], ids=["call", "conversation"])
def test_what_was_mounted_in_a_root_is_not_shown_after_it_was_unmounted(
    apart: Driver, space: Path, more: dict[str, Any]
) -> None:
    root = space / "a root"
    (root / "disk").mkdir(parents=True)
    (root / "disk" / "name").write_text("below")
    own(root)

    def shown() -> tuple[str, bool]:
        said = apart.ask(programs=["cat"], arguments=["/root/disk/name"], roots=[readable(root, "/root")], **more)
        apart.ask(do="settle")
        return said["stdout"], said["armed"]

    for name in ("first", "second"):
        in_its_mounts(apart, "mount", "-t", "tmpfs", name, str(root / "disk"))
        in_its_mounts(apart, "sh", "-c", f"echo -n {name} > '{root}/disk/name'")
        assert [shown(), shown()] == [(name, False), (name, True)]
        in_its_mounts(apart, "umount", str(root / "disk"))
        assert shown()[0] == "below"
        (spawner,) = children(apart.process.pid)
        assert name not in Path(f"/proc/{spawner}/mounts").read_text()  # the disk can be taken out


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize("apart", ["shared"], indirect=True)
def test_a_call_right_after_a_mount_runs_where_the_spawner_hears_of_both_at_once(apart: Driver, work: Path) -> None:
    (work / "disk").mkdir()
    call = {"programs": ["cat"], "arguments": ["/readable/disk/name"], "roots": [readable(own(work))]}
    assert apart.ask(**call)["exit_code"] == 1
    apart.ask(do="settle")
    assert no_tools(apart)
    (spawner,) = children(apart.process.pid)
    held = len(os.listdir(f"/proc/{apart.process.pid}/fd"))
    os.kill(spawner, signal.SIGSTOP)
    try:
        in_its_mounts(apart, "mount", "-t", "tmpfs", "disk", str(work / "disk"))
        in_its_mounts(apart, "sh", "-c", f"echo there > '{work}/disk/name'")
        apart.send(**call)
        # Its pipes are kept, and those of the next are made once it has been asked for.
        assert becomes(lambda: len(os.listdir(f"/proc/{apart.process.pid}/fd")) >= held + 6, within=10)
    finally:
        os.kill(spawner, signal.SIGCONT)
    assert apart.read()["stdout"] == "there\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize("apart", ["private"], indirect=True)
def test_a_root_is_refused_where_what_is_mounted_in_it_does_not_reach_the_spawner(apart: Driver, work: Path) -> None:
    (work / "disk").mkdir()
    assert apart.sh("true", roots=[readable(own(work))])["exit_code"] == 0
    in_its_mounts(apart, "mount", "-t", "tmpfs", "disk", str(work / "disk"))
    assert apart.sh("true", roots=[readable(work)])["error"]["code"] == "root_changed"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize("apart", ["shared"], indirect=True)
def test_nothing_is_written_where_a_mount_was_made_read_only_since(apart: Driver, work: Path) -> None:
    """The kernel does not tell the copies of a mount."""
    in_its_mounts(apart, "mount", "--bind", str(work), str(work))
    assert apart.sh("echo 1 > /workspace/made", roots=[writable(work)])["exit_code"] == 0
    assert armed(apart) == 1
    in_its_mounts(apart, "mount", "-o", "remount,bind,ro", str(work))
    said = apart.sh("echo 2 > /workspace/made", roots=[writable(work)])
    assert said["error"]["code"] == "root_changed"
    said = apart.ask(programs=["cat"], arguments=["/readable/made"], roots=[readable(work)])
    assert said["stdout"] == "1\n"
    in_its_mounts(apart, "mount", "-o", "remount,bind,rw", str(work))
    assert apart.sh("echo 3 > /workspace/made", roots=[writable(work)])["exit_code"] == 0
