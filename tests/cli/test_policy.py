"""`toolhost policy`: what is wrong with a file, and what it decides."""

import json
import re
import sqlite3
from pathlib import Path

import pytest

LINE = re.compile(r"[^:]+\.toml:\d+:\d+: [a-z_]+: .+")


def test_the_packaged_policies_are_valid(toolhost) -> None:
    done = toolhost("policy", "check", str(Path(__file__).parents[2] / "policies"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_policies_in_force_are_checked_without_an_argument(toolhost, policies: Path) -> None:
    (policies / "git.toml").write_text('plugin = "git"\ncommandz = 1\n')
    done = toolhost("policy", "check")
    assert done.returncode == 1
    assert done.stdout.startswith("git.toml:2:1: unknown_key: ")
    assert "commands" in done.stdout


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('plugin = "x"\n[commands]\nallow = ["git log"', "3:"),
        ('plugin = "x"\n[comands]\n', "2:2: unknown_key"),
        ('plugin = "y"\n', "1:10: wrong_plugin"),
        ('plugin = "x"\n[paths]\nwrite = ["/etc"]\n', "3:"),
        ('plugin = "x"\n[paths]\nread = ["../up"]\n', "3:"),
        ('plugin = "x"\n[commands]\nallow = ["bash -c {text}"]\n', "3:"),
        ('plugin = "x"\n[[tests]]\nrun = "ls"\nexpect = "allow"\n', "2:"),
        ('plugin = "x"\n[limits]\nwall = 3\n', "3:"),
    ],
)
def test_a_problem_is_one_line_with_its_place(toolhost, space: Path, text: str, place: str) -> None:
    file = space / "x.toml"
    file.write_text(text)
    done = toolhost("policy", "check", str(file))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines
    assert all(LINE.fullmatch(line) for line in lines), done.stdout
    assert any(f"x.toml:{place}" in line for line in lines), done.stdout


def test_a_file_that_does_not_exist_is_a_problem(toolhost) -> None:
    done = toolhost("policy", "check", "nowhere.toml")
    assert done.returncode == 1
    assert "nowhere.toml" in done.stdout


def test_a_policy_saved_half_written_grants_nothing(toolhost, policies: Path, git_repository) -> None:
    whole = (policies / "git.toml").read_text()
    (policies / "git.toml").write_text(whole[: len(whole) // 2] + '\nallow = ["')
    done = toolhost("call", "git.log", cwd=git_repository("a"))
    assert done.returncode in (2, 3)
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "outcome"),
    [(["git.log", "limit=3"], "allow"), (["git.push"], "deny"), (["shell.run", "script=ls"], "ask")],
)
def test_explain_begins_with_the_decision(toolhost, git_repository, words, outcome) -> None:
    repository = git_repository("a")
    text = toolhost("policy", "explain", *words, "--workspace", str(repository))
    assert text.returncode == 0, text.stderr
    assert text.stdout.splitlines()[0] == f"decision: {outcome}"
    whole = toolhost("policy", "explain", *words, "--workspace", str(repository), "--output", "json")
    assert json.loads(whole.stdout)["decision"]["outcome"] == outcome


def test_explain_shows_what_would_run_and_runs_nothing(toolhost, git_repository, data: Path) -> None:
    repository = git_repository("a")
    done = toolhost("policy", "explain", "git.log", "limit=3", cwd=repository)
    assert "--max-count" in done.stdout
    assert str(repository) in done.stdout
    assert re.search(r"git\.toml:\d+", done.stdout)
    log = data / "state" / "audit.log"
    assert "tool.intent" not in (log.read_text() if log.exists() else "")


def test_explain_and_call_give_the_same_digest(toolhost, git_repository) -> None:
    repository = git_repository("a")
    explained = json.loads(toolhost("policy", "explain", "git.log", "--output", "json", cwd=repository).stdout)
    called = json.loads(toolhost("call", "git.log", "--output", "json", cwd=repository).stdout)
    assert called["sandbox"]["plan_digest"] in json.dumps(explained)
    assert called["decision"] == explained["decision"]


def test_a_plan_is_the_same_in_explain_in_the_audit_log_and_in_the_record(toolhost, git_repository, data: Path) -> None:
    repository = git_repository("a")
    explained = json.loads(toolhost("policy", "explain", "git.log", "--output", "json", cwd=repository).stdout)
    called = json.loads(toolhost("call", "git.log", "--output", "json", cwd=repository).stdout)
    records = [json.loads(line) for line in (data / "state" / "audit.log").read_text().splitlines()]
    audited = next(record for record in records if record["call_id"] == called["call_id"])
    assert audited["details"]["plan"] == explained["plan"]
    assert called["sandbox"]["limits"] == explained["limits"]
    database = sqlite3.connect(data / "state" / "toolhost.db")
    stored = database.execute("SELECT plan FROM calls WHERE id = ?", (called["call_id"],)).fetchone()
    database.close()
    assert json.loads(stored[0]) == explained["plan"]
    assert called["sandbox"]["plan_digest"] == explained["plan"]["plan_digest"]


def test_explain_names_what_enforces_each_limit(toolhost, git_repository) -> None:
    shown = toolhost("policy", "explain", "git.log", cwd=git_repository("a")).stdout
    limits = next(line for line in shown.splitlines() if line.startswith("limits: "))
    assert re.search(r"wall \S+ \(wallclock\)", limits)
    assert re.search(r"memory \S+ \((cgroup2|cgroup1|watchdog)\)", limits)


def test_explain_of_an_unknown_tool_is_a_usage_error(toolhost) -> None:
    done = toolhost("policy", "explain", "git.lag")
    assert done.returncode == 2
    assert "[unknown_tool]" in done.stderr
