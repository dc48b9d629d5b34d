"""The audit log: one line a record, chained, shared, and closed to what cannot be written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.audit import GENESIS, AuditLog, verify_line
from toolhost.errors import MachineError
from toolhost.model import Actor

ACTOR = Actor(user_id="u_1", username="ada", role="user", channel="cli")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_each_record_names_the_one_before_it(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    for number in range(3):
        log.write("system", "tick", {"number": number})
    log.close()
    previous = GENESIS
    for seq, line in enumerate(lines(tmp_path / "audit.log"), 1):
        verified = verify_line(line)
        assert verified is not None
        assert verified[:2] == (seq, previous)
        previous = verified[2]


def test_a_changed_record_is_not_a_record_any_more(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    log.write("tools", "tool.intent", {"tool": "git.log"})
    log.close()
    (line,) = lines(tmp_path / "audit.log")
    assert verify_line(line) is not None
    assert verify_line(line.replace("git.log", "git.add")) is None


def test_two_processes_share_one_chain(tmp_path: Path) -> None:
    one, other = AuditLog(tmp_path / "audit.log"), AuditLog(tmp_path / "audit.log")
    for number in range(4):
        (one, other)[number % 2].write("system", "tick", {})
    one.close()
    other.close()
    verified = [verify_line(line) for line in lines(tmp_path / "audit.log")]
    assert [entry and entry[0] for entry in verified] == [1, 2, 3, 4]


def test_a_log_continues_after_a_line_that_a_crash_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path)
    first = log.write("system", "tick", {})
    log.close()
    with path.open("a") as file:
        file.write('{"timestamp": "cut')
    log = AuditLog(path)
    second = log.write("system", "tick", {})
    log.close()
    assert second.seq == 2
    assert json.loads(second.line)["prev_hash"] == first.hash
    assert lines(path)[2] == second.line


def test_the_log_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    AuditLog(tmp_path / "audit.log").close()
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_opened_is_an_error_with_a_code(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MachineError) as caught:
        AuditLog(tmp_path / "link")
    assert caught.value.code == "audit_unavailable"
    assert not os.path.lexists(tmp_path / "elsewhere")


@given(text=st.text())
def test_any_text_stays_one_line_that_reads_back(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("audit") / "audit.log"
    log = AuditLog(path)
    log.write("security", "command_blocked", {"command": [text]}, actor=ACTOR)
    log.close()
    (line,) = path.read_bytes().splitlines()
    record = json.loads(line)
    assert record["details"]["command"] == [text]
    assert record["details"]["user"] == "ada"
    assert verify_line(line.decode("ascii")) is not None
