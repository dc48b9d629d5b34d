"""A tool that asks the host for a command: the person in the chat is asked for it while the tool waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from driver import own
from webserver import Person, WebServer

CODE = """
import base64, os
from toolhost import ToolContext, ToolOutput, hookimpl, tool

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="

@tool
async def make(ctx: ToolContext, name: str) -> ToolOutput:
    "Make a file, and a picture."
    await ctx.run("touch", name, stdin="some input")
    with open("plot.png", "wb") as file:
        file.write(base64.b64decode(PNG))
    return ToolOutput(text="made", files=["plot.png"])

@hookimpl
def register_tools(register):
    register(make)
"""
POLICY = """plugin = "maker"
[tools]
allow = ["make"]
[commands]
ask = ["touch {write}"]
[paths]
write = ["{workspace}"]
"""


@pytest.fixture(scope="module")
def grace() -> Iterator[Person]:
    server = WebServer()
    folder = server.data / "plugins" / "maker"
    folder.mkdir(parents=True)
    (folder / "plugin.toml").write_text('name = "maker"\nversion = "1"\nabout = "A test."\nmodule = "maker_code"\n')
    (folder / "maker_code.py").write_text(CODE)
    (server.data / "policies").mkdir()
    (server.data / "policies" / "maker.toml").write_text(POLICY)
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


def test_stopping_a_run_withdraws_the_question_of_its_tool(grace: Person) -> None:
    with grace.socket() as socket:
        socket.send("message", text="/maker.make name=never.txt")
        waiting = socket.until("approval.required", timeout=60)[-1]
        socket.send("stop", run_id=waiting["run_id"])
        assert socket.to_the_end()[-1]["type"] == "run.cancelled"
    assert grace.get("/api/approvals").json["approvals"] == []
