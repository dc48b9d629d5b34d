"""What an investigation is given, and what the doctor says of the checklist and of what has changed."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from owners import SERVICE_USER, give

SECRET = "J3fK9dLq2PvX8sTz5WmY7bRc4NhG6tUa1EoI0"


def test_the_evidence_has_what_happened_and_no_secret(toolhost, space: Path, data: Path) -> None:
    toolhost("user", "add", "ada", "--role", "admin", "--password-stdin", stdin="a long enough phrase\n")
    assert toolhost("call", "system.uname").returncode == 0
    (shelf := space / "shelf").mkdir()
    give(shelf, SERVICE_USER)
    target = shelf / "evidence.tar.gz"
    done = toolhost("evidence", "--since", "1h", "-o", str(target), env={"JWT_SECRET_KEY": SECRET}, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "intact" in done.stdout
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    manifest = json.loads(files["manifest.json"])
    assert set(manifest["files"]) == files.keys() - {"manifest.json"}
    for name, facts in manifest["files"].items():
        assert hashlib.sha256(files[name]).hexdigest() == facts["sha256"]
    lines = files["audit.jsonl"].decode().splitlines()
    assert set(lines) <= set((data / "state" / "audit.log").read_text().splitlines())
    assert {"tool.intent", "tool.outcome", "evidence.collected"} <= {json.loads(line)["event"] for line in lines}
    assert {json.loads(line)["category"] for line in files["security.jsonl"].decode().splitlines()} <= {
        "auth",
        "security",
    }
    assert files["policies/git.toml"] == (data / "policies" / "git.toml").read_bytes()
    assert "policies/lock.toml" in files
    assert json.loads(files["verification.json"])["intact"] is True
    assert len(json.loads(files["doctor.json"])["layers"]) == 5
    assert json.loads(files["versions.json"])["bubblewrap"]
    assert [user["username"] for user in json.loads(files["accounts.json"])["users"]] == ["ada"]
    assert json.loads(files["settings.json"])["jwt_secret_key"]["value"] == "****"
    key = (data / "state" / "jwt.key").read_bytes().strip() if (data / "state" / "jwt.key").exists() else b"none at all"
    for text in files.values():
        assert SECRET.encode() not in text
        assert b"argon2" not in text.replace(b"argon2-cffi", b"")
        assert key not in text


def test_the_checklist_ticks_only_what_was_looked_at(toolhost, serve) -> None:
    def boxes(**variables: str) -> dict[str, str]:
        found = json.loads(toolhost("doctor", "--json", env=variables, timeout=120).stdout)
        assert len(found["layers"]) == 5
        return {box["name"]: box["status"] for box in found["checklist"]}

    before = boxes(JWT_SECRET_KEY=SECRET, TOOLHOST_PORT="1")
    assert len(before) == 8
    assert before["secrets"] == "warn"
    assert (before["authentication"], before["https"]) == ("unknown", "unknown")
    assert before["debug"] == before["rotation"] == "pass"
    server = serve()
    after = boxes(TOOLHOST_PORT=str(server.port), DEBUG="1")
    assert (after["secrets"], after["authentication"], after["debug"]) == ("pass", "pass", "warn")


def test_the_doctor_says_what_has_changed_since_the_last_time(toolhost, data: Path) -> None:
    assert json.loads(toolhost("doctor", "--json", timeout=120).stdout)["changes"] == []
    (data / "policies" / "broken.toml").write_text("plugin = 1\n")
    changes = json.loads(toolhost("doctor", "--json", timeout=120).stdout)["changes"]
    assert [change["after"] for change in changes if change["name"].startswith("application")] != []
    assert "since the last time" not in toolhost("doctor", timeout=120).stdout


@pytest.mark.parametrize("kept", ["{", "[]", '{"layers": 1}'])
def test_what_is_left_of_a_last_time_is_no_obstacle(toolhost, data: Path, kept: str) -> None:
    (data / "state" / "doctor.json").write_text(kept)
    give(data / "state" / "doctor.json", SERVICE_USER)
    assert toolhost("doctor", "--json", timeout=120).stdout.startswith("{")
