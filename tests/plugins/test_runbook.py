"""The `runbook` plugin: each step is decided by itself, and the first that fails ends the run."""

from __future__ import annotations

import os

import pytest
from driver import own

BOOK = """
about = "Check the build."

[inputs]
folder = "build"

[[steps]]
name = "Say so"
run = ["echo", "looking into {folder}"]

[[steps]]
name = "List"
run = ["ls", "--", "{folder}"]

[[steps]]
name = "Has a report"
check = "{folder}/report.txt"
contains = "passed"
"""


@pytest.mark.works("runbook.list", "runbook.show", "runbook.run")
def test_a_runbook_is_listed_shown_and_carried_out(ada) -> None:
    (ada.workspace / "runbooks").mkdir()
    (ada.workspace / "runbooks" / "check.toml").write_text(BOOK)
    (ada.workspace / "other.toml").write_text("x = 1\n")
    for folder in ("build", "my build; rm"):
        (ada.workspace / folder).mkdir()
        (ada.workspace / folder / "report.txt").write_text("all passed\n")
    assert ada.text("runbook.list") == "runbooks/check.toml: Check the build. (3 steps)"
    shown = ada.text("runbook.show", path="runbooks/check.toml")
    assert "input folder = 'build'\n1. Say so: echo 'looking into {folder}'\n" in shown
    assert "3. Has a report: {folder}/report.txt exists and holds 'passed'" in shown
    assert ada.decided("runbook.run", path="runbooks/check.toml") == "allow"
    done = ada.text("runbook.run", path="runbooks/check.toml")
    assert done == "1. Say so: done\n   looking into build\n2. List: done\n   report.txt\n3. Has a report: done"
    odd = ada.text("runbook.run", path="runbooks/check.toml", inputs={"folder": "my build; rm"})
    assert "looking into my build; rm\n" in odd
    assert ada.fails("runbook.run", path="runbooks/check.toml", inputs={"no": "x"}) == "invalid_arguments"
    assert ada.fails("runbook.run", path="runbooks/check.toml", start="no") == "invalid_arguments"
    assert ada.denied("runbook.run", path="/etc/x.toml")
    assert ada.denied("runbook.show", path="../x.toml")
    assert ada.denied("runbook.list", path="/etc")


def test_the_first_step_that_fails_ends_the_run_and_says_how_to_go_on(ada) -> None:
    (ada.workspace / "book.toml").write_text(BOOK)
    (ada.workspace / "build").mkdir()
    failed = ada.call("runbook.run", path="book.toml")
    assert failed["error"]["code"] == "step_failed"
    assert "Step 3 of 3, 'Has a report', failed: build/report.txt: No such file" in failed["error"]["message"]
    assert "The 2 before it are done. start='Has a report' goes on" in failed["error"]["message"]
    assert "1. Say so: done" in failed["stderr"]
    (ada.workspace / "build" / "report.txt").write_text("passed")
    assert ada.text("runbook.run", path="book.toml", start="Has a report") == "3. Has a report: done"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ('["rm", "-r", "build"]', "rm"),
        ('["echo", "--version", "x"]', "echo"),
        ('["ls", "/etc"]', "/etc"),
    ],
)
def test_a_step_that_the_policy_does_not_allow_does_not_run(ada, command: str, reason: str) -> None:
    (ada.workspace / "book.toml").write_text(
        f'[[steps]]\nname = "Do"\nrun = {command}\n[[steps]]\nname = "After"\nrun = ["echo", "after"]\n'
    )
    failed = ada.call("runbook.run", path="book.toml")
    assert failed["error"]["code"] == "step_failed"
    assert reason in failed["error"]["message"]
    assert "After" not in failed["stderr"]


def test_a_step_that_asks_waits_for_a_person_and_a_refusal_ends_the_run(ada, bundled_host) -> None:
    (ada.workspace / "book.toml").write_text('[[steps]]\nname = "Make"\nrun = ["mkdir", "made"]\n')
    own(ada.workspace)
    asked = {"tool": "runbook.run", "arguments": {"path": "book.toml"}, "workspace": str(ada.workspace), "actor": "bob"}
    answer = {"do": "answer_next", "actor": "bob"}
    refused, _ = bundled_host.ask(do="gather", requests=[asked, {**answer, "refuse": "no"}])["answers"]
    assert refused["error"]["code"] == "step_failed"
    assert not (ada.workspace / "made").exists()
    done, answered = bundled_host.ask(do="gather", requests=[asked, answer])["answers"]
    assert done["status"] == "ok", done
    assert (ada.workspace / "made").is_dir()
    assert answered["question"]["plan"]["argv"] == ["/usr/bin/mkdir", "made"]


def test_a_step_asks_a_person_and_goes_on_with_a_yes_alone(ada, bundled_host) -> None:
    book = '[[steps]]\nname = "Sure"\nconfirm = "Go on with {what}?"\n[[steps]]\nname = "Do"\nrun = ["echo", "done"]\n'
    (ada.workspace / "book.toml").write_text(f'[inputs]\nwhat = "it"\n{book}')
    assert "1. Sure: asks: Go on with {what}?" in ada.text("runbook.show", path="book.toml")
    own(ada.workspace)
    run = {"tool": "runbook.run", "arguments": {"path": "book.toml"}, "workspace": str(ada.workspace)}
    assert bundled_host.ask(**run, say="yes")["stdout"] == "1. Sure: done\n2. Do: done\n   done"
    refused = bundled_host.ask(**run, say="no")
    assert refused["error"]["code"] == "step_failed"
    assert "A person said no." in refused["error"]["message"]
    assert "nobody is there" in bundled_host.ask(**run, attended=False)["error"]["message"]


def test_a_step_that_may_fail_does_not_end_the_run(ada) -> None:
    (ada.workspace / "book.toml").write_text(
        '[[steps]]\nname = "A"\nrun = ["ls", "missing"]\nmay_fail = true\n[[steps]]\nname = "B"\nrun = ["echo", "b"]\n'
    )
    done = ada.text("runbook.run", path="book.toml")
    assert "1. A: failed, as it may" in done
    assert done.endswith("2. B: done\n   b")


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "x = 1",
        "steps = []",
        '[[steps]]\nrun = ["ls"]',
        '[[steps]]\nname = "A"\nrun = "ls -l"',
        '[[steps]]\nname = "A"\nrun = ["ls"]\ncheck = "x"',
        '[[steps]]\nname = "A"\nrun = ["ls", "{who}"]',
        '[[steps]]\nname = "A"\nrun = ["ls"]\nshell = true',
        '[[steps]]\nname = "A"\nrun = ["ls"]\n[[steps]]\nname = "A"\nrun = ["ls"]',
        '[inputs]\nx = 1\n[[steps]]\nname = "A"\nrun = ["ls"]',
    ],
)
def test_what_is_no_runbook_is_said_before_anything_runs(ada, text: str) -> None:
    (ada.workspace / "book.toml").write_text(text)
    assert ada.fails("runbook.run", path="book.toml") == "bad_runbook"


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(ada) -> None:
    (ada.workspace / "runbooks").mkdir()
    for name in ("a.toml", "runbooks/b.toml", "report"):
        os.mkfifo(ada.workspace / name)
    assert ada.text("runbook.list") == "runbooks/b.toml: runbooks/b.toml cannot be read: it is no file."
    assert ada.fails("runbook.show", path="a.toml") == "not_found"
    (ada.workspace / "c.toml").write_text('[[steps]]\nname = "Look"\ncheck = "report"\ncontains = "x"\n')
    failed = ada.call("runbook.run", path="c.toml")["error"]
    assert failed["code"] == "step_failed"
    assert "report: it is no file" in failed["message"]
