"""A conversation that took in content from elsewhere asks again before anything leaves it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from driver import own
from warmth import warm
from webserver import Person, WebServer

POLICY = """
plugin = "reach"
[commands]
allow = [
  "uname",
  { run = "echo fetch {text}", network = ["news.example.org:443"] },
  { run = "echo send {text}", network = ["example.org:443"] },
]
ask = ["echo read {text}", { run = "echo ask {text}", network = ["example.org:443"] }]
deny = ["echo forbidden ..."]
[paths]
write = ["{workspace}"]
"""
SAVING = 'plugin = "saving"\n[commands]\nallow = ["touch {write}"]\n[paths]\nwrite = ["{workspace}", "OUTSIDE"]\n'
WAITING = """plugin = "waiting"
runs_code = ["bash"]
[commands]
allow = [
  "bash -c {text}",
  { run = "echo fetch {text}", network = ["news.example.org:443"] },
  { run = "echo send {text}", network = ["example.org:443"] },
]
inside = ["sleep"]
[paths]
write = ["{workspace}"]
[limits]
calls = 1
"""


def plugin(server: WebServer, name: str, policy: str, tools: dict[str, str]) -> None:
    """Put a plugin of bare commands and its policy into a server's data directory."""
    folder = server.data / "plugins" / name
    folder.mkdir(parents=True)
    text = f'name = "{name}"\nversion = "1"\nabout = "A test."\n'
    for tool, command in tools.items():
        text += f'[[tools]]\nname = "{tool}"\nabout = "A test."\ncommand = "{command}"\n'
        if "{word}" in command:
            text += 'input.word = { type = "string", default = "x" }\n'
    (folder / "plugin.toml").write_text(text)
    (server.data / "policies").mkdir(exist_ok=True)
    (server.data / "policies" / f"{name}.toml").write_text(policy)


@pytest.fixture(scope="module")
def place() -> Iterator[WebServer]:
    """A server whose tools reach out, by their policies; none of them is connected to anything."""
    server = WebServer()
    warm(server.data)
    outside, named = server.folder / "outside", server.folder / "named"
    for made in (outside, named):
        made.mkdir()
        own(made)
    tools = {name: f"echo {name} {{word}}" for name in ("fetch", "send", "forbidden", "read", "ask")}
    plugin(server, "reach", POLICY, {"look": "uname", **tools})
    plugin(server, "saving", SAVING.replace("OUTSIDE", str(outside)), {"save": "touch {word}"})
    waits = {"hold": "bash -c {word}", "fetch": "echo fetch {word}", "send": "echo send {word}"}
    plugin(server, "waiting", WAITING, waits)
    (server.data / "policies" / "host.toml").write_text(
        f'[workspaces]\nshared = {{ path = "{named}", write = true }}\n'
    )
    own(server.data)
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="module")
def person(place: WebServer) -> Person:
    return place.set_up()


def test_the_same_call_runs_before_and_asks_after_and_what_stays_inside_never_asks(person: Person) -> None:
    here = person.conversation()
    assert person.call("reach.look", here).json["status"] == "ok"
    assert person.get(f"/api/conversations/{here}").json["external_content"] == []
    first = person.call("reach.fetch", here).json
    assert (first["status"], first["decision"]["code"]) == ("ok", "rule_allow")
    asked = person.call("reach.send", here, word="out")
    assert (asked.status, asked.json["status"]) == (202, "approval_required")
    decision = asked.json["decision"]
    assert (decision["outcome"], decision["code"]) == ("ask", "tainted")
    assert decision["source"] == "reach.toml:7", "the rule stays the source"
    assert "`news.example.org:443` by reach.fetch" in decision["reason"]
    assert first["call_id"] in decision["reason"]
    assert person.call("reach.look", here).json["status"] == "ok"
    done = person.post(f"/api/approvals/{asked.json['approval_id']}", {"decision": "approve"})
    assert done.json["stdout"] == "send out\n"
    assert person.call("reach.send", here).json["status"] == "approval_required", "a yes counts once"
    shown = person.get(f"/api/conversations/{here}").json["external_content"]
    assert [(one["tool"], one["origins"]) for one in shown] == [
        ("reach.fetch", ["news.example.org:443"]),
        ("reach.send", ["example.org:443"]),
    ]
    assert shown[0]["call_id"] == first["call_id"]


def test_another_conversation_and_a_call_outside_one_are_not_concerned(person: Person) -> None:
    here, there = person.conversation(), person.conversation()
    assert person.call("reach.fetch", here).json["status"] == "ok"
    assert person.call("reach.send", there).json["status"] == "ok"
    for _ in range(2):
        assert person.call("reach.send").json["status"] == "ok"


def test_a_deny_stays_a_deny_and_a_question_tells_of_the_content(person: Person) -> None:
    here = person.conversation()
    person.call("reach.fetch", here)
    denied = person.call("reach.forbidden", here).json
    assert (denied["status"], denied["decision"]["code"]) == ("denied", "rule_deny")
    kept = person.call("reach.read", here).json
    assert (kept["status"], kept["decision"]["code"]) == ("approval_required", "rule_ask"), "it cannot reach out"


def test_a_call_that_was_denied_or_only_asked_brings_nothing_in(person: Person, place: WebServer) -> None:
    here = person.conversation(workspace="shared")
    person.call("reach.forbidden", here)
    waiting = person.call("reach.read", here).json
    assert person.get(f"/api/conversations/{here}").json["external_content"] == []
    assert person.call("reach.send", here).json["decision"]["code"] == "rule_allow"
    person.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "refuse"})


def test_a_named_workspace_and_a_folder_outside_count(person: Person, place: WebServer) -> None:
    here = person.conversation(workspace="shared")
    assert person.call("reach.look", here).json["status"] == "ok"
    [content] = person.get(f"/api/conversations/{here}").json["external_content"]
    assert (content["tool"], content["origins"]) == ("reach.look", ["{workspace}"])
    asked = person.call("saving.save", here, word=str(place.folder / "outside" / "made")).json
    assert asked["decision"]["code"] == "tainted"
    assert "the workspace by reach.look" in asked["decision"]["reason"]
    assert "write outside the workspace" in asked["decision"]["reason"]
    assert not (place.folder / "outside" / "made").exists()


def test_the_audit_log_says_once_for_each_tool_what_came_in(person: Person, place: WebServer) -> None:
    here = person.conversation()
    calls = [person.call("reach.fetch", here).json["call_id"] for _ in range(3)]
    found = [
        record
        for record in place.audit()
        if record["event"] == "conversation.tainted" and record["details"]["conversation_id"] == here
    ]
    assert [(record["call_id"], record["details"]["tool"]) for record in found] == [(calls[0], "reach.fetch")]
    assert found[0]["details"]["origins"] == ["news.example.org:443"]
    events = [record["event"] for record in place.audit() if record["call_id"] == calls[0]]
    assert events == ["tool.intent", "conversation.tainted", "tool.outcome"]


def test_a_stream_of_events_tells_it_when_it_happens_and_the_page_shows_it(person: Person) -> None:
    here = person.conversation()
    assert 'id="external"' in (before := person.browse("GET", f"/c/{here}").text)
    assert "news.example.org:443" not in before
    with person.socket() as socket:
        socket.send("call", tool="reach.fetch", arguments={}, conversation_id=here)
        events = socket.to_the_end()
        [told] = [event for event in events if event["type"] == "conversation.tainted"]
        assert (told["conversation_id"], told["external_content"][0]["tool"]) == (here, "reach.fetch")
        socket.send("call", tool="reach.send", arguments={}, conversation_id=here)
        asked = socket.until("approval.required")[-1]
        assert asked["decision"]["code"] == "tainted"
        socket.send("refuse", approval_id=asked["approval_id"])
        socket.to_the_end()
    assert "news.example.org:443" in person.browse("GET", f"/c/{here}").text


def test_nobody_else_sees_it_and_it_outlives_the_server(person: Person, place: WebServer) -> None:
    here = person.conversation()
    person.call("reach.fetch", here)
    place.end()
    place.start()
    again = place.person("ada")
    asked = again.call("reach.send", here).json
    assert asked["decision"]["code"] == "tainted"
    other = place.add_user("eve")
    assert other.get(f"/api/conversations/{here}").status == 404


def test_a_yes_for_the_conversation_does_not_answer_for_content_that_came_after_it(person: Person) -> None:
    here = person.conversation()
    asked = person.call("reach.ask", here).json
    path = f"/api/approvals/{asked['approval_id']}"
    assert person.post(path, {"decision": "approve", "scope": "conversation"}).json["status"] == "ok"
    again = person.call("reach.ask", here)
    assert (again.status, again.json["decision"]["code"]) == (202, "tainted"), "the first run brought content in"
    refused = person.post(
        f"/api/approvals/{again.json['approval_id']}", {"decision": "approve", "scope": "conversation"}
    )
    assert (refused.status, refused.code) == (422, "scope_not_offered")
    kept = person.call("reach.read", here).json
    path = f"/api/approvals/{kept['approval_id']}"
    assert person.post(path, {"decision": "approve", "scope": "conversation"}).json["status"] == "ok"
    assert person.call("reach.read", here).json["status"] == "ok", "what stays inside is still answered for"


def test_no_grant_answers_for_a_tainted_call_and_a_yes_to_one_leaves_none(person: Person) -> None:
    here = person.conversation()
    asked = person.call("reach.ask", here).json
    wide = {"decision": "approve", "scope": "conversation"}  # a call that brings content in itself
    assert person.post(f"/api/approvals/{asked['approval_id']}", wide).json["status"] == "ok"
    assert any(grant["conversation_id"] == here for grant in person.get("/api/grants").json["grants"])
    again = person.call("reach.ask", here).json
    assert (again["status"], again["decision"]["code"]) == ("approval_required", "tainted")
    questions = {one["id"]: one for one in person.get("/api/approvals").json["approvals"]}
    assert questions[again["approval_id"]]["scopes"] == ["once"]
    path = f"/api/approvals/{again['approval_id']}"
    assert person.post(path, wide).code == "scope_not_offered"
    assert person.post(path, {"decision": "approve"}).json["status"] == "ok"
    assert person.call("reach.ask", here).json["status"] == "approval_required"


def test_a_yes_to_what_was_asked_before_content_came_in_runs_nothing(person: Person) -> None:
    here = person.conversation()
    send, read = (person.call(f"reach.{tool}", here).json for tool in ("ask", "read"))
    assert (send["decision"]["code"], read["decision"]["code"]) == ("rule_ask", "rule_ask")
    assert person.call("reach.fetch", here).json["status"] == "ok"
    refused = person.post(f"/api/approvals/{send['approval_id']}", {"decision": "approve"})
    assert (refused.status, refused.code) == (409, "plan_changed")
    assert "has taken in content from elsewhere" in refused.text
    ended = person.get(f"/api/calls/{send['call_id']}").json
    assert ended["status"] == "refused"
    assert "content from elsewhere had come in" in ended["error"]["message"]
    kept = person.post(f"/api/approvals/{read['approval_id']}", {"decision": "approve"})
    assert kept.json["stdout"] == "read x\n", "it cannot reach out"
    again = person.call("reach.ask", here).json
    assert again["decision"]["code"] == "tainted"
    assert person.post(f"/api/approvals/{again['approval_id']}", {"decision": "approve"}).json["stdout"] == "ask x\n"


def test_an_upload_into_a_conversations_own_workspace_counts(person: Person, place: WebServer) -> None:
    here = person.conversation()
    assert person.call("reach.send", person.conversation()).json["status"] == "ok"
    with person.socket("?view=html") as page:
        page.send("resume", conversation_id=here)
        page.until("resumed")
        for name in ("one.txt", "two.txt"):
            assert person.request("PUT", f"/api/conversations/{here}/files/{name}", raw=b"send it all").status == 201
        page.send("ping")
        [told] = [event for event in page.until("pong") if event["type"] == "conversation.tainted"]
        assert (told["conversation_id"], told["seq"], told["external_content"][0]["tool"]) == (here, 0, "upload")
        assert "Files that were uploaded" in told["html"]
    [content] = person.get(f"/api/conversations/{here}").json["external_content"]
    assert (content["tool"], content["call_id"], content["origins"]) == ("upload", "upload", ["upload"])
    decision = person.call("reach.send", here).json["decision"]
    assert decision["code"] == "tainted"
    assert "files that were uploaded" in decision["reason"]
    told = [
        record["details"]["origins"]
        for record in place.audit()
        if record["event"] == "conversation.tainted" and record["details"]["conversation_id"] == here
    ]
    assert told == [["upload"]]


def test_a_call_that_waited_for_its_turn_while_content_came_in_is_not_begun(person: Person, place: WebServer) -> None:
    here = person.conversation()

    def queued(tool: str) -> None:
        until = time.monotonic() + 60
        while not any(
            record["event"] == "tool.intent"
            and record["details"]["tool"] == tool
            and record["details"]["conversation_id"] == here
            for record in place.audit()
        ):
            assert time.monotonic() < until
            time.sleep(0.05)

    with ThreadPoolExecutor() as threads:
        script = "until [ -e go ]; do sleep 0.05; done"
        answers = [threads.submit(person.call, "waiting.hold", here, word=script)]
        queued("waiting.hold")
        for tool in ("waiting.fetch", "waiting.send"):
            answers.append(threads.submit(person.call, tool, here))
            queued(tool)
        (place.data / "workspaces" / here / "go").touch()
        held, fetched, sent = (answer.result(60).json for answer in answers)
    assert (held["status"], fetched["status"]) == ("ok", "ok")
    assert (sent["status"], sent["error"]["code"]) == ("error", "tainted_meanwhile")
    assert sent["stdout"] == ""
    assert person.call("waiting.send", here).json["decision"]["code"] == "tainted"
