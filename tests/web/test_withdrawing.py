"""What is under way ends with the session, key, address or account that it came by; what only lost its page goes on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest
from chatting import calls, chat_server, script
from driver import own, processes
from modelserver import ModelServer
from test_people import SOON, until
from test_taint import plugin
from warmth import warm
from webserver import Answer, Person, Socket, WebServer
from websockets.exceptions import ConnectionClosed

POLICY = """
plugin = "slow"
[commands]
allow = ["sleep {text}"]
ask = ["uname"]
[paths]
write = ["{workspace}"]
"""
ENDLESS = script({"words": 10_000, "delay": 0.02})


@pytest.fixture(scope="module")
def server(models: ModelServer) -> Iterator[WebServer]:
    """A server behind a proxy on this machine, with a tool that takes its time and one that asks."""
    with chat_server(models) as made:
        made.variables["TOOLHOST_TRUSTED_PROXIES"] = "127.0.0.0/8"
        warm(made.data)
        plugin(made, "slow", POLICY, {"hold": "sleep {word}", "ask": "uname"})
        own(made.data)
        yield made.start()


@pytest.fixture(scope="module")
def ada(server: WebServer) -> Person:
    return server.set_up("ada")


@pytest.fixture(scope="module")
def eve(server: WebServer, ada: Person) -> Person:
    return server.add_user("eve")


def held(seconds: str) -> list[int]:
    return processes(f"sleep\0{seconds}")


def hold(threads: ThreadPoolExecutor, person: Person, seconds: str) -> Future[Answer]:
    """A call that runs, and its answer when it has one."""
    answer = threads.submit(person.call, "slow.hold", word=seconds)
    until(lambda: held(seconds) or answer.done(), "the call did not start")
    assert not answer.done(), answer.result().text
    return answer


def closed_with(socket: Socket) -> int:
    """The code that a socket is closed with, after whatever is still sent."""
    try:
        while True:
            socket.next(SOON)
    except ConnectionClosed as closed:
        return closed.rcvd.code


def state_of(server: WebServer, run_id: str) -> str:
    with closing(sqlite3.connect(server.data / "state" / "toolhost.db", timeout=30)) as database:
        return database.execute("SELECT state FROM runs WHERE id = ?", (run_id,)).fetchone()[0]


def program(person: Person) -> tuple[str, Person]:
    made = person.post("/api/keys", {"name": "a program", "scopes": ["chat", "tools:run"]}).json
    return made["key"]["id"], Person(person.server, made["token"])


def refused(server: WebServer, approval_id: str) -> list[str]:
    """Why a question was refused."""
    return [
        record["details"]["reason"]
        for record in server.audit()
        if record["event"] == "approval.refused" and record["details"]["approval_id"] == approval_id
    ]


def test_what_a_key_began_ends_with_it_and_no_other_key_touches_it(
    server: WebServer, ada: Person, threads: ThreadPoolExecutor
) -> None:
    (key, one), (second_key, other) = program(ada), program(ada)
    ended, goes_on, runs_out = hold(threads, one, "63.1"), hold(threads, ada, "63.2"), hold(threads, other, "63.3")
    asked = one.call("slow.ask").json["approval_id"]
    with one.socket() as socket:
        socket.send("message", text=ENDLESS)
        run = socket.until("message.delta")[-1]["run_id"]
        conversation = ada.get(f"/api/runs/{run}").json["conversation_id"]
        socket.send("message", text="after that", conversation_id=conversation)
        queued = socket.until("run.queued")[-1]["run_id"]
        stream = threads.submit(one.post, "/api/chat", {"message": ENDLESS})
        assert other.post(f"/api/runs/{run}/stop").code == "key_not_allowed"
        with other.socket() as meddling:
            for kind in ("edit", "send_now", "stop"):
                meddling.send(kind, run_id=queued, text="changed")
                assert meddling.next()["error"]["code"] == "key_not_allowed"
        call_id = next(
            record["call_id"]
            for record in reversed(server.audit())
            if record["event"] == "tool.intent" and record["details"].get("by_key") == key
        )
        assert other.post(f"/api/calls/{call_id}/cancel").json["cancelled"] is False
        assert held("63.1")
        assert ada.request("DELETE", f"/api/keys/{key}").status == 204
        assert closed_with(socket) == 4401
    assert ended.result(SOON).json["status"] == "cancelled"
    assert not held("63.1")
    said = stream.result(SOON).text.strip().rpartition("data: ")[2]
    assert json.loads(said)["error"]["code"] == "not_authenticated"
    for each in (run, queued):
        until(lambda each=each: state_of(server, each) == "cancelled", "a run of the key went on")
    until(lambda: refused(server, asked), "the question of the key stayed open")
    assert refused(server, asked) == ["the API key that asked has ended"]
    assert ada.post(f"/api/approvals/{asked}", {"decision": "approve"}).code == "approval_answered"
    assert held("63.2")
    assert held("63.3")
    with closing(sqlite3.connect(server.data / "state" / "toolhost.db", timeout=30)) as database, database:
        database.execute("UPDATE api_keys SET expires = 1 WHERE id = ?", (second_key,))
    assert runs_out.result(SOON).json["status"] == "cancelled"
    assert not goes_on.done()
    server.command("sessions", "revoke", "--user", "ada")
    assert goes_on.result(SOON).json["status"] == "cancelled"
    ada.sign_in("ada")


def test_whoever_signs_out_leaves_their_work_but_no_question_and_a_revocation_ends_both(
    server: WebServer, eve: Person, threads: ThreadPoolExecutor
) -> None:
    here, there = server.person("eve"), server.person("eve")
    left, stays = hold(threads, here, "64.1"), hold(threads, there, "64.2")
    with here.socket() as socket:
        socket.send("message", text=script(calls("slow.ask"), {"words": 10_000, "delay": 0.02}))
        waiting = socket.until("approval.required")[-1]
    other = there.call("slow.ask").json["approval_id"]
    assert here.post("/api/auth/logout").status == 200
    with there.socket() as socket:
        socket.send("resume", run_id=waiting["run_id"], after_seq=0)
        socket.until("message.delta", timeout=SOON)  # the model was told, and goes on
    assert refused(server, waiting["approval_id"]) == ["the session that asked has ended"]
    assert [one["id"] for one in there.get("/api/approvals").json["approvals"]] == [other]
    assert held("64.1")
    assert held("64.2")
    server.command("sessions", "revoke", "--user", "eve")
    assert {left.result(SOON).json["status"], stays.result(SOON).json["status"]} == {"cancelled"}
    until(lambda: state_of(server, waiting["run_id"]) == "cancelled", "the run went on")
    until(lambda: refused(server, other), "the question stayed open")


def test_what_a_blocked_address_began_ends(
    server: WebServer, ada: Person, eve: Person, threads: ThreadPoolExecutor
) -> None:
    far = Person(server, sent={"X-Forwarded-For": "198.51.100.9", "X-Forwarded-Proto": "https"})
    far.sign_in("eve")
    near = server.person("eve")
    ended, goes_on = hold(threads, far, "65.1"), hold(threads, near, "65.2")
    stream = threads.submit(far.post, "/api/chat", {"message": ENDLESS})
    until(lambda: any(run["state"] == "running" for run in runs_of(near)), "the run did not begin")
    assert ada.post("/api/blocks", {"address": "198.51.100.0/24"}).status == 201
    # The answer itself goes to nobody else: the connection is the one that asked.
    assert ended.result(SOON).json["status"] == "cancelled"
    assert '"not_authenticated"' in stream.result(SOON).text
    until(lambda: all(run["state"] == "cancelled" for run in runs_of(near)), "the run went on")
    assert runs_of(near)
    assert held("65.2")
    assert not goes_on.done()
    assert ada.request("DELETE", "/api/blocks/198.51.100.0%2F24").status == 204
    ada.request("PATCH", "/api/users/eve", {"disabled": True})
    assert goes_on.result(SOON).json["status"] == "cancelled"
    ada.request("PATCH", "/api/users/eve", {"disabled": False})


def runs_of(person: Person) -> list[dict]:
    newest = person.get("/api/conversations").json["conversations"][:1]
    return [run for one in newest for run in person.get(f"/api/conversations/{one['id']}/runs").json["runs"]]


def test_a_message_that_waits_for_its_turn_does_not_outlive_its_person(
    server: WebServer, ada: Person, models: ModelServer
) -> None:
    fay = server.add_user("fay")
    with fay.socket() as socket:
        socket.send("message", text=ENDLESS)
        first = socket.until("message.delta")[-1]["run_id"]
        conversation = fay.get(f"/api/runs/{first}").json["conversation_id"]
        socket.send("message", text="never to be answered", conversation_id=conversation)
        second = socket.until("run.queued")[-1]["run_id"]
        server.command("user", "disable", "fay")
        assert closed_with(socket) == 4401
    for run in (first, second):
        until(lambda run=run: state_of(server, run) == "cancelled", "a run went on")
    assert "never to be answered" not in json.dumps(models.requests)
