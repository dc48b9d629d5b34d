"""`isolation = "conversation"`: one sandbox for the calls of a conversation, in turn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from driver import Driver, gone, own, writable

TALK = {"isolation": "conversation", "conversation": "u1/c1"}


def test_the_calls_of_a_conversation_share_their_scratch_folder_and_nothing_else(box: Driver) -> None:
    first = box.sh("echo kept > /tmp/kept; export A=b; cd /; ulimit -n 20", **TALK)
    second = box.sh('cat /tmp/kept; echo "[$A] $PWD $(ulimit -n)"', "cat", **TALK)
    assert (first["armed"], first["exit_code"]) == (False, 0)
    assert "kept" not in second["stdout"]  # another program: another shape, and its own sandbox
    third = box.sh('read line < /tmp/kept; echo "$line [$A] $PWD $(ulimit -n)"', **TALK)
    assert (third["stdout"], third["armed"]) == ("kept [] /tmp 256\n", True)


def test_another_conversation_and_a_call_without_one_have_their_own(box: Driver) -> None:
    box.sh("echo x > /tmp/mine", **(TALK | {"conversation": "u1/c2"}))
    for other in (TALK | {"conversation": "u1/c3"}, TALK | {"conversation": "u2/c2"}, TALK | {"conversation": ""}, {}):
        assert box.sh("echo /tmp/*", **other)["stdout"] != "/tmp/mine\n"


def test_no_process_outlives_its_call(box: Driver) -> None:
    talk = TALK | {"conversation": "u1/c4"}
    said = box.sh("(setsid sleep 98741 &) ; sleep 98741 & echo started", "sleep", "setsid", **talk)
    assert (said["stdout"], said["exit_code"]) == ("started\n", 0)
    assert gone("98741")
    said = box.sh("echo /proc/[0-9]*", "sleep", "setsid", **talk)
    assert said["armed"]
    assert len(said["stdout"].split()) <= 4  # the launcher, the shell, and what was killed and not waited for


def test_output_and_status_belong_to_their_call(box: Driver) -> None:
    talk = TALK | {"conversation": "u1/c5"}
    for number in range(20):
        said = box.sh(f"echo out{number}; echo err{number} >&2; exit {number}", **talk)
        assert (said["stdout"], said["stderr"], said["exit_code"]) == (f"out{number}\n", f"err{number}\n", number)
        assert said["armed"] is (number > 0)
    assert box.sh("kill -9 $$", **talk)["signal"] == 9
    said = box.ask(programs=["sh"], arguments=["-c", "echo x; exec 1>&-; echo gone"], **talk)
    assert said["stdout"] == "x\n"
    assert box.sh("read x; echo [$x]", **talk)["stdout"] == "[]\n"


def test_calls_of_one_conversation_take_turns(box: Driver) -> None:
    talk = TALK | {"conversation": "u1/c6"}
    script = "[ -e /tmp/busy ] && echo together; : > /tmp/busy; read x < /dev/null; rm /tmp/busy"
    requests: list[dict[str, Any]] = [{"programs": ["sh", "rm"], "arguments": ["-c", script], **talk}] * 8
    answers = box.ask(do="gather", requests=requests)["answers"]
    assert [answer["stdout"] for answer in answers] == [""] * 8
    assert [answer["armed"] for answer in answers].count(False) == 1


def test_a_call_that_goes_over_a_limit_ends_the_sandbox(box: Driver) -> None:
    talk = TALK | {"conversation": "u1/c7", "limits": {"wall": 0.3}}
    box.sh("echo x > /tmp/kept", "sleep", **talk)
    assert box.sh("sleep 98742", "sleep", **talk)["status"] == "timeout"
    assert gone("98742")
    said = box.sh("echo /tmp/*", "sleep", **talk)
    assert (said["stdout"], said["armed"]) == ("/tmp/*\n", False)


def test_cpu_time_is_counted_for_each_call(box: Driver) -> None:
    talk = TALK | {"conversation": "u1/c11", "limits": {"cpu": 1}}
    spin = "import time\nwhile time.process_time() < 0.5: pass"
    for number in range(5):
        said = box.python(spin, **talk)
        assert (said["status"], said["armed"]) == ("exited", number > 0)


def test_a_cancelled_call_ends_the_sandbox(box: Driver) -> None:
    talk = TALK | {"conversation": "u1/c8"}
    box.sh("true", "sleep", **talk)
    assert box.sh("echo up; sleep 98743", "sleep", cancel_when="up", **talk) == {"cancelled": True}
    assert gone("98743")
    assert not box.sh("true", "sleep", **talk)["armed"]


def test_paths_are_covered_anew_for_each_call_and_free_between_them(box: Driver, work: Path) -> None:
    talk = TALK | {"conversation": "u1/c9"}
    root = writable(work, hidden=["secret"], protected=[".git", "commondir", ".envrc", "a/b/c"])
    (work / "a" / "b").mkdir(parents=True)
    own(work)
    script = "cat secret; echo x > .envrc; echo x > .git/config; mkdir a/b/c; mv a z; echo y > made"
    for number in range(3):
        said = box.sh(script, "cat", "mkdir", "mv", roots=[root], cwd="/workspace", **talk)
        assert said["armed"] is (number > 0)
        assert "CANARY" not in said["stdout"]
        assert sorted(os.listdir(work)) == sorted(["a", "made", *(["secret"] if number else [])])
        assert os.listdir(work / "a" / "b") == []
        (work / "new").write_text("CANARY")
        own(work)
        (work / "new").replace(work / "secret")


def test_a_root_that_goes_away_in_a_call_leaves_it_its_result_and_the_next_one_its_reason(
    box: Driver, work: Path
) -> None:
    talk = TALK | {"conversation": "u1/c12"}
    (work / "inner").mkdir()
    os.mkfifo(work / "go")
    own(work)
    roots = [writable(work), writable(work / "inner", "/workspace/inner", protected=[".git"])]
    box.send(programs=["sh"], arguments=["-c", "read x < /workspace/go; echo $x"], roots=roots, **talk)
    with (work / "go").open("w") as go:
        (work / "inner").rename(work / "elsewhere")
        go.write("ran\n")
    assert box.read()["stdout"] == "ran\n"
    assert os.listdir(work / "elsewhere") == []
    (work / "elsewhere").rename(work / "inner")
    said = box.sh("echo again", roots=roots, **talk)
    assert (said["stdout"], said["armed"]) == ("again\n", False)


def test_standard_input_is_given_in_a_sandbox_of_its_own(box: Driver) -> None:
    talk = TALK | {"conversation": "u1/c10"}
    box.sh("echo x > /tmp/kept", "cat", **talk)
    said = box.sh("cat; echo /tmp/*", "cat", stdin="given ", **talk)
    assert said["stdout"] == "given /tmp/*\n"
