"""Every limit is enforced, and the outcome says by what."""

from __future__ import annotations

from pathlib import Path

from driver import Driver, becomes, gone, writable


def test_the_clock_ends_a_call_and_everything_in_it(box: Driver) -> None:
    said = box.sh("sleep 98771 & sleep 98771", "sleep", limits={"wall": 0.3})
    assert (said["status"], said["limit"], said["exit_code"]) == ("timeout", "wall", None)
    assert gone("98771")


def test_a_stopped_process_is_ended_by_the_clock(box: Driver) -> None:
    assert box.sh("kill -STOP $$", limits={"wall": 0.3})["status"] == "timeout"


def test_output_over_the_cap_is_cut_and_ends_the_call(box: Driver) -> None:
    said = box.ask(programs=["yes"], limits={"output": 100_000})
    assert (said["status"], said["limit"], said["truncated"]) == ("limit", "output", True)
    assert len(said["stdout"]) == 100_000
    assert said["streamed"]["stdout"] == 100_000


def test_output_at_the_cap_is_not_over_it(box: Driver) -> None:
    said = box.python("print('x' * 999)", limits={"output": 1000})
    assert (said["status"], said["truncated"], len(said["stdout"])) == ("exited", False, 1000)


def test_the_cap_holds_for_each_stream(box: Driver) -> None:
    said = box.sh("yes >&2", "yes", limits={"output": 5000})
    assert (said["limit"], said["stdout"], len(said["stderr"])) == ("output", "", 5000)


def test_cpu_time_is_limited(box: Driver) -> None:
    said = box.python("while True: pass", limits={"cpu": 1, "wall": 30})
    assert (said["status"], said["limit"]) == ("limit", "cpu")


def test_cpu_time_of_many_processes_counts_together(box: Driver) -> None:
    code = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    said = box.python(code, limits={"cpu": 1, "wall": 30})
    assert (said["status"], said["limit"]) == ("limit", "cpu")


def test_memory_of_one_process_is_limited(box: Driver) -> None:
    said = box.python("x = bytearray(400 << 20); print('had it')", limits={"memory": 100 << 20})
    assert (said["stdout"], said["exit_code"]) == ("", 1)
    assert "MemoryError" in said["stderr"]  # the process's own limit, also where the whole tree has one


def test_memory_of_many_processes_counts_together(box: Driver) -> None:
    code = (
        "import os, time\nfor _ in range(8):\n"
        "  if os.fork() == 0:\n    x = bytearray(b'x' * (40 << 20)); time.sleep(60)\n"
        "time.sleep(60)"
    )
    said = box.python(code, limits={"memory": 120 << 20, "wall": 30})
    assert (said["status"], said["limit"]) == ("limit", "memory")


# A process goes on without its first thread, the only one whose files and memory stand under the process's number.
_HEADLESS = """
import ctypes, os, threading, time
libc = ctypes.CDLL(None)
def headless(work):
    def go():
        while open("/proc/self/stat").read().rpartition(")")[2].split()[0] != "Z": pass
        work()
    threading.Thread(target=go).start()
    libc.syscall(60, 0)
"""


def test_memory_counts_where_a_process_has_lost_its_first_thread(box: Driver) -> None:
    code = (
        f"{_HEADLESS}\ndef hog():\n  held = b'x' * (24 << 20); time.sleep(20)\n"
        "for _ in range(5):\n  if os.fork() == 0: headless(hog)\ntime.sleep(20)"
    )
    said = box.python(code, limits={"memory": 64 << 20, "wall": 30})
    assert (said["status"], said["limit"]) == ("limit", "memory")


def test_memory_shared_with_forked_children_counts_once(box: Driver) -> None:
    code = (
        "import os, time\nx = bytearray(b'x' * (40 << 20))\n"
        "for _ in range(6):\n  if os.fork() == 0:\n    time.sleep(0.5); os._exit(0)\ntime.sleep(0.6); print('done')"
    )
    assert box.python(code, limits={"memory": 120 << 20, "wall": 30})["stdout"] == "done\n"


def test_processes_are_counted_per_sandbox(box: Driver) -> None:
    code = (
        "import os, time\nn = 0\ntry:\n  for _ in range(100):\n"
        "    if os.fork() == 0: time.sleep(30); os._exit(0)\n    n += 1\n"
        "except OSError: pass\nprint(n + 1)"
    )
    one = {"programs": ["python3"], "arguments": ["-c", code], "limits": {"processes": 20}}
    answers = box.ask(do="gather", requests=[one, one, one])["answers"]
    assert [answer["stdout"].strip() for answer in answers] == ["20", "20", "20"]


def test_a_fork_bomb_ends_and_leaves_nothing(box: Driver) -> None:
    said = box.python(
        "import os  # 98772\nwhile True:\n  try: os.fork()\n  except OSError: pass", limits={"wall": 1, "processes": 40}
    )
    assert said["status"] in {"timeout", "limit"}
    assert gone("98772")


def test_limits_cannot_be_raised_inside(box: Driver) -> None:
    script = "for f in t n p f d c; do (ulimit -$f unlimited) 2>/dev/null && echo raised $f; done; true"
    assert box.sh(script)["stdout"] == ""


def test_open_files_are_limited(box: Driver) -> None:
    code = "import os\nn=3\ntry:\n  while True: os.dup(0); n += 1\nexcept OSError: print(n)"
    assert box.python(code, limits={"open_files": 32})["stdout"] == "32\n"


def test_file_size_is_limited(box: Driver, work: Path) -> None:
    said = box.sh(
        "head -c 100000 /dev/zero > /workspace/big", "head", roots=[writable(work)], limits={"file_size": 8192}
    )
    assert (work / "big").stat().st_size == 8192
    assert said["exit_code"] != 0
    dd = {"programs": ["dd"], "arguments": ["if=/dev/zero", "of=/workspace/other", "count=100"]}
    said = box.ask(**dd, roots=[writable(work)], limits={"file_size": 8192})
    assert (said["status"], said["limit"]) == ("limit", "file_size")


def test_the_scratch_folder_is_sized_and_shared_memory_lies_in_it(box: Driver) -> None:
    code = (
        "import os\nn = 0\ntry:\n"
        "  for where in ('/tmp/a', '/dev/shm/b'):\n"
        "    with open(where, 'wb', buffering=0) as f:\n"
        "      while True: n += f.write(b'x' * 65536)\n"
        "except OSError as e: print(e.errno, n <= 1 << 20)"
    )
    assert box.python(code, limits={"scratch": 1 << 20})["stdout"] == "28 True\n"


def test_the_scratch_folder_holds_no_more_files_than_it_has_pages(box: Driver) -> None:
    """Each takes memory of the kernel, also an empty one."""
    code = "import os\nfor made in range(5000): os.close(os.open(f'/tmp/{made}', os.O_CREAT)); print(made)"
    said = box.python(code, limits={"scratch": 1 << 20})
    assert "No space left on device" in said["stderr"]
    assert len(said["stdout"].splitlines()) < 256


def test_python_semaphores_work(box: Driver) -> None:
    code = "import multiprocessing as m; l = m.Lock(); l.acquire(); l.release(); print('ok')"
    assert box.python(code)["stdout"] == "ok\n"


def test_every_limit_is_reported_with_its_mechanism(box: Driver) -> None:
    limits = box.sh("true", "true")["limits"]
    by = {name: report["enforced_by"] for name, report in limits.items()}
    # Whether these are held by a control group depends on the host; test_cgroups.py looks whether they are.
    assert by.pop("cpu") in {"cgroup2", "cgroup1", "rlimit"}
    assert by.pop("memory") in {"cgroup2", "cgroup1", "watchdog"}
    assert by.pop("processes") in {"cgroup2", "cgroup1", "rlimit"}
    assert by == {
        "wall": "wallclock",
        "open_files": "rlimit",
        "file_size": "rlimit",
        "output": "host",
        "scratch": "tmpfs",
        "workspace": "none",
        "calls": "host",
    }
    assert limits["memory"]["value"] == 512 << 20


def test_a_limit_of_zero_refuses_the_plan(box: Driver) -> None:
    assert box.sh("true", limits={"memory": 0})["error"]["code"] == "limit_invalid"


def test_a_folder_that_grows_beyond_its_limit_ends_the_call(box: Driver, work: Path) -> None:
    (work / "before").write_bytes(b"x" * (3 << 20))
    code = (
        "import time\nwith open('/workspace/grows', 'wb', buffering=0) as file:\n"
        "  while True: file.write(b'x' * 65536); time.sleep(0.005)"
    )
    said = box.python(code, roots=[writable(work)], limits={"workspace": 2 << 20, "wall": 30})
    assert (said["status"], said["limit"]) == ("limit", "workspace")
    assert said["limits"]["workspace"] == {"value": 2 << 20, "enforced_by": "watchdog"}


def test_a_folder_that_grew_before_the_watch_looked_is_seen_at_the_end(box: Driver, work: Path) -> None:
    said = box.sh(
        "head -c 3000000 /dev/zero > f", "head", cwd="/workspace", roots=[writable(work)], limits={"workspace": 1 << 20}
    )
    assert (said["status"], said["limit"]) == ("limit", "workspace")


def test_growth_within_the_limit_and_sparse_files_are_no_growth(box: Driver, work: Path) -> None:
    code = (
        "open('/workspace/sparse', 'wb').truncate(64 << 20)\n"
        "open('/workspace/small', 'wb').write(b'x' * 100_000); print('done')"
    )
    said = box.python(code, roots=[writable(work)], limits={"workspace": 1 << 20})
    assert (said["status"], said["stdout"]) == ("exited", "done\n")


def test_a_deleted_file_that_is_still_open_counts(box: Driver, work: Path) -> None:
    code = (
        "import os, time\nfile = open('/workspace/f', 'wb', buffering=0)\nos.unlink('/workspace/f')\n"
        "for _ in range(64): file.write(b'x' * (1 << 20))\ntime.sleep(30)"
    )
    said = box.python(code, roots=[writable(work)], limits={"workspace": 16 << 20, "wall": 30})
    assert (said["status"], said["limit"]) == ("limit", "workspace")


def test_a_deleted_file_counts_whichever_thread_holds_it(box: Driver, work: Path) -> None:
    code = (
        f"{_HEADLESS}\ndef hog(name):\n"
        "  libc.unshare(0x400)  # a table of open files of its own\n"
        "  file = open(name, 'wb', buffering=0); os.unlink(name); file.write(b'x' * (8 << 20)); time.sleep(30)\n"
        "if os.fork() == 0: headless(lambda: hog('/workspace/one'))\n"
        "threading.Thread(target=hog, args=('/workspace/two',)).start()"
    )
    said = box.python(code, roots=[writable(work)], limits={"workspace": 12 << 20, "wall": 30})
    assert (said["status"], said["limit"]) == ("limit", "workspace")


def test_a_worker_s_folder_is_watched_too(box: Driver, work: Path) -> None:
    said = box.ask(
        do="worker", kind="worker", programs=["sh", "head", "sleep"], lines=[],
        cwd="/workspace", roots=[writable(work)],
        arguments=["-c", "head -c 9000000 /dev/zero > f; sleep 98773"], limits={"workspace": 1 << 20},
    )  # fmt: skip
    assert (said["status"], said["limit"]) == ("limit", "workspace")
    assert gone("98773")


def test_a_call_that_is_cancelled_or_may_not_begin_lets_go_of_the_folders_it_watched(box: Driver, work: Path) -> None:
    watched = {"programs": ["sh", "sleep"], "roots": [writable(work)], "limits": {"workspace": 1 << 20}}
    box.ask(**watched, arguments=["-c", "true"])
    before = box.ask(do="facts")
    for _ in range(6):
        assert box.ask(**watched, arguments=["-c", "echo go; sleep 98774"], cancel_when="go") == {"cancelled": True}
        assert box.ask(**watched, arguments=["-c", "true"], refused=True)["error"]["code"] == "policy_changed"

    def let_go() -> bool:
        after = box.ask(do="facts")
        return after["descriptors"] <= before["descriptors"] + 2 and after["tasks"] <= before["tasks"] + 2

    assert becomes(let_go, within=20)
