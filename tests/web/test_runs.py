"""Runs of a model over restarts, races and changes of who may do what."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from chatting import AGENT, answer_of, calls, chat_server, kinds, only, script, told
from driver import processes
from modelserver import ModelServer
from webserver import TERMINAL, Person, WebServer, of_runs
from websockets.exceptions import ConnectionClosed


@pytest.fixture(scope="module")
def server(models: ModelServer) -> Iterator[WebServer]:
    with chat_server(models) as made:
        yield made.start()


@pytest.fixture(scope="module")
def ada(server: WebServer) -> Person:
    return server.set_up("ada")


@pytest.fixture(scope="module")
def restarted(models: ModelServer) -> Iterator[WebServer]:
    """A server that may be ended and started again."""
    with chat_server(models, more=AGENT + "seconds = 8\n") as made:
        yield made.start()


@pytest.fixture(scope="module")
def eva(restarted: WebServer) -> Person:
    return restarted.set_up("eva")


def asked(person: Person, text: str, **fields: object) -> dict:
    """Send a message whose call asks; returns the question's event. The socket is closed."""
    with person.socket() as socket:
        socket.send("message", text=text, **fields)
        return socket.until("approval.required")[-1]


def run(person: Person, run_id: str) -> dict:
    return person.get(f"/api/runs/{run_id}").json


def until_ended(person: Person, run_id: str) -> dict:
    deadline = time.monotonic() + 30
    while (found := run(person, run_id))["state"] in ("queued", "running", "waiting"):
        assert time.monotonic() < deadline, found
    return found


def test_a_turn_that_waits_goes_on_after_the_server_was_started_again(
    models: ModelServer, restarted: WebServer, eva: Person
) -> None:
    text = script({"say": "I ask.", **calls("shell.run", "system.uname", script="echo after")}, {"say": "It is done."})
    text = text.replace(
        '"tool": "system__uname", "args": {"script": "echo after"}', '"tool": "system__uname", "args": {}'
    )
    server, person = restarted, eva
    with person.socket() as socket:
        socket.send("message", text=text)
        seen = socket.until("approval.required")
        if "tool.completed" not in kinds(seen):
            socket.until("tool.completed")  # of the other call: a server that is killed would interrupt it
    first = seen[-1]
    second = asked(person, script(calls("shell.run", script="echo late"), {"say": "Too late."}))
    with person.socket() as socket:
        socket.send("message", text=script({"words": 10_000, "delay": 0.01}))
        broken = socket.until("message.delta")[-1]["run_id"]
        conversation = run(person, broken)["conversation_id"]
        socket.send("message", text="I wait.", conversation_id=conversation)
        socket.until("run.queued")
        server.kill()
    with closing(sqlite3.connect(server.data / "state" / "toolhost.db")) as database, database:
        database.execute("UPDATE approvals SET expires = 1 WHERE id = ?", (second["approval_id"],))
    server.start()
    # What was under way is marked; what waited in the queue is kept as a message.
    assert run(person, broken)["state"] == "interrupted"
    entries = person.get(f"/api/conversations/{conversation}").json["entries"]
    assert [(entry["kind"], entry["text"]) for entry in entries][1:] == [
        ("notice", "interrupted"),
        ("user", "I wait."),
        ("notice", "interrupted"),
    ]
    # What nobody answered in time is a refusal, and the model goes on with it.
    assert until_ended(person, second["run_id"])["state"] == "completed"
    assert "approval_expired" in told(models, json_text(person, second))[0]
    # What waits is the same run with the same events, and goes on with the answer.
    assert run(person, first["run_id"])["state"] == "waiting"
    with person.socket() as socket:
        socket.send("resume", run_id=first["run_id"], after_seq=0)
        before = of_runs(socket.until("approval.required"))
        assert first in before
        socket.send("approve", approval_id=first["approval_id"])
        events = of_runs(socket.to_the_end())
    assert [event["seq"] for event in (*before, *events)] == list(range(1, len(before) + len(events) + 1))
    assert answer_of(events) == "It is done."
    assert ["after" in answer or "Linux" in answer for answer in told(models, text)] == [True, True]
    assert only(events, "tool.completed")[0]["result"]["stdout"] == "after\n"
    completed = [event["call_id"] for event in only([*before, *events], "tool.completed")]
    assert len(completed) == len(set(completed)) == 2


def json_text(person: Person, event: dict) -> str:
    """The message that began the run of an event."""
    conversation = run(person, event["run_id"])["conversation_id"]
    return person.get(f"/api/conversations/{conversation}").json["entries"][0]["text"]


def test_an_orderly_stop_leaves_what_waits_and_a_model_that_says_no_more_is_not_waited_for(
    models: ModelServer, restarted: WebServer, eva: Person
) -> None:
    server, person = restarted, eva
    lost = server.person("eva")
    taken = asked(lost, script(calls("shell.run", script="echo taken"), {"say": "Taken."}))
    text = script(calls("shell.run", script="echo theirs"), {"say": "Changed."})
    changing = asked(person, text)
    with person.socket() as socket:
        socket.send("message", text=script(calls("shell.run", script="echo kept"), {"say": "Kept."}))
        waiting = socket.until("approval.required")[-1]
        assert server.end() == 0
    server.start()
    # What a session began ends with it, also after a restart.
    mine = next(one["id"] for one in lost.get("/api/sessions").json["sessions"] if one["current"])
    assert person.request("DELETE", f"/api/sessions/{mine}").status == 204
    assert until_ended(person, taken["run_id"])["state"] == "cancelled"
    answer = person.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "approve"})
    assert answer.json["stdout"] == "kept\n"
    assert until_ended(person, waiting["run_id"])["state"] == "completed"
    # An answer that changes the call counts as well: the model goes on with what ran in its place.
    modified = {"decision": "modify", "arguments": {"script": "echo mine"}}
    anew = person.post(f"/api/approvals/{changing['approval_id']}", modified).json
    assert person.post(f"/api/approvals/{anew['approval_id']}", {"decision": "approve"}).json["stdout"] == "mine\n"
    assert until_ended(person, changing["run_id"])["state"] == "completed"
    (heard,) = told(models, text)
    assert "mine" in heard
    with person.socket() as socket:
        socket.send("resume", run_id=waiting["run_id"], after_seq=0)
        events = of_runs(socket.to_the_end())
    assert [kind for kind in kinds(events) if kind in TERMINAL] == ["run.completed"]
    assert kinds(events).count("approval.required") == 1
    with person.socket() as socket:
        socket.send("message", text=script({"say": "It begins, and then", "fault": "stall"}))
        late = of_runs(socket.to_the_end())
    assert late[-1]["error"]["code"] == "time_limit"
    assert only(late, "message.completed")[0]["entry"]["data"]["stopped"] == "time_limit"


def test_of_many_answers_at_once_one_counts_and_the_model_is_told_once(ada: Person, models: ModelServer) -> None:
    text = script(calls("shell.run", script="echo once >> counted; cat counted"), {"say": "Once."})
    with ada.socket() as one, ada.socket() as two:
        one.send("message", text=text)
        waiting = one.until("approval.required")[-1]
        approval = waiting["approval_id"]
        statuses: list[int] = []

        def by_rest(decision: str) -> None:
            statuses.append(ada.post(f"/api/approvals/{approval}", {"decision": decision}).status)

        threads = [threading.Thread(target=one.send, args=("approve",), kwargs={"approval_id": approval})] * 1
        threads += [threading.Thread(target=two.send, args=("approve",), kwargs={"approval_id": approval})]
        threads += [threading.Thread(target=by_rest, args=(decision,)) for decision in ("approve", "refuse", "approve")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        events = of_runs(one.to_the_end())
    assert len(only(events, "tool.completed")) == 1
    assert len(only(events, "approval.answered")) == 1
    assert statuses.count(200) <= 1
    assert set(statuses) <= {200, 409}
    assert len(told(models, text)) == 1
    result = only(events, "tool.completed")[0]["result"]
    assert (result["status"], result["stdout"]) in (("ok", "once\n"), ("refused", ""))


def test_what_changed_since_the_question_does_not_run_and_the_model_is_told(
    server: WebServer, ada: Person, models: ModelServer
) -> None:
    text = script(calls("shell.run", script="echo changed"), {"say": "It changed."})
    with ada.socket() as socket:
        socket.send("message", text=text)
        waiting = socket.until("approval.required")[-1]
        policy = server.data / "policies" / "shell.toml"
        policy.write_text(policy.read_text().replace('"2m"', '"1m"'))
        deadline = time.monotonic() + 30
        while "policy.reloaded" not in [record["event"] for record in server.audit()]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        socket.send("approve", approval_id=waiting["approval_id"])
        events = of_runs(socket.to_the_end())
    assert answer_of(events) == "It changed."
    assert "code: plan_changed" in told(models, text)[0]
    assert not only(events, "tool.started")


def test_stop_kills_the_sandboxes_of_a_model_s_calls(ada: Person) -> None:
    asked_for = {"calls": [{"tool": "shell__run", "args": {"script": f"echo up; sleep 6{n}.9"}} for n in "12"]}
    with ada.socket() as socket:
        socket.send("message", text=script(asked_for, {"say": "Never."}))
        for _ in "12":
            waiting = socket.until("approval.required")[-1]
            socket.send("approve", approval_id=waiting["approval_id"])
        for _ in "12":
            socket.until("tool.output")
        assert processes("sleep\x0061.9")
        assert processes("sleep\x0062.9")
        socket.send("stop", run_id=waiting["run_id"])
        events = socket.to_the_end()
    assert events[-1]["type"] == "run.cancelled"
    assert not processes("sleep\x0061.9")
    assert not processes("sleep\x0062.9")
    calls_made = [entry["call_id"] for entry in entries_of(ada, waiting) if entry["kind"] == "call"]
    assert [ada.get(f"/api/calls/{call_id}").json["status"] for call_id in calls_made] == ["cancelled"] * 2


@pytest.mark.parametrize("moment", ["run.started", "entry.added", "tool.arguments", "approval.required"])
def test_a_run_that_is_stopped_while_it_asks_leaves_no_question_open(ada: Person, moment: str) -> None:
    # Two calls that ask, so that one of them asks while the other's question is refused.
    asked_for = {"calls": [{"tool": "shell__run", "args": {"script": f"echo {n}"}} for n in "12"]}
    place = ada.conversation()
    with ada.socket() as socket:
        for text in (script(asked_for, {"say": "Never."}), "/shell.run script='echo 3'"):
            if text.startswith("/") and moment == "tool.arguments":
                continue
            socket.send("message", text=text, conversation_id=place)
            stopped = socket.until(moment)[-1]["run_id"]
            socket.send("stop", run_id=stopped, ref="stop")
            events = socket.to_the_end()
            socket.send("ping")
            events += socket.until("pong")
            ends = [event for event in of_runs(events) if event["type"] in TERMINAL]
            assert [(end["run_id"], end["type"]) for end in ends] == [(stopped, "run.cancelled")]
    open_here = [one for one in ada.get("/api/approvals").json["approvals"] if one["conversation_id"] == place]
    assert open_here == []


def entries_of(person: Person, event: dict) -> list[dict]:
    conversation = run(person, event["run_id"])["conversation_id"]
    return person.get(f"/api/conversations/{conversation}").json["entries"]


def test_a_run_ends_with_its_person_and_shrinks_with_their_role(server: WebServer, ada: Person) -> None:
    for name, change in (("eve", ("disable",)), ("fay", ("role", "viewer"))):
        person = server.add_user(name)
        with person.socket() as socket:
            place = person.conversation()
            socket.send("message", text=script({"words": 10_000, "delay": 0.01}), conversation_id=place)
            begun = socket.until("message.delta")[-1]["run_id"]
            if name == "eve":
                socket.send("message", text="I wait.", conversation_id=place)
                waits = socket.until("run.queued")[-1]["run_id"]
            server.command("user", change[0], name, *change[1:])
            if name == "eve":
                with pytest.raises(ConnectionClosed) as gone:
                    socket.until("nothing")  # its last events come before its end
                assert gone.value.rcvd.code == 4401
                with closing(sqlite3.connect(server.data / "state" / "toolhost.db")) as database:
                    deadline = time.monotonic() + 30
                    for run_id in (begun, waits):  # what waits for its turn is not answered either
                        while database.execute("SELECT state FROM runs WHERE id = ?", (run_id,)).fetchone() != (
                            "cancelled",
                        ):
                            assert time.monotonic() < deadline
            else:
                deadline = time.monotonic() + 30
                while person.get("/api/auth/me").json["user"]["role"] != "viewer":  # a server sees it within a second
                    assert time.monotonic() < deadline
                socket.send("message", text="more")
                assert socket.until("error")[-1]["error"]["code"] == "role_not_allowed"
                assert ada.post(f"/api/runs/{begun}/stop").status == 404  # it is not hers
                person.post(f"/api/runs/{begun}/stop")


def test_many_answers_at_once_come_whole_and_in_order_in_either_protocol(ada: Person) -> None:
    texts = [f"Number {n}: a < b, wörds 🎉 and <i>marks</i>; " * 30 for n in range(8)]
    heard: dict[int, list[dict]] = {}

    def listen(number: int) -> None:
        with ada.socket() as socket:
            model = ("tiny", "claude")[number % 2]
            socket.send("message", text=script({"say": texts[number], "delay": 0.002}), model=model)
            heard[number] = of_runs(socket.to_the_end())

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, text in enumerate(texts):
        pieces = [event["text"] for event in only(heard[number], "message.delta")]
        assert len(pieces) > 1
        assert "".join(pieces) == text
        assert answer_of(heard[number]) == text
        assert heard[number][-1]["type"] == "run.completed"


def test_what_a_model_sends_broken_does_not_break_the_run(ada: Person, models: ModelServer) -> None:
    lone = "\ud83d"
    with ada.socket() as socket:
        socket.send("message", text=script({"say": "before LONE after"}).replace("LONE", "\\\\ud83d"))
        events = of_runs(socket.to_the_end())
    assert lone not in answer_of(events)
    assert answer_of(events).startswith("before ")
    assert events[-1]["type"] == "run.completed"
