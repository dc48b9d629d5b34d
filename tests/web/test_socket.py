"""`/ws/chat`: who may open it, and runs as they are seen through it."""

import base64
import json
import socket
import threading
import time
from contextlib import suppress

import jwt
import pytest
from driver import processes
from webserver import TERMINAL, Person, of_runs
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


def handshake(server, **headers: str) -> int:
    try:
        with connect(f"ws://127.0.0.1:{server.port}/ws/chat", additional_headers=headers, open_timeout=10):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def approve(socket, **fields: object) -> str:
    """Send a message whose call asks, and say yes; returns the run."""
    socket.send("message", **fields)
    waiting = socket.until("approval.required")[-1]
    socket.send("approve", approval_id=waiting["approval_id"])
    return waiting["run_id"]


def test_only_the_own_page_or_a_program_with_a_token_may_open_it(server, ada) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in ada.cookies.items())
    token = f"Bearer {ada.bearer}"
    assert handshake(server) == 401
    assert handshake(server, Cookie=cookie) == 403
    assert handshake(server, Cookie=cookie, Origin="https://evil.example") == 403
    assert handshake(server, Cookie=cookie, Origin="null") == 403
    assert handshake(server, Authorization=token, Origin="https://evil.example") == 403
    assert handshake(server, Authorization="Bearer nonsense", Cookie=cookie, Origin=server.origin) == 401
    assert handshake(server, Cookie=cookie, Origin=server.origin) == 101
    assert handshake(server, Authorization=token) == 101


def test_it_is_not_opened_under_another_name(server, ada) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Host": "evil.example"}
    assert ada.get("/ws/chat", headers=upgrade).status == 421


def test_it_closes_when_the_token_it_was_opened_with_runs_out(server, ada) -> None:
    key = base64.b64decode((server.data / "state" / "jwt.key").read_bytes())
    claims = jwt.decode(ada.bearer, options={"verify_signature": False}) | {"exp": int(time.time()) + 2}
    token = jwt.encode(claims, key, headers={"kid": jwt.get_unverified_header(ada.bearer)["kid"]})
    with Person(server, token).socket() as socket, pytest.raises(ConnectionClosed) as closed:
        socket.next(timeout=14)  # before it would be asked by itself
    assert closed.value.rcvd.code == 4401


def test_what_is_no_message_is_answered_with_an_error(ada) -> None:
    before = ada.get("/api/conversations").json
    with ada.socket() as socket:
        socket.send("dance", ref="r1")
        answer = socket.next()
        assert (answer["type"], answer["ref"], answer["error"]["code"]) == ("error", "r1", "unknown_message_type")
        for raw in (
            "{",
            "[]",
            "7",
            b"\xff",
            '{"type": "message", "text": 7}',
            '{"type": "resume"}',
            '{"type": "stop"}',
            '{"type": "ping", "ref": 1e999}',
        ):
            socket.connection.send(raw)
            assert socket.next()["type"] == "error"
        socket.send("message", text="/no.such")
        assert socket.next()["type"] == "error"
        socket.send("ping", ref="still here")
        assert socket.next()["type"] == "pong"
    assert ada.get("/api/conversations").json == before


def test_a_frame_over_one_mebibyte_closes_the_socket_with_1009(ada) -> None:
    with ada.socket() as socket:
        socket.connection.send(json.dumps({"type": "message", "text": "x" * (2 << 20)}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.next()
        assert closed.value.rcvd.code == 1009


def test_a_slash_command_makes_numbered_events_with_one_end(ada) -> None:
    with ada.socket() as socket:
        socket.send("message", text="/system.uname", ref="m1")
        events = socket.to_the_end()
    created = events[0]
    assert (created["type"], created["ref"]) == ("conversation.created", "m1")
    run = of_runs(events)
    kinds = [event["type"] for event in run]
    assert kinds[:3] == ["run.started", "entry.added", "entry.added"]
    assert kinds[-2:] == ["tool.completed", "run.completed"]
    assert "tool.started" in kinds
    assert [event["seq"] for event in run] == list(range(1, len(run) + 1))
    assert len({event["run_id"] for event in run}) == 1
    assert all(isinstance(event["timestamp"], int) for event in events)
    assert run[-2]["result"]["stdout"].startswith("Linux ")
    assert "".join(event["text"] for event in run if event["type"] == "tool.output") == run[-2]["result"]["stdout"]


def test_what_cannot_be_called_leaves_no_trace(ada) -> None:
    conversation = ada.conversation()
    with ada.socket() as socket:
        for text in (
            "/no.such",
            "/git.log limit=many",
            "/git.log limit=1 limit=2",
            "/git.log 'open",
            "/",
            "/git.log =",
            "  ",
        ):
            socket.send("message", conversation_id=conversation, text=text)
            assert socket.next()["type"] == "error", text
        socket.send("call", conversation_id=conversation, tool="git.log", arguments=[])
        assert socket.next()["type"] == "error"
    assert ada.get(f"/api/conversations/{conversation}").json["entries"] == []


def test_without_a_model_a_message_is_answered_honestly(ada) -> None:
    with ada.socket() as socket:
        socket.send("message", text="What is the weather?")
        events = of_runs(socket.to_the_end())
    assert [event["entry"]["kind"] for event in events if event["type"] == "entry.added"] == ["user", "notice"]
    assert events[-1]["type"] == "run.completed"


def test_a_form_and_a_typed_line_are_the_same_call(ada) -> None:
    with ada.socket() as socket:
        socket.send("call", tool="git.log", arguments={"limit": 3, "oneline": True, "paths": ["a b", "c"]})
        events = of_runs(socket.to_the_end())
        line = next(event["entry"]["text"] for event in events if event["type"] == "entry.added")
        assert line == "/git.log limit=3 oneline=true paths='a b' paths=c"
        socket.send("message", text=line)
        again = of_runs(socket.to_the_end())
    argv = [next(event["plan"]["argv"] for event in run if event["type"] == "tool.started") for run in (events, again)]
    assert argv[0] == argv[1]


def test_whoever_comes_back_reads_on_from_where_they_were(ada) -> None:
    with ada.socket() as socket:
        socket.send("message", text="/system.uname")
        events = of_runs(socket.to_the_end())
    run = events[0]["run_id"]
    for after in (0, 3, len(events) - 1):
        with ada.socket() as socket:
            socket.send("resume", run_id=run, after_seq=after)
            replayed = of_runs(socket.to_the_end())
        assert replayed == events[after:]
    with ada.socket() as socket:
        socket.send("resume", conversation_id=events[0]["conversation_id"], after_seq=2)
        assert of_runs(socket.to_the_end()) == events[2:]


def test_a_run_that_is_not_ones_own_is_not_found(ada, bob) -> None:
    with ada.socket() as socket:
        socket.send("message", text="/system.uname")
        events = of_runs(socket.to_the_end())
    with bob.socket() as socket:
        for message in (
            {"type": "resume", "run_id": events[0]["run_id"]},
            {"type": "resume", "conversation_id": events[0]["conversation_id"]},
            {"type": "stop", "run_id": events[0]["run_id"]},
            {"type": "message", "conversation_id": events[0]["conversation_id"], "text": "/system.uname"},
        ):
            socket.send(**{"kind": message.pop("type"), **message})
            assert socket.next()["error"]["code"] in ("run_not_found", "conversation_not_found")


def test_closing_the_socket_does_not_stop_a_run_and_every_socket_sees_it(ada) -> None:
    conversation = ada.conversation()
    with ada.socket() as watcher:
        watcher.send("resume", conversation_id=conversation)
        watcher.until("resumed")
        with ada.socket() as socket:
            run = approve(socket, conversation_id=conversation, text="/shell.run script='echo one; sleep 1; echo two'")
            seen = socket.until("tool.started")
        events = of_runs(watcher.to_the_end())
    assert [event["type"] for event in events].count("run.completed") == 1
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["run_id"] for event in events} == {run}
    assert of_runs(seen)[-1] in events
    assert events[-2]["result"]["stdout"] == "one\ntwo\n"


def test_stopping_a_run_ends_its_processes(ada) -> None:
    with ada.socket() as socket:
        run = approve(socket, text="/shell.run script='echo started; sleep 61.7'")
        socket.until("tool.output")
        assert processes("sleep\x0061.7")
        socket.send("stop", run_id=run)
        events = socket.to_the_end()
    assert events[-1]["type"] == "run.cancelled"
    assert events[-2]["result"]["status"] == "cancelled"
    assert not processes("sleep\x0061.7")


def test_stopping_a_run_that_waits_refuses_its_question(ada) -> None:
    with ada.socket() as socket:
        socket.send("message", text="/shell.run script='echo never'")
        waiting = socket.until("approval.required")[-1]
        socket.send("stop", run_id=waiting["run_id"])
        assert socket.to_the_end()[-1]["type"] == "run.cancelled"
    late = ada.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "approve"})
    assert late.status == 409


def test_a_question_answered_elsewhere_goes_on_here(ada) -> None:
    with ada.socket() as socket:
        socket.send("message", text="/shell.run script='echo by rest'")
        waiting = socket.until("approval.required")[-1]
        result = ada.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "approve"}).json
        events = socket.to_the_end()
    assert events[-2]["result"] == result
    assert [event["type"] for event in events].count("approval.answered") == 1


def test_two_answers_at_once_run_the_call_once(ada) -> None:
    with ada.socket() as socket:
        socket.send("message", text="/shell.run script='echo once'")
        approval = socket.until("approval.required")[-1]["approval_id"]
        threads = [
            threading.Thread(target=socket.send, args=("approve",), kwargs={"approval_id": approval}) for _ in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        events = socket.until(*TERMINAL)
        errors = [event for event in events if event["type"] == "error"] or [socket.next()]
    assert [event["type"] for event in events].count("tool.completed") == 1
    assert errors[0]["error"]["code"] == "approval_answered"


def test_an_open_question_outlives_the_server(fresh) -> None:
    server = fresh().start()
    person = server.set_up()
    with person.socket() as socket:
        socket.send("message", text="/shell.run script='echo after the restart'")
        waiting = socket.until("approval.required")[-1]
    assert server.end() == 0
    server.start()
    conversation = person.get("/api/conversations").json["conversations"][0]["id"]
    page = person.get(f"/c/{conversation}").text
    state = 'data-state="waiting"' in page
    answer = person.post(f"/api/approvals/{waiting['approval_id']}", {"decision": "approve"})
    # The stop of the server refuses no question: it is still the person's to answer.
    assert state
    assert answer.json["stdout"] == "after the restart\n"


def unread(server) -> socket.socket:
    """A client that asks until nothing more is taken from it, and reads no answer."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", server.port))
    line.settimeout(1)
    with suppress(TimeoutError):
        while True:
            line.sendall(b"GET /static/js/chat.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100)
    return line


def test_the_server_ends_runs_and_closes_sockets_when_it_stops(fresh) -> None:
    server = fresh().start()
    person = server.set_up()
    with person.socket() as socket, unread(server):
        approve(socket, text="/shell.run script='echo started; sleep 62.3'")
        socket.until("tool.output")
        ended: list[int] = []
        stopper = threading.Thread(target=lambda: ended.append(server.end()))
        stopper.start()
        assert socket.to_the_end()[-1]["type"] == "run.cancelled"
        with pytest.raises(ConnectionClosed) as closed:
            socket.next()
        assert closed.value.rcvd.code == 1001
        stopper.join(60)
    assert ended == [0]
    assert "connections are cut" in server.log.read_text()
    assert not processes("sleep\x0062.3")


def test_output_that_is_not_text_does_not_break_the_stream(ada) -> None:
    script = "printf 'caf\\303\\251 \\377 \\033[31mred\\n'; printf 'split \\342'; sleep 0.2; printf '\\202\\254\\n'"
    with ada.socket() as socket:
        approve(socket, text=f"/shell.run script={json.dumps(script)}")
        events = of_runs(socket.to_the_end())
    text = "".join(event["text"] for event in events if event["type"] == "tool.output")
    assert text == "café \ufffd \x1b[31mred\nsplit €\n"


def test_ten_thousand_lines_are_not_ten_thousand_events(ada) -> None:
    with ada.socket() as socket:
        approve(socket, text="/shell.run script='seq 1 10000'")
        events = of_runs(socket.to_the_end())
    outputs = [event["text"] for event in events if event["type"] == "tool.output"]
    assert "".join(outputs) == "".join(f"{n}\n" for n in range(1, 10001))
    assert len(outputs) < 200
