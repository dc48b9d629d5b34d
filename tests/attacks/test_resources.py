"""Threats H: resources and lifetime. Nothing takes more than its share, and nothing outlives its call."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest
from driver import Driver, children, gone, writable
from hosted import Hosted


@pytest.mark.parametrize("bomb", ["b() { b | b & }; b; wait", "while :; do sleep 98791 & done"])
def test_a_fork_bomb_ends_with_its_call_and_hinders_nobody(box: Driver, bomb: str) -> None:
    request = {"programs": ["sh", "sleep"], "limits": {"processes": 40, "wall": 2}}
    (bombed, other) = box.ask(
        do="gather",
        requests=[
            {**request, "arguments": ["-c", bomb]},
            {**request, "arguments": ["-c", "(sleep 0; sleep 0) & wait; echo fine"]},
        ],
    )["answers"]
    assert bombed["status"] in {"exited", "timeout", "limit", "signaled"}
    assert (other["status"], other["stdout"]) == ("exited", "fine\n")
    assert gone("98791")


MEMORY = {
    "one process": "x = bytearray(1 << 30); x[::4096] = b'x' * (1 << 18)",
    "many processes": "import os\nfor _ in range(30):\n  if os.fork() == 0: break\n"
    "x = bytearray(60 << 20); x[::4096] = b'x' * len(x[::4096])\nimport time; time.sleep(60)",
    "shared mappings": "import mmap, time\nm = [mmap.mmap(-1, 64 << 20) for _ in range(20)]\n"
    "for one in m: one[::4096] = b'x' * len(one[::4096])\ntime.sleep(60)",
}


@pytest.mark.parametrize("how", MEMORY)
def test_memory_beyond_the_limit_ends_the_call(box: Driver, how: str) -> None:
    said = box.python(MEMORY[how], limits={"memory": 128 << 20, "wall": 30, "processes": 64})
    assert said["limit"] == "memory" or "MemoryError" in said["stderr"], said


def test_memory_that_belongs_to_no_process_cannot_be_had(box: Driver) -> None:
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for name, words in (("shmget", (0, 64 << 20, 0o1600)), ("msgget", (0, 0o1600)), ("semget", (0, 100, 0o1600))):
    if getattr(libc, name)(*words) >= 0: print("had", name)
try:
    with open("/dev/shm/fill", "wb") as file:
        for _ in range(64): file.write(bytes(1 << 20))
    print("had scratch")
except OSError: pass
"""
    said = box.python(code, limits={"scratch": 16 << 20})
    assert (said["exit_code"], said["stdout"]) == (0, "")


@pytest.mark.parametrize(
    "script",
    ["yes", "yes >&2", "yes & yes >&2", "while :; do cat /dev/urandom; done", "cat /dev/zero", "cat /dev/zero >&2"],
)
def test_output_without_end_is_cut_and_its_call_ended(box: Driver, script: str) -> None:
    said = box.sh(script, "yes", "cat", limits={"output": 1 << 16, "wall": 20})
    assert (said["status"], said["limit"], said["truncated"]) == ("limit", "output", True)
    assert max(len(said["stdout"]), len(said["stderr"])) <= 1 << 16


@pytest.mark.parametrize(
    "script",
    ["kill -STOP $$", "sleep 98792",
     "while :; do :; done", "mkfifo /tmp/f; cat /tmp/f", "trap '' TERM INT HUP; sleep 98792",
     "(setsid sleep 98792 &); sleep 98792"],
)  # fmt: skip
def test_what_does_not_end_is_ended_with_all_it_started(box: Driver, script: str) -> None:
    said = box.sh(script, "sleep", "mkfifo", "cat", "setsid", limits={"wall": 0.5})
    assert (said["status"], said["limit"]) == ("timeout", "wall")
    assert gone("98792")


def test_waiting_for_input_ends_at_once(box: Driver) -> None:
    assert box.ask(programs=["cat"])["exit_code"] == 0


def test_work_spread_over_processes_counts_together(box: Driver) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; wait"
    said = box.sh(script, limits={"cpu": 1, "wall": 30})
    assert (said["status"], said["limit"]) == ("limit", "cpu")


@pytest.mark.parametrize("flag", ["-u", "-n", "-f", "-d", "-t", "-c"])
def test_no_limit_can_be_raised_from_inside(box: Driver, flag: str) -> None:
    flag = "-p" if flag == "-u" else flag  # dash
    said = box.sh(f"ulimit -H {flag} unlimited 2>/dev/null && ulimit {flag} unlimited && echo raised; true")
    assert "raised" not in said["stdout"]


def test_a_client_that_goes_away_ends_its_call_and_the_log_says_so(host: Hosted) -> None:
    before = len(host.records())
    answer = host.run("sh", "-c", "sleep 98793", cancel="tool.started")
    assert answer == {"cancelled": True}
    assert gone("98793")
    intent, outcome = host.records()[before:]
    assert intent["call_id"] == outcome["call_id"]
    assert outcome["details"]["status"] == "cancelled"
    answer = host.run("echo", "next")
    assert answer["status"] == "ok", answer["error"]


def test_more_calls_than_may_run_at_once_all_end_and_leave_nothing(host: Hosted) -> None:
    call = {"tool": "probe.echo", "arguments": {"words": ["x"]}, "workspace": str(host.workspace)}
    host.ask(do="gather", requests=[call] * 4)
    before = host.ask(do="facts")
    rounds = int(os.environ.get("TOOLHOST_PARALLEL", "40"))
    answers = host.ask(300, do="gather", requests=[call] * rounds)["answers"]
    assert {answer.get("status") for answer in answers} <= {"ok", "limit", "unavailable"}
    assert sum(answer.get("status") == "ok" for answer in answers) >= 8
    after = host.ask(do="facts")
    # What the pool keeps ready for the next calls is bounded; nothing is kept for each call.
    assert after["tasks"] <= before["tasks"] + 8
    assert after["descriptors"] <= before["descriptors"] + 200


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_host_that_dies_in_a_call_leaves_nothing_and_its_log_goes_on(new_host, space: Path, number: int) -> None:
    policy = '[commands]\nallow = ["sleep {int}", "echo {text}"]\n[paths]\nwrite = ["{workspace}"]\n'
    host = new_host(probe=policy)
    assert host.run("echo", "before")["status"] == "ok"
    host.send(tool="probe.sleep", arguments={"words": ["98794"]}, workspace=str(host.workspace))
    spawner = children(host.process.pid)
    deadline = 200
    while not [one for one in host.records() if one["event"] == "tool.intent"][1:] and deadline:
        deadline -= 1
        signal.sigtimedwait([], 0.01)
    host.process.send_signal(number)
    host.process.wait(10)
    assert gone("98794")
    assert all(gone_pid(pid) for pid in spawner)
    assert sorted(os.listdir(host.workspace)) == []
    again = new_host(probe=policy)
    assert again.run("echo", "after")["status"] == "ok"
    records = again.records()
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert all(two["prev_hash"] == one["hash"] for one, two in itertools.pairwise(records))


def gone_pid(pid: int) -> bool:
    for _ in range(200):
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        signal.sigtimedwait([], 0.01)
    return False


def test_a_full_disk_or_a_missing_descriptor_is_a_code(box: Driver, work: Path) -> None:
    said = box.sh("dd if=/dev/zero of=/tmp/x bs=1M count=64", "dd", limits={"scratch": 1 << 20}, roots=[writable(work)])
    assert said["exit_code"] == 1
    assert "No space left" in said["stderr"]
