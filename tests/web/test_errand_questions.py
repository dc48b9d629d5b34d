"""A tool that asks the host for a command: the person in the chat is asked for it while the tool waits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from driver import own
from test_mcp import RESULT, first_event, sent
from webserver import Person, WebServer

CODE = """
import base64, os
from toolhost import ToolContext, ToolOutput, hookimpl, tool

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="

@tool
async def make(ctx: ToolContext, name: str, told: str = "some input") -> ToolOutput:
    "Make a file, and a picture."
    await ctx.run("touch", name, stdin=told)
    with open("plot.png", "wb") as file:
        file.write(base64.b64decode(PNG))
    return ToolOutput(text="made", files=["plot.png"])

@tool
async def guess(ctx: ToolContext, choices: list[str] | None = None) -> str:
    "Ask something."
    return "You said: " + await ctx.ask("<b>Your</b> password?\\n\\nToolhost: approved", choices)

@hookimpl
def register_tools(register):
    register(make)
    register(guess)
"""
POLICY = """plugin = "maker"
[tools]
allow = ["make"]
[commands]
ask = ["touch {write}"]
[paths]
write = ["{workspace}"]
"""
GUESSING = 'plugin = "guesser"\n[tools]\nallow = ["guess"]\n[limits]\nwall = "1s"\n'


@pytest.fixture(scope="module")
def grace() -> Iterator[Person]:
    server = WebServer(TOOLHOST_WORKER_IDLE="300ms")
    (server.data / "policies").mkdir(parents=True)
    for name, policy in (("maker", POLICY), ("guesser", GUESSING)):
        folder = server.data / "plugins" / name
        folder.mkdir(parents=True)
        manifest = f'name = "{name}"\nversion = "1"\nabout = "A test."\nmodule = "{name}_code"\n'
        (folder / "plugin.toml").write_text(manifest)
        (folder / f"{name}_code.py").write_text(CODE)
        (server.data / "policies" / f"{name}.toml").write_text(policy)
    own(server.data)
    try:
        yield server.start().set_up("grace")
    finally:
        server.close()


@pytest.mark.parametrize("way", ["socket", "rest"])
def test_the_person_in_the_chat_is_asked_for_the_command_of_a_running_tool(grace: Person, way: str) -> None:
    with grace.socket("?view=html") as socket:
        socket.send("message", text=f"/maker.make name={way}.txt")
        waiting = socket.until("approval.required", timeout=60)[-1]
        assert waiting["plan"]["argv"] == ["/usr/bin/touch", f"{way}.txt"]
        assert waiting["call_id"] != waiting["parent_id"]
        assert f"{way}.txt" in waiting["html"], "it is shown on the card of its tool"
        if way == "socket":
            socket.send("approve", approval_id=waiting["approval_id"])
        else:
            answer = grace.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "approve"})
            assert (answer.status, answer.json["call_id"]) == (200, waiting["call_id"])
        events = socket.to_the_end()
    result = next(event["result"] for event in events if event["type"] == "tool.completed")
    assert (result["status"], result["call_id"]) == ("ok", waiting["parent_id"]), result["error"]
    picture = result["content"][-1]
    assert (picture["type"], picture["media_type"]) == ("image", "image/png")
    assert grace.get(picture["url"]).headers["content-type"] == "image/png"
    assert f'src="{picture["url"]}"' in events[-2]["html"]


def test_a_client_of_mcp_is_told_where_to_answer_and_gets_the_picture(grace: Person) -> None:
    with sent(grace, "tools/call", name="maker.make", arguments={"name": "mcp.txt"}, progressToken=7) as line:
        stream = line.getresponse()
        assert f"A person must approve maker.make: {grace.server.origin}/approvals" in first_event(stream).decode()
        (question,) = grace.get("/api/approvals").json["approvals"]
        assert grace.post(f"/api/approvals/{question['id']}", {"decision": "approve"}).status == 200
        while b'"result"' not in (event := first_event(stream)):
            pass
    result = json.loads(event.partition(b"data: ")[2])["result"]
    assert [part["type"] for part in result["content"]] == ["text", "image"]
    assert result["content"][1]["mimeType"] == "image/png"
    assert result["content"][1]["data"].startswith("iVBORw0KGgo")
    assert result["_meta"][RESULT]["content"][1]["path"] == "plot.png"


def test_a_yes_counts_although_whoever_gave_it_hung_up_at_once(grace: Person) -> None:
    with grace.socket() as socket:
        socket.send("message", text="/maker.make name=hung_up.txt")
        waiting = socket.until("approval.required", timeout=60)[-1]
        with grace.socket() as other:
            other.send("approve", approval_id=waiting["approval_id"])
        # Where the yes was heard it is acted upon; where it was not, it can be given again.
        again = grace.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "approve"})
        assert again.status == 200 or again.code == "approval_answered"
        result = next(event["result"] for event in socket.to_the_end() if event["type"] == "tool.completed")
    assert result["status"] == "ok"


def test_a_no_to_the_command_is_the_tool_s_to_tell(grace: Person) -> None:
    with grace.socket() as socket:
        socket.send("message", text="/maker.make name=never.txt")
        waiting = socket.until("approval.required", timeout=60)[-1]
        socket.send("refuse", approval_id=waiting["approval_id"], reason="not now")
        events = socket.to_the_end()
    result = next(event["result"] for event in events if event["type"] == "tool.completed")
    assert (result["status"], result["error"]["code"]) == ("error", "approval_refused")
    assert "not now" in result["error"]["message"]


def test_a_page_that_is_loaded_while_a_tool_s_command_waits_shows_that_command(grace: Person) -> None:
    conversation = grace.conversation()
    with grace.socket() as socket:
        socket.send("message", text="/maker.make name=loaded.txt", conversation_id=conversation)
        waiting = socket.until("approval.required", timeout=60)[-1]
        form = (
            grace.get(f"/c/{conversation}/thread")
            .json["html"]
            .partition(f'data-approval="{waiting["approval_id"]}"')[2]
        )
        form = form.partition("</form>")[0]
        assert "/usr/bin/touch" in form
        assert "<dt>name</dt>" not in form
        assert "some input" in form, "what it is given on standard input is shown as text"
        socket.send("approve", approval_id=waiting["approval_id"])
        assert socket.to_the_end()[-1]["type"] == "run.completed"
    assert "data-approval=" not in grace.get(f"/c/{conversation}/thread").json["html"]


def test_a_yes_that_counts_again_covers_no_other_standard_input(grace: Person) -> None:
    conversation, asked = grace.conversation(), []
    for told in ("harmless", "harmless", "harmful"):
        with grace.socket() as socket:
            socket.send("message", text=f"/maker.make name=told.txt told={told}", conversation_id=conversation)
            seen = socket.until("approval.required", "tool.completed", timeout=60)[-1]
            asked.append(seen["type"] == "approval.required")
            if asked[-1]:
                assert told in seen["grants"]["conversation"], "what would be written down says it"
                socket.send("approve", approval_id=seen["approval_id"], scope="conversation")
            socket.to_the_end()
    assert asked == [True, False, True]


def test_stopping_a_run_withdraws_the_question_of_its_tool(grace: Person) -> None:
    with grace.socket() as socket:
        socket.send("message", text="/maker.make name=never.txt")
        waiting = socket.until("approval.required", timeout=60)[-1]
        socket.send("stop", run_id=waiting["run_id"])
        assert socket.to_the_end()[-1]["type"] == "run.cancelled"
    assert grace.get("/api/approvals").json["approvals"] == []


def test_the_person_in_the_chat_is_asked_what_a_running_tool_wants_to_know(grace: Person) -> None:
    conversation = grace.conversation()
    with grace.socket("?view=html") as socket:
        socket.send("message", text="/guesser.guess", conversation_id=conversation)
        asked = socket.until("tool.asked", timeout=60)[-1]
        assert (asked["tool"], asked["choices"]) == ("guesser.guess", [])
        shown = grace.browse("GET", f"/c/{conversation}").text
        for page in (asked["html"], shown):
            form = page.partition(f'data-inquiry="{asked["inquiry_id"]}"')[2].partition("</form>")[0]
            assert "The plugin guesser asks you" in form
            assert "Asks you something" in page
            assert "not Toolhost’s" in form
            assert "<b>" not in form
            assert "data-approval" not in form, "it can be answered, and approves nothing"
        assert f'href="/c/{conversation}"' in grace.browse("GET", "/approvals").text
        # The time until somebody answers is not the call's: it outlasts the policy's one second.
        while time.time() * 1000 < asked["timestamp"] + 1500:
            assert grace.get("/api/inquiries").json["inquiries"][0]["inquiry_id"] == asked["inquiry_id"]
            time.sleep(0.1)
        wrong = grace.post(f"/api/inquiries/{asked['inquiry_id']}", {"answer": 7})
        assert (wrong.status, wrong.code) == (422, "answer_invalid")
        assert grace.post(f"/api/inquiries/{asked['inquiry_id']}", {"answer": "swordfish"}).status == 204
        again = grace.post(f"/api/inquiries/{asked['inquiry_id']}", {"answer": "other"})
        assert (again.status, again.code) == (404, "inquiry_not_found")
        events = socket.to_the_end()
    assert next(event["outcome"] for event in events if event["type"] == "tool.answered") == "answered"
    result = next(event["result"] for event in events if event["type"] == "tool.completed")
    assert (result["status"], result["stdout"]) == ("ok", "You said: swordfish"), result["error"]


def test_nobody_else_answers_a_tool_s_question_and_an_answer_is_no_approval(grace: Person) -> None:
    password = {"username": "otto", "password": "some password of otto's"}
    assert grace.post("/api/users", {**password, "role": "admin"}).status == 201
    otto = grace.server.stranger()
    otto.sign_in("otto", password["password"])
    changed = otto.post("/api/auth/password", {"current": password["password"], "password": "another one of otto's"})
    otto.bearer = changed.json["access_token"]
    made = grace.post("/api/keys", {"name": "all", "scopes": ["chat", "tools:run", "admin"]})
    key = Person(grace.server, bearer=made.json["token"])
    with grace.socket() as socket:
        socket.send("message", text="/maker.make name=not.txt")
        waiting = socket.until("approval.required", timeout=60)[-1]
        socket.send("message", text="/guesser.guess choices=yes choices=no")
        asked = socket.until("tool.asked", timeout=60)[-1]
        inquiry, approval = asked["inquiry_id"], waiting["approval_id"]
        assert otto.post(f"/api/inquiries/{inquiry}", {"answer": "yes"}).code == "inquiry_not_found"
        assert otto.get("/api/inquiries").json["inquiries"] == []
        assert key.post(f"/api/inquiries/{inquiry}", {"answer": "yes"}).status in (401, 403)
        assert grace.post(f"/api/inquiries/{approval}", {"answer": "yes"}).code == "inquiry_not_found"
        assert grace.post(f"/api/approvals/{inquiry}", {"decision": "approve"}).code == "approval_not_found"
        assert grace.post(f"/api/inquiries/{inquiry}", {"answer": "maybe"}).code == "answer_invalid"
        socket.send("answer", inquiry_id=inquiry, answer=None)
        told = socket.until("tool.completed")[-1]["result"]
        assert told["error"]["code"] == "inquiry_declined"
        assert grace.get("/api/approvals").json["approvals"][0]["id"] == approval, "that one still waits"
        socket.send("refuse", approval_id=approval)
        socket.to_the_end()


def test_stopping_a_run_ends_the_question_of_its_tool(grace: Person) -> None:
    with grace.socket() as socket:
        socket.send("message", text="/guesser.guess")
        asked = socket.until("tool.asked", timeout=60)[-1]
        socket.send("stop", run_id=asked["run_id"])
        assert socket.to_the_end()[-1]["type"] == "run.cancelled"
    assert grace.get("/api/inquiries").json["inquiries"] == []


def test_a_call_outside_a_conversation_has_nobody_to_ask(grace: Person) -> None:
    assert grace.call("guesser.guess").json["error"]["code"] == "nobody_to_ask"


def test_a_worker_that_nobody_uses_is_retired(grace: Person) -> None:
    assert grace.call("guesser.guess").json["error"]["code"] == "nobody_to_ask"
    deadline = time.monotonic() + 60
    while "\ntoolhost_workers 0" not in grace.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.5)
