"""Control groups: found, used for the whole tree, removed, and never taken where nobody gave them."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from driver import Driver, gone, processes

from toolhost.sandbox import PlanRefused, cgroups
from toolhost.sandbox.call_group import CallGroup
from toolhost.sandbox.cgroups import Cgroups
from toolhost.sandbox.execution import refuse_weaker
from toolhost.sandbox.plan import Limits, Program, SandboxPlan

LIMITS = Limits(memory=256 << 20, processes=20)
UNIFIED = Path("/sys/fs/cgroup/unified")


def groups(pid: int) -> list[Path]:
    """Folders of the groups a process of this host has made."""
    return list(Path("/sys/fs/cgroup").glob(f"*/toolhost/call-{pid}-*"))


def around(box: Driver, tag: str) -> set[Path]:
    """Those that the processes of a call are in; others may just be going."""
    running = {str(pid) for pid in processes(tag)}
    found = set()
    for path in groups(box.process.pid):
        with contextlib.suppress(OSError):
            if running & set((path / "tasks").read_text().split()):
                found.add(path)
    return found


def eventually(true: Callable[[], bool], within: float = 10) -> bool:
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def count(group: Path) -> int:
    try:
        return int((group / "pids.current").read_text())
    except FileNotFoundError:
        return 0


def counting(pid: int) -> list[Path]:
    return [path for path in groups(pid) if (path / "pids.current").exists()]


def in_use(box: Driver, limit: str) -> bool:
    return box.sh("true", "true")["limits"][limit]["enforced_by"].startswith("cgroup")


@pytest.fixture
def counted(box: Driver) -> Driver:
    if not in_use(box, "cpu"):
        pytest.skip("no control group for CPU time here")
    return box


# -- real ones ---------------------------------------------------------------------------------------------------------


def sleeping(tag: str) -> list[int]:
    return [pid for pid in processes(tag) if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"]


def test_every_process_of_a_call_is_in_its_group(counted: Driver) -> None:
    script = "(sleep 98781 & sleep 98781) & sleep 98781"
    counted.send(programs=["sh", "sleep"], arguments=["-c", script], limits={"wall": 2})
    assert eventually(lambda: len(sleeping("98781")) == 3)
    where = [Path(f"/proc/{pid}/cgroup").read_text() for pid in sleeping("98781")]
    assert all(f"/toolhost/call-{counted.process.pid}-" in text for text in where)
    assert counted.read()["status"] == "timeout"
    assert gone("98781")


def test_cpu_time_of_children_that_nobody_waited_for_counts(counted: Driver) -> None:
    # Each child is an orphan of the launcher when it ends: what it used shows in no living process.
    code = (
        "import os, time\n"
        "for _ in range(40):\n"
        "  if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "      while time.process_time() < 0.2: pass\n"
        "    os._exit(0)\n"
        "  os.wait(); time.sleep(0.1)\n"
    )
    said = counted.python(code, limits={"cpu": 1, "wall": 30})
    assert (said["status"], said["limit"]) == ("limit", "cpu")


def test_a_fork_bomb_is_held_by_the_group(counted: Driver) -> None:
    code = "import os  # 98782\nwhile True:\n  try: os.fork()\n  except OSError: pass"
    counted.send(programs=["python3"], arguments=["-c", code], limits={"wall": 1, "processes": 30})
    assert eventually(
        lambda: max(map(count, counting(counted.process.pid)), default=0) == 32
    )  # with bubblewrap and the launcher
    assert counted.read()["status"] in {"timeout", "limit"}
    assert gone("98782")


def test_groups_are_gone_after_their_calls(counted: Driver) -> None:
    one = {"programs": ["true"], "arguments": []}
    counted.ask(do="gather", requests=[one] * 5)
    for _ in range(2):
        counted.sh("sleep 60", "sleep", limits={"wall": 0.2})
        counted.ask(do="run", programs=["sleep"], arguments=["60"], cancel_after=0.1)
    # What is left are those of armed sandboxes, in each of which a launcher waits, and the one that is made ahead.
    assert eventually(lambda: [count(group) for group in counting(counted.process.pid)].count(0) <= 1)


def test_groups_of_a_killed_host_are_swept_by_the_next(box: Driver, state: Path) -> None:
    if not in_use(box, "cpu"):
        pytest.skip("no control group here")
    killed = Driver(state)
    try:
        killed.sh("true", "true")
        killed.send(programs=["sleep"], arguments=["98783"])
        assert eventually(lambda: processes("98783") != [])
        assert groups(killed.process.pid)
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait(10)
        assert gone("98783")
        assert groups(killed.process.pid)
        following = Driver(state)
        following.sh("true", "true")
        assert groups(killed.process.pid) == []
        following.close()
    finally:
        killed.process.kill()
        killed.close()


def test_a_running_host_s_groups_are_left_to_it(counted: Driver, state: Path) -> None:
    counted.send(programs=["sleep"], arguments=["98784"], limits={"wall": 3})
    assert eventually(lambda: processes("98784") != [])
    before = around(counted, "98784")
    assert before
    Driver(state).close()
    assert before == around(counted, "98784")
    assert counted.read(10)["limits"]["cpu"]["enforced_by"] == "cgroup1"


FOLLOWING = """
import os, pwd
from toolhost.sandbox.cgroups import Cgroups
user = pwd.getpwnam("toolhost")
os.setgroups([]); os.setresgid(*[user.pw_gid] * 3); os.setresuid(*[user.pw_uid] * 3)
print(os.path.exists(f"/proc/{os.getppid()}"), Cgroups.find().version)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a /proc of its own")
def test_a_host_that_proc_does_not_show_is_not_taken_for_gone(counted: Driver) -> None:
    """With `hidepid`, which careful administrators mount, a process that gave up root is hidden from its own user."""
    counted.send(programs=["sleep"], arguments=["98785"], limits={"wall": 3})
    assert eventually(lambda: processes("98785") != [])
    before = around(counted, "98785")
    assert before
    mount = "mount -t proc -o hidepid=invisible proc /proc"
    hidden = ["unshare", "--mount", "sh", "-c", f'{mount} && "$@"', "sh", sys.executable, "-c", FOLLOWING]
    following = subprocess.run(hidden, capture_output=True, text=True, timeout=30)
    assert following.stdout == "False cgroup1\n", following.stderr
    assert before == around(counted, "98785")
    assert counted.read(10)["status"] == "timeout"


def test_a_required_limit_that_nothing_holds_for_the_tree_refuses_the_call(box: Driver) -> None:
    held = in_use(box, "memory")
    said = box.sh("echo ran", require=["memory"])
    assert said.get("stdout") == "ran\n" if held else said["error"]["code"] == "limit_not_enforceable"
    assert box.sh("echo ran", require=["processes", "wall", "scratch", "output"])["stdout"] == "ran\n"


DELEGATED = """
import os, pwd, subprocess, sys
from toolhost.sandbox import cgroups
from toolhost.sandbox.call_group import CallGroup
from toolhost.sandbox.plan import Limits
base = sys.argv[1]
cgroups.write(base, "cgroup.procs", "0")
user = pwd.getpwnam("toolhost")
os.setgroups([]); os.setresgid(*[user.pw_gid] * 3); os.setresuid(*[user.pw_uid] * 3)
cgroups._owned = lambda split: {}  # a hybrid host has its controllers there, and v2 only counts CPU time
for _ in range(2):  # the second time the process is in its leaf already
    found = cgroups.Cgroups.find()
    own = cgroups.read("/proc/self", "cgroup").split("0::")[1].split()[0]
    print(found.version, set(found.bases.values()) == {base}, os.path.basename(own))
group = CallGroup(found)
child = subprocess.Popen(["sh", "-c", "while :; do :; done"])
group.join(child.pid); group.limit(Limits())
while group.cpu_seconds() < 0.05: pass
print(sorted(group.holds), len(os.listdir(base)) > 0)
group.kill(); print(child.wait())
group.remove(); print([name for name in os.listdir(base) if name.startswith("call-")])
"""


@pytest.mark.skipif(os.geteuid() != 0 or not UNIFIED.is_dir(), reason="needs root and a hybrid hierarchy")
def test_a_delegated_v2_cgroup_is_used() -> None:
    base = UNIFIED / f"toolhost-test-{os.getpid()}"
    base.mkdir()
    try:
        user = pwd.getpwnam("toolhost")
        for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(base / name, user.pw_uid, user.pw_gid)
        done = subprocess.run(
            [sys.executable, "-c", DELEGATED, str(base)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            check=False,
        )
        assert done.stderr == ""
        assert done.stdout.splitlines() == ["cgroup2 True host", "cgroup2 True host", "['cpu'] True", "-9", "[]"]
    finally:
        for folder in (base / "host", base):
            if folder.exists():
                folder.rmdir()


# -- made-up ones ------------------------------------------------------------------------------------------------------

FILES = {
    "cgroup2": "memory.max memory.swap.max memory.oom.group memory.events pids.max cpu.max cpu.stat",
    "cgroup1": "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.oom_control pids.max cpu.cfs_quota_us"
    " cpuacct.usage",
}


@pytest.fixture
def made_up(space: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Cgroups]:
    """A tree of plain folders in which every group gets the files the kernel would make."""

    def make(version: str) -> Cgroups:
        def mkdir(path: str, mode: int = 0o777) -> None:
            real(path, mode)
            for name in ("cgroup.procs", *FILES[version].split()):
                Path(path, name).write_text("usage_usec 0\n" if name == "cpu.stat" else "0\n")

        real = os.mkdir
        monkeypatch.setattr("toolhost.sandbox.call_group.os", SimpleNamespace(**{**vars(os), "mkdir": mkdir}))
        return Cgroups(version=version, bases=dict.fromkeys(cgroups.CONTROLLERS, str(space)), process="1-1")

    return make


def content(space: Path, name: str) -> str:
    (folder,) = space.glob("call-*")
    return (folder / name).read_text().strip()


def test_v2_holds_every_limit_of_the_tree(space: Path, made_up) -> None:
    group = CallGroup(made_up("cgroup2"))
    group.join(1234)
    group.limit(LIMITS)
    assert group.holds == {"memory": "cgroup2", "processes": "cgroup2", "cpu": "cgroup2"}
    assert content(space, "cgroup.procs") == "1234"
    assert content(space, "memory.max") == str(256 << 20)
    assert content(space, "memory.swap.max") == "0"
    assert content(space, "memory.oom.group") == "1"
    assert content(space, "pids.max") == "22"  # bubblewrap and the launcher are two
    assert content(space, "cpu.max") == f"{100_000 * max((os.cpu_count() or 1) - 1, 1)} 100000"


def test_v1_holds_every_limit_of_the_tree(space: Path, made_up) -> None:
    group = CallGroup(made_up("cgroup1"))
    group.join(1234)
    group.limit(LIMITS)
    assert group.holds == {"memory": "cgroup1", "processes": "cgroup1", "cpu": "cgroup1"}
    assert content(space, "memory.limit_in_bytes") == str(256 << 20)
    assert content(space, "memory.memsw.limit_in_bytes") == str(256 << 20)
    assert content(space, "pids.max") == "22"  # bubblewrap and the launcher are two


@pytest.mark.parametrize(
    ("version", "name", "said"),
    [
        ("cgroup2", "memory.events", "oom 1\noom_kill 1\n"),
        ("cgroup1", "memory.oom_control", "under_oom 0\noom_kill 2\n"),
    ],
)
def test_a_kill_for_memory_is_seen(space: Path, made_up, version: str, name: str, said: str) -> None:
    group = CallGroup(made_up(version))
    group.limit(LIMITS)
    assert not group.out_of_memory()
    (folder,) = space.glob("call-*")
    (folder / name).write_text(said)
    assert group.out_of_memory()


@pytest.mark.parametrize(
    ("version", "name", "said"), [("cgroup2", "cpu.stat", "usage_usec {}\n"), ("cgroup1", "cpuacct.usage", "{}000\n")]
)
def test_cpu_time_is_counted_from_the_call_s_beginning(
    space: Path, made_up, version: str, name: str, said: str
) -> None:
    group = CallGroup(made_up(version))
    (folder,) = space.glob("call-*")
    (folder / name).write_text(said.format(1_000_000))
    group.limit(LIMITS)
    (folder / name).write_text(said.format(3_500_000))
    assert group.cpu_seconds() == pytest.approx(2.5)


def test_a_limit_that_the_kernel_refuses_is_not_reported_as_held(space: Path, made_up) -> None:
    group = CallGroup(made_up("cgroup2"))
    (folder,) = space.glob("call-*")
    (folder / "memory.max").unlink()
    group.limit(LIMITS)
    assert group.holds == {"processes": "cgroup2", "cpu": "cgroup2"}


def test_a_group_that_cannot_be_made_or_joined_holds_nothing(space: Path, made_up) -> None:
    nowhere = Cgroups(version="cgroup1", bases={"pids": str(space / "missing")}, process="1-1")
    for group in (CallGroup(nowhere), CallGroup(made_up("cgroup2"))):
        for folder in space.glob("call-*"):
            (folder / "cgroup.procs").unlink(missing_ok=True)
        group.join(1234)
        group.limit(LIMITS)
        assert group.holds == {}
        group.remove()


def plan(*require: str) -> SandboxPlan:
    program = Program(name="x", path="/x", target="/x", device=0, inode=0, size=0, modified_ns=0, digest="")
    return SandboxPlan(kind="command", tool="t.t", argv=("/x",), cwd="/tmp", programs=(program,), require=require)


def test_what_a_watchdog_does_is_not_enough_where_a_limit_is_required() -> None:
    for name in ("memory", "cpu"):
        with pytest.raises(PlanRefused) as refused:
            refuse_weaker(plan(name), {})
        assert refused.value.code == "limit_not_enforceable"
        assert f"`{name}`" in refused.value.message
        refuse_weaker(plan(name), {name: "cgroup1"})
    refuse_weaker(plan("processes"), {})


@pytest.fixture
def proc(space: Path) -> Iterator[Callable[[str, str], Path]]:
    def make(own: str, mounts: str) -> Path:
        (space / "cgroup").write_text(own)
        (space / "mountinfo").write_text(mounts)
        return space

    return make


def mounted(space: Path, kind: str, name: str, shown: str = "/") -> str:
    (space / name).mkdir(exist_ok=True)
    return f"31 23 0:28 {shown} {space / name} rw,relatime - {kind} {kind} rw,{name}\n"


def test_a_v1_group_that_somebody_else_made_is_not_left_and_not_written(space: Path, proc) -> None:
    where = proc(
        "4:memory:/manager/session\n8:pids:/\n", mounted(space, "cgroup", "memory") + mounted(space, "cgroup", "pids")
    )
    (space / "memory" / "manager" / "session").mkdir(parents=True)
    cgroups.prepare(os.geteuid(), os.getegid(), where)
    assert not list(space.glob("memory/**/toolhost"))
    for name in ("cgroup.procs", "tasks"):
        (space / "pids" / "toolhost" / name).touch()
    (space / "memory" / "toolhost").mkdir()
    (space / "memory" / "toolhost" / "cgroup.procs").touch()
    found = Cgroups.find(where)
    assert (found.version, dict(found.bases)) == ("cgroup1", {"pids": str(space / "pids" / "toolhost")})


def test_a_container_s_part_of_a_hierarchy_is_found(space: Path, proc) -> None:
    where = proc("8:pids:/docker/abc\n", mounted(space, "cgroup", "pids", shown="/docker/abc"))
    (space / "pids" / "cgroup.procs").touch()
    assert dict(Cgroups.find(where).bases) == {"pids": str(space / "pids")}


def test_a_v2_cgroup_that_was_not_delegated_is_not_used(space: Path, proc) -> None:
    where = proc("0::/user.slice/session\n", mounted(space, "cgroup2", "cgroup2"))
    folder = space / "cgroup2" / "user.slice" / "session"
    folder.mkdir(parents=True)
    for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.controllers"):
        (folder / name).write_text("memory pids cpu\n")
        (folder.parent / name).write_text("memory pids cpu\n")
    assert Cgroups.find(where).version is None  # everything above is this user's too: it begins further up
    assert (folder / "cgroup.procs").read_text() == "memory pids cpu\n"


@pytest.mark.parametrize(("own", "mounts"), [("", ""), ("nonsense", "nonsense\n"), ("0::/", "1 2 - cgroup2\n")])
def test_a_host_without_control_groups_has_none(space: Path, proc, own: str, mounts: str) -> None:
    assert Cgroups.find(proc(own, mounts)).version is None
