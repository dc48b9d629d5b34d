"""What comes out of a sandbox is what happened in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from driver import Driver, becomes, gone, no_tools, writable


def test_a_program_runs_and_its_output_is_kept_apart(box: Driver) -> None:
    said = box.sh("printf out; printf err >&2; exit 3")
    assert (said["status"], said["exit_code"], said["signal"]) == ("exited", 3, None)
    assert (said["stdout"], said["stderr"]) == ("out", "err")


def test_standard_input_arrives_whole_and_ends(box: Driver) -> None:
    text = "line\n" * 200_000
    said = box.ask(programs=["cat"], stdin=text, limits={"output": 2 << 20})
    assert said["stdout"] == text
    assert said["streamed"]["stdout"] == len(text)


def test_large_output_on_both_streams_is_neither_lost_nor_mixed(box: Driver) -> None:
    code = "import sys\nfor _ in range(64): sys.stdout.write('o'*65536); sys.stderr.write('e'*32768)"
    said = box.python(code, limits={"output": 8 << 20})
    assert said["stdout"] == "o" * (64 * 65536)
    assert said["stderr"] == "e" * (64 * 32768)
    assert said["truncated"] is False


@pytest.mark.parametrize("code", [0, 1, 126, 127, 128, 130, 137, 141, 143, 255])
def test_an_exit_code_is_never_taken_for_a_signal(box: Driver, code: int) -> None:
    said = box.sh(f"exit {code}")
    assert (said["status"], said["exit_code"], said["signal"]) == ("exited", code, None)


@pytest.mark.parametrize("number", [1, 3, 6, 9, 11, 15])
def test_a_signal_is_never_taken_for_an_exit_code(box: Driver, number: int) -> None:
    said = box.sh(f"kill -{number} $$")
    assert (said["status"], said["exit_code"], said["signal"]) == ("signaled", None, number)


@pytest.mark.parametrize("more", [{}, {"isolation": "conversation", "conversation": "c"}], ids=["call", "conversation"])
@pytest.mark.parametrize("whom", [0, 1])
def test_a_tool_that_signals_its_group_or_the_launcher_ends_as_it_does(
    box: Driver, whom: int, more: dict[str, str]
) -> None:
    code = f"""
import os, signal, sys
for each in signal.valid_signals() - {{signal.SIGKILL, signal.SIGSTOP}}:
    if each < 32: signal.signal(each, signal.SIG_IGN)
for each in signal.valid_signals():
    if {whom} or each < 32 and each not in (signal.SIGKILL, signal.SIGSTOP): os.kill({whom}, each)
sys.exit(3)
"""
    for _ in range(2):
        said = box.python(code, **more)
        assert (said["status"], said["exit_code"]) == ("exited", 3), said


@pytest.mark.parametrize("number", [2, 13])
def test_the_two_signals_dash_does_not_name_are_reported_where_the_kernel_tells(box: Driver, number: int) -> None:
    said = box.sh(f"kill -{number} $$")
    # Before Linux 6.15 nothing tells them from an exit with 128 + the number, and a signal is then not claimed.
    assert (said["status"], said["signal"]) == ("signaled", number) or said["exit_code"] == 128 + number


def test_arguments_arrive_as_they_are(box: Driver) -> None:
    hard = [
        "",
        " ",
        "a b",
        "'",
        '"',
        "$(id)",
        "`id`",
        ";id",
        "\\",
        "*",
        "~",
        "a\nb",
        "\t",
        "-rf",
        "--",
        "é",
        "\udcff",
        "x" * 100_000,
    ]
    said = box.python("import sys, os; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))")
    assert said["stdout"] == ""
    said = box.ask(
        programs=["python3"],
        arguments=["-c", "import sys, os; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))", *hard],
    )
    assert said["stdout"].split("\0") == hard


def test_the_environment_is_the_plans_and_two_names_more(box: Driver) -> None:
    code = "import os; print(sorted(f'{k}={v}' for k, v in os.environ.items() if k != 'LC_CTYPE'))"
    said = box.python(code, env={"LANG": "C.UTF-8", "ODD": "a'b\n$c"})
    assert said["stdout"].strip() == str(sorted(["LANG=C.UTF-8", "ODD=a'b\n$c", "HOME=/tmp", "PATH=/usr/bin:/bin"]))


def test_only_the_three_standard_descriptors_are_open(box: Driver) -> None:
    said = box.python("import os; print([fd for fd in range(256) if os.path.exists(f'/proc/self/fd/{fd}')])")
    assert said["stdout"].strip() == "[0, 1, 2]"


def test_the_working_folder_is_the_plans(box: Driver, work: Path) -> None:
    (work / "a b").mkdir()
    said = box.python("import os; print(os.getcwd())", cwd="/workspace/a b", roots=[writable(work)])
    assert said["stdout"] == "/workspace/a b\n"


def test_a_working_folder_that_is_not_there_refuses_the_plan(box: Driver, work: Path) -> None:
    said = box.sh("echo ran", cwd="/workspace/none", roots=[writable(work)])
    assert said["error"]["code"] == "cwd_missing"


def test_what_a_background_process_leaves_behind_ends_with_the_call(box: Driver) -> None:
    said = box.sh("setsid sleep 98761 & trap '' TERM; echo done", "sleep", "setsid")
    assert (said["stdout"], said["status"]) == ("done\n", "exited")
    assert gone("98761")


def test_a_background_process_that_holds_the_output_does_not_hold_the_call(box: Driver) -> None:
    said = box.sh("sleep 98762 & echo done", "sleep", limits={"wall": 30})
    assert said["stdout"] == "done\n"
    assert said["duration_ms"] < 20_000


def test_cancelling_leaves_nothing_behind(box: Driver) -> None:
    said = box.sh("trap '' TERM INT; setsid sleep 98763 & echo up; sleep 98763", "sleep", "setsid", cancel_when="up")
    assert said == {"cancelled": True}
    assert gone("98763")


@pytest.mark.parametrize("delay", [0, 0.001, 0.002, 0.003, 0.004, 0.006, 0.01])
def test_cancelling_while_the_sandbox_is_made_leaves_nothing_behind(box: Driver, work: Path, delay: float) -> None:
    said = box.sh("echo x > /workspace/ran; sleep 98764", "sleep", roots=[writable(work)], cancel_after=delay)
    assert said == {"cancelled": True}
    assert gone("98764")
    assert no_tools(box)


def test_many_at_once_all_answer_and_no_descriptor_is_left(box: Driver) -> None:
    one = {"programs": ["cat"], "stdin": "x" * 1000}
    box.ask(**one)
    before = box.ask(do="facts")["descriptors"]
    answers = box.ask(do="gather", requests=[one] * 40)["answers"]
    assert {answer["stdout"] for answer in answers} == {"x" * 1000}
    assert becomes(lambda: box.ask(do="facts")["descriptors"] <= before)


def test_a_worker_answers_line_by_line_until_its_input_closes(box: Driver) -> None:
    code = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)"
    said = box.ask(do="worker", kind="worker", programs=["python3"], arguments=["-c", code], lines=["abc", "xyz"])
    assert said["said"] == ["cba", "zyx"]
    assert (said["status"], said["exit_code"]) == ("exited", 0)


def test_a_killed_worker_says_cancelled_and_is_gone(box: Driver) -> None:
    code = "import sys\nprint(sys.stdin.readline(), end='', flush=True)\nwhile True: pass  # 98765"
    said = box.ask(do="worker", kind="worker", programs=["python3"], arguments=["-c", code], lines=["a"], kill=True)
    assert (said["said"], said["status"]) == (["a"], "cancelled")
    assert gone("98765")
