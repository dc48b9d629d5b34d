"""`toolhost policy why` and `replay`: recorded calls, and what would become of them now."""

import json
import sqlite3
from pathlib import Path

import pytest

from toolhost.identifiers import new_id


def called(toolhost, *words: str, **more) -> dict:
    return json.loads(toolhost("call", *words, "--output", "json", **more).stdout)


def test_why_tells_of_a_call_that_ran_under_which_rule_and_policy(toolhost, git_repository, data: Path) -> None:
    repository = git_repository("a")
    made = called(toolhost, "git.log", "limit=3", cwd=repository)
    done = toolhost("policy", "why", made["call_id"], "--output", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["decision"]["outcome"] == "allow"
    assert told["decision"]["rule"].startswith("git log ")
    assert told["decision"]["source"] == made["decision"]["source"]
    assert told["policy_digest"].startswith("sha256:")
    assert told["plan"]["plan_digest"] == made["sandbox"]["plan_digest"]
    assert told["limits"] == made["sandbox"]["limits"]
    assert (told["outcome"]["status"], told["outcome"]["exit_code"]) == ("ok", 0)
    assert [one["event"] for one in told["audit"]] == ["tool.intent", "tool.outcome"]
    assert told["today"]["changed"] == "same"
    text = toolhost("policy", "why", made["call_id"]).stdout
    assert text.startswith("decision: allow\n")
    assert "\ntoday: allow (same): " in text


def test_why_keeps_the_rule_as_it_was_and_says_what_holds_today(toolhost, policies: Path, git_repository) -> None:
    repository = git_repository("a")
    made = called(toolhost, "git.log", cwd=repository)
    (policies / "git.toml").write_text('plugin = "git"\n[commands]\nallow = ["git status --short --branch"]\n')
    told = json.loads(toolhost("policy", "why", made["call_id"], "--output", "json").stdout)
    assert told["decision"]["rule"].startswith("git log ")
    assert (told["today"]["changed"], told["today"]["decision"]["code"]) == ("stricter", "no_rule")
    assert [rule["rule"] for rule in told["today"]["instead"]] == ["git status --short --branch"]


def test_why_tells_of_a_denied_call_and_of_one_that_was_approved(toolhost, git_repository) -> None:
    repository = git_repository("a")
    denied = called(toolhost, "git.push", cwd=repository)
    told = json.loads(toolhost("policy", "why", denied["call_id"], "--output", "json").stdout)
    assert (told["decision"]["outcome"], told["outcome"]["status"]) == ("deny", "denied")
    assert told["asked"][:2] == ["git", "push"]
    assert [one["event"] for one in told["audit"]] == ["command_blocked"]
    approved = called(toolhost, "shell.run", "script=true", "--approve", cwd=repository)
    told = json.loads(toolhost("policy", "why", approved["call_id"], "--output", "json").stdout)
    assert told["decision"]["outcome"] == "ask"
    assert told["approval_id"] == approved["approval_id"] is not None
    assert "approval.approved" in [one["event"] for one in told["audit"]]


@pytest.mark.parametrize("name", ["c_nothing", "", "'; --", '"call_id'])
def test_why_of_an_unknown_call_is_a_usage_error(toolhost, name: str) -> None:
    done = toolhost("policy", "why", name)
    assert done.returncode == 2
    assert "[unknown_call]" in done.stderr


def test_a_line_of_the_log_that_was_changed_has_no_part_in_why(toolhost, git_repository, data: Path) -> None:
    made = called(toolhost, "git.push", cwd=git_repository("a"))
    log = data / "state" / "audit.log"
    log.write_text(log.read_text().replace('"reason":"', '"reason":"forged '))
    told = json.loads(toolhost("policy", "why", made["call_id"], "--output", "json").stdout)
    assert told["audit"] == []
    assert "forged" not in json.dumps(told)


def test_replay_lists_what_would_be_decided_otherwise(toolhost, policies: Path, git_repository, space: Path) -> None:
    repository = git_repository("a")
    logged = called(toolhost, "git.log", cwd=repository)
    pushed = called(toolhost, "git.push", cwd=repository)
    asked = called(toolhost, "shell.run", "script=true", cwd=repository)
    assert (logged["status"], pushed["status"], asked["status"]) == ("ok", "denied", "approval_required")
    unchanged = toolhost("policy", "replay", "--since", "1h")
    assert unchanged.returncode == 0, unchanged.stderr
    assert unchanged.stdout == (
        "3 calls, 0 would be decided otherwise: 0 stricter, 0 looser; 0 would reach more, 0 less; "
        "0 cannot be replayed.\n"
    )

    tried = space / "tried"
    tried.mkdir()
    (tried / "host.toml").write_text("")
    (tried / "git.toml").write_text(
        'plugin = "git"\n[commands]\nask = ["git push ..."]\n[paths]\nread = ["{workspace}"]\n'
    )
    (tried / "shell.toml").write_text((policies / "shell.toml").read_text())
    for file in tried.iterdir():
        file.chmod(0o644)
    tried.chmod(0o755)
    done = toolhost("policy", "replay", "--policies", str(tried), "--output", "json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    summary = {"calls": 3, "same": 1, "stricter": 1, "looser": 1, "wider": 0, "narrower": 0, "not_replayed": {}}
    assert found["summary"] == summary
    changes = {one["call_id"]: one for one in found["changed"]}
    assert changes[logged["call_id"]]["changed"] == "stricter"
    assert changes[logged["call_id"]]["then"]["rule"].startswith("git log ")
    assert changes[pushed["call_id"]]["now"]["rule"] == "git push ..."
    assert changes[pushed["call_id"]]["argv"][:2] == ["git", "push"]
    text = toolhost("policy", "replay", "--policies", str(tried)).stdout
    assert "  allow -> deny (stricter)\n" in text
    assert "3 calls, 2 would be decided otherwise: 1 stricter, 1 looser; 0 would reach more" in text


def test_replay_lists_what_stays_allowed_and_would_reach_more_or_less(toolhost, policies: Path, git_repository) -> None:
    made = called(toolhost, "git.log", cwd=git_repository("a"))
    file = policies / "git.toml"
    packaged = file.read_text()
    file.write_text(packaged.replace("[paths]\n", "[limits]\nopen_files = 300\n\n[paths]\n"))
    done = toolhost("policy", "replay", "--output", "json")
    assert done.returncode == 1, done.stderr
    (entry,) = json.loads(done.stdout)["changed"]
    assert (entry["call_id"], entry["changed"]) == (made["call_id"], "wider")
    assert (entry["gains"], entry["loses"]) == (["open_files 300"], [])
    file.write_text(packaged.replace("[paths]\n", '[paths]\ndeny = ["private"]\n'))
    text = toolhost("policy", "replay").stdout
    assert "allow -> allow (narrower)" in text
    assert "  less  hidden private in /workspace\n" in text


def test_replay_counts_what_it_cannot_consider_again(toolhost, workspace: Path, data: Path) -> None:
    called(toolhost, "files.list")
    database = sqlite3.connect(data / "state" / "toolhost.db")
    database.execute("UPDATE calls SET tool = 'gone.tool'")
    database.commit()
    database.close()
    done = toolhost("policy", "replay", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["summary"]["not_replayed"] == {"tool_gone": 1}


def test_replay_goes_through_many_pages_of_calls(toolhost, git_repository, data: Path) -> None:
    called(toolhost, "git.log", cwd=git_repository("a"))
    database = sqlite3.connect(data / "state" / "toolhost.db")
    columns = [row[1] for row in database.execute("PRAGMA table_info(calls)")]
    others = ", ".join(columns[1:])
    for _ in range(450):
        database.execute(f"INSERT INTO calls (id, {others}) SELECT ?, {others} FROM calls LIMIT 1", (new_id("c"),))
    database.commit()
    database.close()
    assert toolhost("policy", "replay").stdout.startswith("451 calls, 0 would be decided otherwise")


@pytest.mark.parametrize("words", [("--since", "yesterday"), ("--since", "0d"), ("--policies", "/nowhere")])
def test_replay_refuses_what_makes_no_sense(toolhost, words: tuple[str, str]) -> None:
    assert toolhost("policy", "replay", *words).returncode == 2
