"""A person's own data: all of it in one file, nobody else's, and gone when they say so."""

from __future__ import annotations

import http.client
import io
import json
import os
import zipfile
from typing import Any

import pytest
from driver import own
from webserver import PASSWORD, Person, WebServer


@pytest.fixture(scope="module")
def carol(server: WebServer, ada: Person) -> Person:
    """Somebody with a conversation, a file in it, and an open question."""
    person = server.add_user("carol")
    made = person.conversation(title="Carol's garden")
    asked = person.call("files.write", made, path="note.txt", content="a note of Carol's")
    assert person.post(f"/api/approvals/{asked.json['approval_id']}", {"decision": "approve"}).json["status"] == "ok"
    folder = server.data / "workspaces" / made
    (folder / "away").symlink_to("/etc/passwd")
    (folder / "shut").mkdir()
    (folder / "shut" / "inside").write_text("x")
    own(folder)
    (folder / "shut").chmod(0)
    person.call("shell.run", made, script="echo waiting")
    return person


def archive(person: Person) -> tuple[zipfile.ZipFile, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", person.server.port, timeout=60)
    connection.request("GET", "/api/me/export", headers={"Authorization": f"Bearer {person.bearer}"})
    response = connection.getresponse()
    assert response.status == 200
    content = response.read()
    connection.close()
    return zipfile.ZipFile(io.BytesIO(content)), content


def text_of(file: zipfile.ZipFile) -> str:
    return "".join(file.read(name).decode("utf-8", "replace") for name in file.namelist())


def test_the_archive_holds_what_is_ones_own_and_nothing_that_lets_somebody_in(
    server: WebServer, ada: Person, carol: Person
) -> None:
    ada.conversation(title="a secret of ada's")
    file, _ = archive(carol)
    names = set(file.namelist())
    assert {"users.json", "conversations.json", "calls.json", "audit.jsonl", "left_out.json"} <= names
    [conversation] = json.loads(file.read("conversations.json"))
    assert conversation["title"] == "Carol's garden"
    kept = f"workspaces/{conversation['id']}/note.txt"
    assert file.read(kept) == b"a note of Carol's"
    left_out: list[dict[str, Any]] = json.loads(file.read("left_out.json"))
    assert {"file": f"{conversation['id']}/away", "because": "link"} in left_out
    everything = text_of(file)
    assert "a secret of ada's" not in everything
    assert "root:x:" not in everything
    for secret in (PASSWORD, carol.bearer, "$argon2", "refresh_hash", "password_hash"):
        assert secret is not None
        assert secret not in everything


def test_deleting_needs_ones_own_name(carol: Person) -> None:
    for confirm in (None, "", "ada", ["carol"]):
        answer = carol.request("DELETE", "/api/me/data", {"confirm": confirm})
        assert (answer.status, answer.code) == (422, "confirmation_wrong")
    assert len(carol.get("/api/conversations").json["conversations"]) == 1


def test_after_deleting_only_the_account_and_the_audit_log_are_left(
    server: WebServer, ada: Person, carol: Person
) -> None:
    kept = len(ada.get("/api/conversations").json["conversations"])
    [conversation] = carol.get("/api/conversations").json["conversations"]
    folder = server.data / "workspaces" / conversation["id"]
    answer = carol.request("DELETE", "/api/me/data", {"confirm": "carol"})
    assert (answer.status, answer.json) == (200, {"conversations": 1})
    assert carol.get("/api/conversations").json["conversations"] == []
    assert carol.get("/api/approvals").json["approvals"] == []
    assert carol.call("files.list", conversation["id"]).code == "conversation_not_found"
    assert not folder.exists()
    assert os.path.exists("/etc/passwd")
    assert len(ada.get("/api/conversations").json["conversations"]) == kept
    assert carol.get("/api/auth/me").json["user"]["username"] == "carol"
    [record] = [one for one in server.audit() if one["event"] == "data.erased"]
    assert record["details"]["conversations"] == 1
    assert record["details"]["user"] == "carol"
    file, _ = archive(carol)
    assert "calls.json" not in file.namelist()
