"""Every limit is enforced, and the outcome says by what."""

from __future__ import annotations

from pathlib import Path

from driver import Driver, gone, writable


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
    assert "had it" not in said["stdout"]


def test_memory_of_many_processes_counts_together(box: Driver) -> None:
    code = (
        "import os, time\nfor _ in range(8):\n"
        "  if os.fork() == 0:\n    x = bytearray(b'x' * (40 << 20)); time.sleep(60)\n"
        "time.sleep(60)"
    )
    said = box.python(code, limits={"memory": 120 << 20, "wall": 30})
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


def test_the_scratch_folder_is_sized_and_shared_memory_lies_in_it(box: Driver) -> None:
    code = (
        "import os\nn = 0\ntry:\n"
        "  for where in ('/tmp/a', '/dev/shm/b'):\n"
        "    with open(where, 'wb', buffering=0) as f:\n"
        "      while True: n += f.write(b'x' * 65536)\n"
        "except OSError as e: print(e.errno, n <= 1 << 20)"
    )
    assert box.python(code, limits={"scratch": 1 << 20})["stdout"] == "28 True\n"


def test_python_semaphores_work(box: Driver) -> None:
    code = "import multiprocessing as m; l = m.Lock(); l.acquire(); l.release(); print('ok')"
    assert box.python(code)["stdout"] == "ok\n"


def test_every_limit_is_reported_with_its_mechanism(box: Driver) -> None:
    limits = box.sh("true", "true")["limits"]
    assert {name: report["enforced_by"] for name, report in limits.items()} == {
        "wall": "wallclock",
        "cpu": "rlimit",
        "memory": "watchdog",
        "processes": "rlimit",
        "open_files": "rlimit",
        "file_size": "rlimit",
        "output": "host",
        "scratch": "tmpfs",
        "workspace": "none",
        "calls": "none",
    }
    assert limits["memory"]["value"] == 512 << 20


def test_a_limit_of_zero_refuses_the_plan(box: Driver) -> None:
    assert box.sh("true", limits={"memory": 0})["error"]["code"] == "limit_invalid"
