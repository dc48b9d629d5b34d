"""Calling tools over REST: results, approvals, ownership."""

from concurrent.futures import ThreadPoolExecutor

import pytest

RESULT = {
    "call_id", "tool", "status", "exit_code", "signal", "stdout", "stderr", "truncated", "content", "error", "decision",
    "approval_id", "sandbox", "duration_ms",
}  # fmt: skip


def asked(person, script: str = "echo ran") -> dict:
    answer = person.call("shell.run", script=script)
    assert answer.status == 202, answer.text
    return answer.json


def test_the_granted_tools_are_listed_with_their_schemas(ada) -> None:
    tools = {tool["name"]: tool for tool in ada.get("/api/tools").json["tools"]}
    assert {"files.list", "git.log", "shell.run", "system.uname"} <= set(tools)
    assert tools["shell.run"]["input_schema"]["required"] == ["script"]


def test_an_allowed_call_is_carried_out(ada) -> None:
    answer = ada.call("system.uname")
    assert answer.status == 200
    assert answer.json.keys() == RESULT
    assert answer.json["status"] == "ok"
    assert answer.json["stdout"].startswith("Linux ")
    assert answer.json["sandbox"]["limits"]["wall"]["enforced_by"] == "wallclock"


def test_a_denied_call_names_its_rule(ada) -> None:
    answer = ada.call("git.push")
    assert (answer.status, answer.json["status"]) == (200, "denied")
    assert answer.json["decision"]["source"].startswith("git.toml:")


def test_a_call_that_cannot_be_asked_is_refused_before_a_decision(ada) -> None:
    assert (ada.call("no.such").status, ada.call("no.such").code) == (404, "unknown_tool")
    wrong = ada.call("git.log", limit="many")
    assert (wrong.status, wrong.code) == (422, "invalid_arguments")
    deep = ada.post("/api/tools/files.list/call", raw=b'{"arguments": {"path": %s1%s}}' % (b"[" * 400, b"]" * 400))
    assert (deep.status, deep.code) == (422, "invalid_arguments")
    assert ada.post("/api/tools/git.log/call", {"arguments": []}).status == 422
    assert ada.post("/api/tools/git.log/call", {"arguments": {}, "conversation_id": "v_none"}).status == 404
    assert ada.post("/api/tools/git.log/call", {"arguments": {}, "conversation_id": 7}).status == 400


def test_an_approved_call_runs_once(ada) -> None:
    waiting = asked(ada)
    assert waiting["status"] == "approval_required"
    listed = {item["id"]: item for item in ada.get("/api/approvals").json["approvals"]}
    assert listed[waiting["approval_id"]]["plan"]["argv"][1:] == ["-c", "echo ran"]
    path = f"/api/approvals/{waiting['approval_id']}"
    done = ada.post(path, {"decision": "approve"})
    assert (done.status, done.json["status"], done.json["stdout"]) == (200, "ok", "ran\n")
    again = ada.post(path, {"decision": "approve"})
    assert (again.status, again.code) == (409, "approval_answered")
    assert ada.get(f"/api/calls/{waiting['call_id']}").json["stdout"] == "ran\n"


def test_a_refused_call_does_not_run_and_keeps_the_reason(ada) -> None:
    waiting = asked(ada)
    answer = ada.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "refuse", "reason": "not today"})
    assert (answer.status, answer.json["status"]) == (200, "refused")
    assert "not today" in answer.json["error"]["message"]
    assert waiting["approval_id"] not in {item["id"] for item in ada.get("/api/approvals").json["approvals"]}


def test_of_many_answers_at_once_one_counts(ada) -> None:
    path = f"/api/approvals/{asked(ada)['approval_id']}"
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ada.post(path, {"decision": "approve"}).status, range(6)))
    assert sorted(answers) == [200] + [409] * 5


@pytest.mark.parametrize(
    "body", [{}, {"decision": "yes"}, {"decision": "approve", "scope": "standing"}, {"decision": "refuse", "reason": 7}]
)
def test_an_answer_that_is_none_changes_nothing(ada, body) -> None:
    waiting = asked(ada)
    path = f"/api/approvals/{waiting['approval_id']}"
    assert ada.post(path, body).status == 422
    assert ada.post(path, {"decision": "refuse"}).json["status"] == "refused"


def test_a_yes_for_the_conversation_answers_the_same_call_there_and_nothing_else(ada) -> None:
    here, elsewhere = ada.conversation(), ada.conversation()
    asked_here = ada.call("shell.run", conversation_id=here, script="echo again").json
    question = next(
        item for item in ada.get("/api/approvals").json["approvals"] if item["id"] == asked_here["approval_id"]
    )
    assert question["scopes"] == ["once", "conversation"]
    assert f'conversation = "{here}"' in question["grants"]["conversation"]
    path = f"/api/approvals/{question['id']}"
    assert ada.post(path, {"decision": "approve", "scope": "standing"}).code == "scope_not_offered"
    assert ada.post(path, {"decision": "approve", "scope": "conversation"}).json["stdout"] == "again\n"
    again = ada.call("shell.run", conversation_id=here, script="echo again").json
    (grant,) = [item for item in ada.get("/api/grants").json["grants"] if item["conversation_id"] == here]
    assert (again["status"], again["approval_id"], grant["uses"]) == ("ok", grant["id"], 1)
    assert ada.call("shell.run", conversation_id=here, script="echo other").status == 202
    assert ada.call("shell.run", conversation_id=elsewhere, script="echo again").status == 202
    assert ada.call("shell.run", script="echo again").status == 202
    assert ada.request("DELETE", f"/api/grants/{grant['id']}").status == 204
    assert ada.request("DELETE", f"/api/grants/{grant['id']}").code == "grant_not_found"
    assert ada.call("shell.run", conversation_id=here, script="echo again").status == 202


def test_an_administrator_refuses_for_somebody_else_and_never_approves(ada, bob) -> None:
    waiting = asked(bob, "echo bob")
    path = f"/api/approvals/{waiting['approval_id']}"
    assert ada.post(path, {"decision": "approve"}).code == "approval_not_yours"
    refused = ada.post(path, {"decision": "refuse", "reason": "not on this host"}).json
    assert refused["error"]["message"] == "An administrator refused this call: not on this host"
    assert bob.get(f"/api/calls/{waiting['call_id']}").json["status"] == "refused"


def test_nobody_sees_or_touches_what_is_somebody_elses(ada, bob) -> None:
    waiting = asked(ada)
    conversation = ada.conversation(title="private")
    assert bob.get("/api/approvals").json["approvals"] == []
    assert bob.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "approve"}).status == 404
    assert bob.get(f"/api/calls/{waiting['call_id']}").status == 404
    assert bob.post(f"/api/calls/{waiting['call_id']}/cancel").status == 404
    assert bob.get(f"/ui/calls/{waiting['call_id']}").status == 404
    assert bob.get(f"/ui/calls/{waiting['call_id']}/output").status == 404
    assert bob.get(f"/api/conversations/{conversation}").status == 404
    assert bob.get(f"/c/{conversation}").status == 404
    assert bob.get(f"/c/{conversation}/thread").status == 404
    assert bob.call("system.uname", conversation_id=conversation).status == 404
    assert bob.get("/api/conversations").json["conversations"] == []
    assert ada.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "refuse"}).status == 200


def test_a_call_in_a_conversation_is_shown_there(ada) -> None:
    conversation = ada.conversation()
    result = ada.call("system.uname", conversation_id=conversation).json
    shown = ada.get(f"/api/conversations/{conversation}").json
    assert [(entry["kind"], entry["text"]) for entry in shown["entries"]] == [("user", "/system.uname"), ("call", "")]
    assert shown["entries"][1]["call_id"] == result["call_id"]
    assert shown["title"] == "/system.uname"


def test_a_conversation_has_a_workspace_of_its_own(ada) -> None:
    one, other = ada.conversation(), ada.conversation()
    write = ada.call("files.write", conversation_id=one, path="note.txt", content="hello")
    assert write.status == 202
    assert ada.post(f"/api/approvals/{write.json['approval_id']}", {"decision": "approve"}).json["status"] == "ok"
    assert ada.call("files.read", conversation_id=one, path="note.txt").json["stdout"].startswith("hello")
    assert ada.call("files.read", conversation_id=other, path="note.txt").json["status"] != "ok"


def test_a_workspace_that_is_not_offered_cannot_be_chosen(ada) -> None:
    for name in ("/etc", "none", "../..", 7):
        answer = ada.post("/api/conversations", {"workspace": name})
        assert (answer.status, answer.code) == (422, "unknown_workspace")


def test_titles_are_one_clean_line(ada) -> None:
    answer = ada.post("/api/conversations", {"title": "two\nlines\u202e " + "word " * 60})
    assert answer.json["title"].startswith("two lines word")
    assert len(answer.json["title"]) <= 120
