"""Answering at the command line beside a running server: over the same data, with the same rules."""

from __future__ import annotations

import json
import time


def test_a_call_of_the_web_is_listed_and_refused_and_never_approved(server, ada) -> None:
    conversation = ada.conversation()
    waiting = ada.call("shell.run", conversation_id=conversation, script="echo web").json
    listed = {item["id"]: item for item in json.loads(server.run("approval", "list", "--output", "json").stdout)}
    assert listed[waiting["approval_id"]]["user"] == "ada"
    shown = server.run("approval", "list").stdout
    assert 'bash -c "echo web"' in shown
    approved = server.run("approval", "approve", waiting["approval_id"])
    assert (approved.returncode, "approval_not_yours" in approved.stderr) == (3, True)
    refused = server.run("approval", "refuse", waiting["approval_id"], "--reason", "not now")
    assert refused.returncode == 0, refused.stderr
    assert "not now" in ada.get(f"/api/calls/{waiting['call_id']}").json["error"]["message"]
    assert ada.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "approve"}).code == "approval_answered"
    # The run that waited in the server learns of it and shows it.
    deadline = time.monotonic() + 20
    while 'data-state="refused"' not in ada.get(f"/c/{conversation}").text:
        assert time.monotonic() < deadline


def test_a_call_of_the_command_line_is_approved_there_and_runs_once(server, tmp_path) -> None:
    server.data.parent.joinpath("project").mkdir(exist_ok=True)
    folder = server.data.parent / "project"
    folder.chmod(0o777)
    asked = server.run("call", "shell.run", "script=echo cli", "--workspace", str(folder), "--output", "json")
    assert asked.returncode == 4
    approval = json.loads(asked.stdout)["approval_id"]
    done = server.run("approval", "approve", approval)
    assert (done.returncode, done.stdout) == (0, "cli\n"), done.stderr
    assert server.run("approval", "approve", approval).returncode == 4
