"""`toolhost audit`: finding records, verifying them, taking them elsewhere."""

import csv
import io
import json
import select
import sqlite3
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def called(toolhost, data: Path) -> Path:
    """A data directory with a call that ran and one that was denied; the log of it."""
    assert toolhost("call", "system.uname").returncode == 0
    assert toolhost("call", "files.read", "path=/etc/shadow").returncode != 0
    return data / "state" / "audit.log"


def test_records_are_found_by_what_is_asked(toolhost, called: Path) -> None:
    def found(*options: str) -> list[dict]:
        done = toolhost("audit", "search", "--output", "json", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    everything = found()
    assert [body["seq"] for body in everything] == list(range(1, len(everything) + 1))
    intents = found("--event", "tool.intent", "--user", "local")
    assert [body["details"]["tool"] for body in intents] == ["system.uname"]
    assert found("--call", intents[0]["call_id"], "--category", "tools") == [
        body for body in everything if body["call_id"] == intents[0]["call_id"] and body["category"] == "tools"
    ]
    assert [body["event"] for body in found("--text", "/etc/shadow")] == ["command_blocked"]
    assert {body["level"] for body in found("--level", "WARNING")} == {"WARNING"}
    assert found("--since", "1h") == everything
    assert found("--until", "2001-01-01") == []
    assert "command_blocked" in toolhost("audit", "tail", "-n", "3").stdout
    assert len(toolhost("audit", "tail", "-n", "1").stdout.splitlines()) == 1
    assert "[period_invalid]" in toolhost("audit", "search", "--since", "yesterday").stderr


def test_following_shows_what_is_written_meanwhile(executable, environment, toolhost, called: Path) -> None:
    command = [executable, "audit", "tail", "-n", "0", "--follow", "--output", "json", "--event", "tool.outcome"]
    follower = subprocess.Popen(command, cwd="/", env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert follower.stdout is not None
        for _ in range(100):  # until it follows, what is written is not new to it
            toolhost("call", "system.uname")
            if select.select([follower.stdout], [], [], 0.3)[0]:
                break
        else:
            pytest.fail("nothing that was written was shown")
        assert json.loads(follower.stdout.readline())["details"]["tool"] == "system.uname"
    finally:
        follower.kill()
        follower.wait(20)
        follower.stdout.close()


def test_an_export_is_the_log_itself_or_a_table_that_no_spreadsheet_calculates(toolhost, called: Path) -> None:
    target = called.parents[1] / "workspaces" / "out.jsonl"
    assert toolhost("audit", "export", "-o", str(target)).returncode == 0
    assert target.read_text() == called.read_text()
    assert target.stat().st_mode & 0o777 == 0o600
    again = toolhost("audit", "export", "-o", str(target))
    assert (again.returncode, "[file_not_made]" in again.stderr) == (2, True)
    table = list(csv.DictReader(io.StringIO(toolhost("audit", "export", "--format", "csv").stdout)))
    assert [int(row["seq"]) for row in table] == [json.loads(line)["seq"] for line in called.read_text().splitlines()]
    assert json.loads(table[-1]["details"])["tool"] == "files.read"
    from toolhost.cli.audit.export import write_csv

    row = dict.fromkeys(("seq", "timestamp", "level", "category", "event", "user_id", "session", "request_id"), None)
    text = io.StringIO()
    write_csv(text, [("", {**row, "call_id": None, "id": "a", "details": {"user": "=1+1"}})])
    assert "'=1+1" in text.getvalue()


def test_verifying_names_the_line_that_was_changed(toolhost, called: Path) -> None:
    good = toolhost("audit", "verify", "--output", "json")
    assert (good.returncode, json.loads(good.stdout)["intact"]) == (0, True)
    text = called.read_text().splitlines(keepends=True)
    number = next(at for at, line in enumerate(text) if "system.uname" in line)
    text[number] = text[number].replace("system.uname", "system.uptime")
    called.write_text("".join(text))
    bad = toolhost("audit", "verify")
    assert bad.returncode == 1
    assert f"audit.log:{number + 1}: record_changed: Record {number + 1} is not as it was sealed." in bad.stdout


def test_a_log_that_was_cut_off_is_known_by_the_database(toolhost, called: Path) -> None:
    text = called.read_text().splitlines(keepends=True)
    called.write_text("".join(text[:-2]))
    bad = toolhost("audit", "verify")
    assert bad.returncode == 1
    assert "end_missing" in bad.stdout


def test_the_index_is_made_anew_from_the_files(toolhost, called: Path) -> None:
    def index() -> list[tuple]:
        connection = sqlite3.connect(called.with_name("toolhost.db"))
        try:
            return connection.execute("SELECT * FROM audit_index ORDER BY seq").fetchall()
        finally:
            connection.close()

    before = index()
    connection = sqlite3.connect(called.with_name("toolhost.db"))
    connection.execute("DELETE FROM audit_index WHERE seq > 1")
    connection.commit()
    connection.close()
    done = toolhost("audit", "reindex")
    assert done.stdout == f"{len(before)} records are indexed.\n"
    assert index() == before
    assert toolhost("audit", "verify").returncode == 0
