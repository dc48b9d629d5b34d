"""The audit log: one line a record, chained, shared, and closed to what cannot be written."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.audit import GENESIS, AuditLog, AuditTerms, log_files, records_of_call, verify, verify_line
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


# -- several files ---------------------------------------------------------------------------------------------------


def filled(path: Path, count: int, **terms: float) -> AuditLog:
    """A log with records, in files of four or five each."""
    log = AuditLog(path, terms=AuditTerms(largest=2000, **terms))
    for number in range(count):
        log.write("tools", "tool.intent", {"number": number}, call_id=f"c_{number}")
    return log


def test_a_full_file_is_followed_by_another_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    filled(path, 20).close()
    files = log_files(path)
    assert len(files) > 3
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    found = verify(path)
    assert found.intact
    assert (found.first, found.last) == (1, found.records)
    first = json.loads(lines(files[1])[0])
    assert first["event"] == "audit.rotated"
    assert first["details"]["file"] == files[0].name
    assert [body["details"]["number"] for body in records_of_call(path, "c_0")] == [0]


def test_processes_that_share_a_log_rotate_it_together(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    logs = [AuditLog(path, terms=AuditTerms(largest=2000)) for _ in range(3)]
    for number in range(30):
        logs[number % 3].write("system", "tick", {"number": number})
    for log in logs:
        log.close()
    found = verify(path)
    assert found.intact
    ticks = [json.loads(line) for file in log_files(path) for line in lines(file)]
    assert [one["details"]["number"] for one in ticks if one["event"] == "tick"] == list(range(30))


def test_an_old_file_is_followed_by_another(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log", terms=AuditTerms(oldest=0))
    log.write("system", "tick", {})
    log.write("system", "tick", {})
    log.close()
    assert len(log_files(tmp_path / "audit.log")) == 2


def test_what_is_no_longer_kept_is_removed_with_a_record_that_the_chain_is_verified_by(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    filled(path, 12).close()
    oldest = log_files(path)[0]
    os.utime(oldest, (0, 0))
    filled(path, 6, keep=3600).close()
    assert not oldest.exists()
    found = verify(path)
    assert found.intact
    assert found.first > 1
    (log_files(path)[0]).unlink()  # by somebody else
    assert [finding.code for finding in verify(path).findings] == ["beginning_missing"]


def test_what_a_detector_reads_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    for category, event in (("auth", "login_failed"), ("tools", "tool.intent"), ("security", "command_blocked")):
        log.write(category, event, {}, actor=ACTOR)
    log.close()
    assert [json.loads(line)["event"] for line in lines(tmp_path / "security.log")] == [
        "login_failed",
        "command_blocked",
    ]
    assert set(lines(tmp_path / "security.log")) < set(lines(tmp_path / "audit.log"))
    assert (tmp_path / "security.log").stat().st_mode & 0o777 == 0o600


def test_who_removes_the_file_does_not_make_the_log_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path)
    log.write("system", "tick", {})
    path.unlink()
    log.write("system", "tick", {})
    log.close()
    assert json.loads(lines(path)[0])["seq"] == 2
    assert [finding.code for finding in verify(path).findings] == ["beginning_missing"]


@pytest.mark.parametrize("sync_each", [True, False])
def test_records_are_on_the_disk_each_or_together(tmp_path: Path, monkeypatch, sync_each: bool) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd))[1])

    async def write() -> int:
        log = AuditLog(tmp_path / "audit.log", terms=AuditTerms(sync_each=sync_each))
        for _ in range(20):
            log.write("system", "tick", {})
        count = len(synced)
        log.close()
        return count

    assert asyncio.run(write()) == (20 if sync_each else 0)
    assert synced


# -- verifying -------------------------------------------------------------------------------------------------------


def changed(text: list[str]) -> list[str]:
    return [*text[:3], text[3].replace('"number":3', '"number":4'), *text[4:]]


def unreadable(text: list[str]) -> list[str]:
    return [*text[:3], text[3][:-9], *text[4:]]


def removed(text: list[str]) -> list[str]:
    return [*text[:3], *text[5:]]


def reordered(text: list[str]) -> list[str]:
    return [*text[:3], text[4], text[3], *text[5:]]


def resealed(text: list[str]) -> list[str]:
    body = json.loads(text[3])
    body.pop("hash")
    body["details"] = {"number": 4}
    from toolhost.audit.record import _digest

    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return [*text[:3], f'{canonical[:-1]},"hash":"{_digest(canonical)}"}}', *text[4:]]


@pytest.mark.parametrize(
    ("change", "line", "code"),
    [
        (changed, 4, "record_changed"),
        (unreadable, 4, "record_changed"),
        (removed, 4, "records_missing"),
        (reordered, 5, "record_out_of_order"),
        (resealed, 5, "record_replaced"),
        (lambda text: text[2:], 1, "beginning_missing"),
        (lambda text: [*text[:3], text[3].replace('":', '": ', 1), *text[4:]], 4, "record_changed"),
        (lambda text: [*text[:3], '{"event":"other",' + text[3][1:], *text[4:]], 4, "record_changed"),
        (lambda text: [*text, '{"seq": 9'], 9, "line_torn"),
        (lambda text: [*text, "[" * 100_000], 9, "line_torn"),
        (lambda text: [*text, '{"seq": 1e999, "hash": ""}'], 9, "line_torn"),
    ],
    ids=[
        "changed",
        "unreadable",
        "removed",
        "reordered",
        "resealed",
        "beheaded",
        "spaced",
        "doubled",
        "torn",
        "deep",
        "endless",
    ],
)
def test_what_is_not_as_it_was_written_is_named(tmp_path: Path, change, line: int, code: str) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path)
    for number in range(8):
        log.write("system", "tick", {"number": number})
    log.close()
    path.write_text("\n".join(change(lines(path))) + "\n")
    found = verify(path)
    assert [(finding.line, finding.code) for finding in found.findings] == [(line, code)]
    assert found.intact == (code == "line_torn")
    again = AuditLog(path)
    assert again.write("system", "tock", {}).seq == 9
    again.close()


def test_the_index_knows_of_an_end_that_was_cut_off_and_of_a_chain_that_was_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    index: list[tuple[int, str]] = []
    log = AuditLog(path, lambda record: index.append((record.seq, record.line)))
    for number in range(8):
        log.write("system", "tick", {"number": number})
    log.close()
    assert verify(path, index).intact
    path.write_text("".join(f"{line}\n" for line in lines(path)[:6]))
    assert [finding.code for finding in verify(path, index).findings] == ["end_missing"]
    path.unlink()
    anew = AuditLog(path)
    for number in range(8):
        anew.write("system", "tick", {"number": number})
    anew.close()
    assert verify(path).intact
    assert {finding.code for finding in verify(path, index).findings} == {"record_replaced"}


def test_a_record_that_only_quotes_the_name_of_pruning_prunes_nothing(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    attempted = {"headers": {"event": "audit.pruned"}}
    log.write("security", "command_blocked", {"tool": "http.request", "command": attempted}, actor=ACTOR)
    log.close()
    assert '"event":"audit.pruned"' in (tmp_path / "audit.log").read_text()
    assert verify(tmp_path / "audit.log").intact
