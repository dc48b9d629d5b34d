"""Conversations as a whole: found, named, pinned, deleted and taken back, taken along, shown to others."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator

import pytest
from webserver import TERMINAL, Person, WebServer


def write(person: Person, text: str, conversation: str | None = None) -> str:
    """Send a message; returns its conversation."""
    with person.socket() as socket:
        socket.send("message", text=text, conversation_id=conversation)
        events = socket.until(*TERMINAL)
    made = [event["conversation"]["id"] for event in events if event["type"] == "conversation.created"]
    return made[0] if made else str(conversation)


def titles(person: Person, words: str) -> list[str]:
    return [one["title"] for one in person.get(f"/api/conversations/search?q={words}").json["conversations"]]


@pytest.fixture(scope="module")
def dora(server: WebServer, ada: Person) -> Person:
    return server.add_user("flora")


def test_words_are_found_in_titles_and_messages_of_ones_own(server: WebServer, ada: Person, dora: Person) -> None:
    write(dora, "Où planter les pommiers ?")
    write(dora, "Something about pears")
    write(ada, "apples of somebody else: pommiers")
    assert titles(dora, "pommier") == ["Où planter les pommiers ?"]
    assert titles(dora, "ou%20POMM") == ["Où planter les pommiers ?"]
    assert titles(dora, "pears%20pommiers") == []
    found = dora.get("/api/conversations/search?q=pears").json["conversations"][0]
    assert dora.request("PATCH", f"/api/conversations/{found['id']}", {"title": "Fruit"}).status == 200
    again = dora.get("/api/conversations/search?q=pears").json["conversations"]
    assert [(one["title"], one["excerpt"]) for one in again] == [("Fruit", "Something about **pears**")]
    assert titles(dora, "fruit") == ["Fruit"]
    for odd in ("", "%22", "*", "a%22%20OR%20b", "NEAR(", "-", "%00"):
        assert dora.get(f"/api/conversations/search?q={odd}").status == 200


def test_what_is_pinned_comes_first(dora: Person) -> None:
    first = write(dora, "the first of them")
    write(dora, "the second of them")
    assert dora.request("PATCH", f"/api/conversations/{first}", {"pinned": True}).json["pinned"] is True
    assert dora.get("/api/conversations").json["conversations"][0]["id"] == first
    dora.request("PATCH", f"/api/conversations/{first}", {"pinned": False})
    assert dora.get("/api/conversations").json["conversations"][0]["id"] != first
    for body in ({"pinned": 1}, {"title": 2}, {"owner": "x"}):
        assert dora.request("PATCH", f"/api/conversations/{first}", body).code == "body_invalid"


def test_a_deleted_conversation_is_nowhere_until_it_is_taken_back(ada: Person, dora: Person) -> None:
    gone = write(dora, "a conversation about quinces")
    assert ada.request("DELETE", f"/api/conversations/{gone}").code == "conversation_not_found"
    asked = dora.call("shell.run", gone, script="echo hi")
    assert asked.json["status"] == "approval_required"
    assert dora.request("DELETE", f"/api/conversations/{gone}").status == 204
    assert titles(dora, "quinces") == []
    assert dora.get(f"/api/conversations/{gone}").code == "conversation_not_found"
    assert dora.call("files.list", gone).code == "conversation_not_found"
    assert dora.get("/api/approvals").json["approvals"] == []
    assert gone not in {one["id"] for one in dora.get("/api/conversations").json["conversations"]}
    assert ada.post(f"/api/conversations/{gone}/restore").code == "conversation_not_found"
    assert dora.post(f"/api/conversations/{gone}/restore").json["title"] == "a conversation about quinces"
    assert titles(dora, "quinces") == ["a conversation about quinces"]


def test_an_export_has_what_was_said_and_done_and_where_the_audit_log_says_so(server: WebServer, dora: Person) -> None:
    conversation = write(dora, "# Hello\u202e there")
    call = dora.call("files.list", conversation).json["call_id"]
    answer = dora.get(f"/api/conversations/{conversation}/export?format=json")
    assert answer.headers["content-disposition"] == "attachment; filename=Hello-there.json"
    exported = json.loads(answer.text)
    [made] = [entry for entry in exported["entries"] if entry["kind"] == "call"]
    assert made["call"]["tool"] == "files.list"
    records = {record["hash"]: record for record in server.audit() if record["call_id"] == call}
    assert len(records) == 2
    assert {line["hash"] for line in made["audit"]} == set(records)
    text = dora.get(f"/api/conversations/{conversation}/export?format=md").text
    assert "‹U+202E›" in text
    assert "\u202e" not in text
    assert "## files.list" in text
    assert all(digest in text for digest in records)
    assert dora.get(f"/api/conversations/{conversation}/export?format=exe").code == "format_unknown"


def test_without_the_setting_there_are_no_links(dora: Person) -> None:
    conversation = write(dora, "not for everybody")
    assert dora.post(f"/api/conversations/{conversation}/shares").code == "shares_off"
    assert dora.server.stranger().post("/api/shared", {"token": "x"}).code == "shares_off"


@pytest.fixture(scope="module")
def sharing() -> Iterator[WebServer]:
    with WebServer(TOOLHOST_SHARES="true") as running:
        yield running.start()


@pytest.fixture(scope="module")
def owner(sharing: WebServer) -> Person:
    return sharing.set_up()


def test_a_link_shows_and_does_nothing_and_ends(sharing: WebServer, owner: Person) -> None:
    conversation = write(owner, "for everybody **to read**")
    owner.call("shell.run", conversation, script="echo waiting")
    owner.call("files.list", conversation)
    made = owner.post(f"/api/conversations/{conversation}/shares")
    assert made.status == 201
    token = made.json["path"].removeprefix("/shared#")
    stranger = sharing.stranger()
    answer = stranger.post("/api/shared", {"token": token})
    assert answer.status == 200
    assert "<strong>to read</strong>" in answer.json["html"]
    assert 'data-state="waiting"' in answer.json["html"]
    for doing in ("data-approval=", "data-decision", 'data-card="more"', "data-entry-do"):
        assert doing not in answer.json["html"]
    own_view = owner.get(f"/c/{conversation}/thread").text
    for told in ("sha256:", "pane-sandbox-", "pane-json-"):
        assert told in own_view
        assert told not in answer.json["html"]
    for path in (f"/c/{conversation}", f"/api/conversations/{conversation}", "/api/tools"):
        assert stranger.get(path).status in (303, 401)
    [listed] = owner.get(f"/api/conversations/{conversation}/shares").json["shares"]
    assert listed["views"] == 1
    assert token not in (sharing.data / "state" / "toolhost.db").read_bytes().decode("latin-1")
    assert owner.request("DELETE", f"/api/conversations/{conversation}/shares/{listed['id']}").status == 204
    assert stranger.post("/api/shared", {"token": token}).code == "share_not_found"
    for wrong in (None, "", 7, token + "x", "\ud800"):
        assert stranger.post("/api/shared", {"token": wrong}).status in (400, 404)


def test_a_link_to_what_was_deleted_opens_nothing(sharing: WebServer, owner: Person) -> None:
    conversation = write(owner, "soon gone")
    token = owner.post(f"/api/conversations/{conversation}/shares").json["path"].removeprefix("/shared#")
    owner.request("DELETE", f"/api/conversations/{conversation}")
    assert sharing.stranger().post("/api/shared", {"token": token}).code == "share_not_found"


def test_a_link_of_somebody_who_is_disabled_opens_nothing(sharing: WebServer, owner: Person) -> None:
    gone = sharing.add_user("gone")
    made = gone.post(f"/api/conversations/{write(gone, 'not any more')}/shares").json
    token = {"token": made["path"].removeprefix("/shared#")}
    assert sharing.stranger().post("/api/shared", token).status == 200
    assert owner.request("PATCH", "/api/users/gone", {"disabled": True}).status == 200
    assert sharing.stranger().post("/api/shared", token).code == "share_not_found"


def test_nobody_makes_links_to_what_is_somebody_elses(sharing: WebServer, owner: Person) -> None:
    other = sharing.add_user("bob")
    conversation = write(owner, "mine")
    made = owner.post(f"/api/conversations/{conversation}/shares").json["id"]
    assert other.post(f"/api/conversations/{conversation}/shares").code == "conversation_not_found"
    assert other.get(f"/api/conversations/{conversation}/shares").code == "conversation_not_found"
    assert other.request("DELETE", f"/api/conversations/{conversation}/shares/{made}").code == "share_not_found"


def test_what_was_deleted_is_gone_for_good_after_the_next_start(fresh: Callable[..., WebServer]) -> None:
    server = fresh().start()
    person = server.set_up()
    conversation = write(person, "about medlars")
    person.call("files.list", conversation)
    person.request("DELETE", f"/api/conversations/{conversation}")
    with sqlite3.connect(server.data / "state" / "toolhost.db", timeout=20) as database:
        database.execute("UPDATE conversations SET deleted = 1 WHERE deleted IS NOT NULL")
    server.end()
    server.start(port=server.port)
    person = server.person("ada")
    assert person.post(f"/api/conversations/{conversation}/restore").code == "conversation_not_found"
    with sqlite3.connect(server.data / "state" / "toolhost.db", timeout=20) as database:
        for table in ("conversations", "entries", "calls", "entry_text", "title_text"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    assert not (server.data / "workspaces" / conversation).exists()
