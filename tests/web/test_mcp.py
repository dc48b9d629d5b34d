"""The endpoint for clients of the Model Context Protocol: the same door and the same one way, for both generations."""

from __future__ import annotations

import asyncio
import http.client
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult
from owners import SERVICE_USER, give
from test_keys import make
from test_panic import POLICY, running, until, works
from webserver import Answer, Person, WebServer

OLD, NEW = "2025-11-25", "2026-07-28"
MODES = {"legacy": OLD, NEW: NEW}
SOON = 60
RESULT = "toolhost/result"


@pytest.fixture(scope="module")
def admin(own: WebServer, admin: Person) -> Person:
    """The administrator, who may run what sleeps without being asked."""
    policy(own, POLICY)
    until(lambda: works(admin))
    return admin


@pytest.fixture(scope="module")
def program(admin: Person) -> Person:
    """A program with a key that runs every tool."""
    return make(admin, "tools:run")[1]


def policy(server: WebServer, text: str) -> None:
    path = server.data / "policies" / "shell.toml"
    path.write_text(text)
    give(path, SERVICE_USER)


@asynccontextmanager
async def client(person: Person, mode: str = NEW, **more: Any) -> AsyncIterator[Client]:
    """The SDK's client, with somebody's token."""
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {person.bearer}"}, timeout=SOON) as web:
        wire = streamable_http_client(f"{person.server.origin}/mcp", http_client=web)
        async with Client(wire, mode=mode, **more) as there:
            yield there


def request(method: str, version: str = NEW, **params: Any) -> tuple[bytes, dict[str, str]]:
    """A request as it goes over the wire: its body and headers."""
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": version}
    headers["Content-Type"] = "application/json"
    if version == NEW:
        meta = {"protocolVersion": NEW, "clientCapabilities": {}}
        params["_meta"] = {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()} | {
            name: params.pop(name) for name in ("progressToken",) if name in params
        }
        headers |= {"Mcp-Method": method, **({"Mcp-Name": params["name"]} if "name" in params else {})}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode(), headers


def send(person: Person, method: str, version: str = NEW, **params: Any) -> Answer:
    body, headers = request(method, version, **params)
    return person.request("POST", "/mcp", raw=body, headers=headers)


@contextmanager
def sent(person: Person, method: str, version: str = NEW, **params: Any) -> Iterator[http.client.HTTPConnection]:
    """A request whose answer nobody has read yet."""
    body, headers = request(method, version, **params)
    line = http.client.HTTPConnection("127.0.0.1", person.server.port, timeout=SOON)
    line.request("POST", "/mcp", body, {**headers, "Authorization": f"Bearer {person.bearer}"})
    try:
        yield line
    finally:
        line.close()


def waiting(person: Person) -> list[dict[str, Any]]:
    """The questions about files; getting the policy into force may have left others."""
    return [one for one in person.get("/api/approvals").json["approvals"] if one["tool"] == "files.write"]


def text_of(result: Any) -> str:
    return "\n".join(part.text for part in result.content)


@pytest.mark.parametrize("mode", MODES)
def test_a_client_of_either_generation_lists_and_calls_what_its_key_may_use(
    own: WebServer, admin: Person, program: Person, mode: str
) -> None:
    async def talk() -> None:
        async with client(program, mode) as there:
            listed = await there.list_tools()
            rest = {tool["name"]: tool for tool in admin.get("/api/tools").json["tools"]}
            assert [tool.name for tool in listed.tools] == sorted(rest)
            for tool in listed.tools:
                same = rest[tool.name]
                assert (tool.description, tool.input_schema) == (same["about"], same["input_schema"])
                assert tool.annotations.model_dump(by_alias=True, exclude_none=True) == same["annotations"]
            if mode == NEW:
                assert (listed.ttl_ms, listed.cache_scope) == (60_000, "private")
            ran = await there.call_tool("files.list", {})
            assert ran.structured_content is None, "a model would be shown it instead of the text"
            assert (ran.is_error, ran.meta[RESULT]["status"]) == (False, "ok")
            assert ran.meta[RESULT]["sandbox"]["limits"]["wall"]["enforced_by"] == "wallclock"
            assert (await there.call_tool("system.uname", {})).content[0].text.startswith("Linux ")
            denied = await there.call_tool("git.push", {})
            assert (denied.is_error, denied.meta[RESULT]["status"]) == (True, "denied")
            assert "git.toml:" in text_of(denied)
            assert "administrator" in text_of(denied)
            wrong = await there.call_tool("git.log", {"limit": "many"})
            assert wrong.is_error
            assert text_of(wrong).startswith("invalid_arguments: ")
            with pytest.raises(MCPError) as unknown:
                await there.call_tool("no.such", {})
            assert unknown.value.code == -32602

    asyncio.run(talk())
    records = [record for record in own.audit() if record["event"] == "tool.outcome"]
    assert records[-1]["details"]["channel"] == "mcp"


def test_a_key_sees_and_calls_no_more_than_its_scopes(own: WebServer, admin: Person) -> None:
    _, narrow = make(admin, "tools:run:files")
    named = [tool["name"] for tool in send(narrow, "tools/list").json["result"]["tools"]]
    assert named
    assert {name.partition(".")[0] for name in named} == {"files"}
    refused = send(narrow, "tools/call", name="system.uname", arguments={}).json["result"]
    assert refused["isError"]
    assert "tools:run:system" in refused["content"][0]["text"]
    assert [record["details"]["path"] for record in own.audit() if record["event"] == "access_refused"][-1] == "/mcp"
    _, talker = make(admin, "chat")
    assert (send(talker, "tools/list").status, send(talker, "tools/list").code) == (403, "scope_missing")
    viewer = own.add_user("vic", "viewer")
    assert send(viewer, "tools/list").code == "role_not_allowed"
    assert send(admin, "tools/list").status == 200  # a person's own token does too


def test_who_is_nobody_any_more_or_comes_by_another_name_stays_outside(own: WebServer, admin: Person) -> None:
    key_id, gone = make(admin, "tools:run")
    _, late = make(admin, "tools:run", seconds=3600)
    admin.request("DELETE", f"/api/keys/{key_id}")
    database = sqlite3.connect(own.data / "state" / "toolhost.db", timeout=SOON)
    with database:
        database.execute("UPDATE api_keys SET expires = 1 WHERE expires IS NOT NULL")
    database.close()
    body, headers = request("tools/list")
    for nobody in (own.stranger(), gone, late):
        answer = send(nobody, "tools/list")
        assert (answer.status, answer.code) == (401, "not_authenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="toolhost"'
    by_query = own.stranger().request("POST", f"/mcp?access_token={admin.bearer}", raw=body, headers=headers)
    assert by_query.status == 401
    elsewhere = admin.request("POST", "/mcp", raw=body, headers={**headers, "Host": "evil.example"})
    assert (elsewhere.status, elsewhere.code) == (421, "host_not_allowed")
    other_page = admin.request("POST", "/mcp", raw=body, headers={**headers, "Origin": "https://evil.example"})
    assert (other_page.status, other_page.code) == (403, "cross_site")
    assert admin.browse("POST", "/mcp", {}, Origin="https://evil.example").code == "cross_site"


def test_every_kind_of_answer_has_the_same_headers(admin: Person, program: Person) -> None:
    nobody = program.server.stranger()
    answers = {
        200: send(program, "tools/list"),
        202: program.request("POST", "/mcp", raw=b'{"jsonrpc": "2.0", "method": "notifications/initialized"}'),
        400: program.request("POST", "/mcp", raw=b"["),
        401: send(nobody, "tools/list"),
        403: admin.request("POST", "/mcp", raw=b"{}", headers={"Origin": "https://evil.example"}),
        404: send(program, "prompts/list"),
        405: program.get("/mcp"),
        406: program.request("POST", "/mcp", raw=request("ping", OLD)[0], headers={"Accept": "text/html"}),
        413: program.request("POST", "/mcp", raw=b" " * (3 << 20)),
        421: program.get("/mcp", headers={"Host": "evil.example"}),
        "stream": send(program, "tools/list", OLD),
        "deleted": program.request("DELETE", "/mcp"),
    }
    wanted = {name for name in send(program, "tools/list").headers if not name.startswith("content-length")}
    usual = admin.get("/api/auth/me").headers
    for kind, answer in answers.items():
        status = {"stream": 200, "deleted": 405}.get(kind, kind)
        assert answer.status == status, (kind, answer.text)
        missing = wanted - set(answer.headers)
        assert not missing - {"content-type"}, (kind, missing)
        for name in ("content-security-policy", "x-content-type-options", "x-frame-options", "cache-control"):
            assert answer.headers[name] == usual[name], (kind, name)
        assert "server" not in answer.headers
    assert answers["stream"].headers["content-type"].startswith("text/event-stream")
    assert set(answers[405].headers["allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize("version", [OLD, NEW, "1999-01-01"])
def test_whatever_is_sent_is_no_failure_of_the_server(program: Person, version: str) -> None:
    headers = request("tools/list", version)[1]
    for raw in (
        b"", b"{}", b"[]", b"null", b"\xff", b"[" * 50_000, b'{"jsonrpc": "2.0"}', b'{"jsonrpc": "2.0", "id": {}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}', b'{"jsonrpc": "2.0", "id": 1, "result": {}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 7, "arguments": []}}',
        b'[{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}]',
        b'{"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"notifications": 1}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "\\ud800"}}',
    ):  # fmt: skip
        answer = program.request("POST", "/mcp", raw=raw, headers=headers)
        assert answer.status < 500, (raw[:60], answer.text)
        assert "Traceback" not in answer.text


def test_a_person_approves_in_the_browser_and_the_client_has_the_result(admin: Person, program: Person) -> None:
    shown = []

    async def person(context: object, asked: Any) -> ElicitResult:
        shown.append((asked.mode, asked.url))
        (question,) = waiting(admin)
        done = await asyncio.to_thread(admin.post, f"/api/approvals/{question['id']}", {"decision": "approve"})
        assert done.json["status"] == "ok"
        return ElicitResult(action="accept")

    async def nobody(context: object, asked: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    async def talk() -> None:
        async with client(program, elicitation_callback=person) as there:
            done = await there.call_tool("files.write", {"path": "approved.txt", "content": "x"})
            assert (done.is_error, done.meta[RESULT]["status"]) == (False, "ok")
        for declining, status in ((admin, "refused"), (program, "approval_required")):  # a key answers nothing
            async with client(declining, elicitation_callback=nobody) as there:
                done = await there.call_tool("files.write", {"path": "declined.txt", "content": "x"})
                assert (done.is_error, done.meta[RESULT]["status"]) == (True, status)

    asyncio.run(talk())
    (left,) = waiting(admin)
    assert admin.post(f"/api/approvals/{left['id']}", {"decision": "refuse"}).status == 200
    assert shown == [("url", shown[0][1])]
    assert shown[0][1].startswith(f"{program.server.origin}/approvals#call-c_")
    assert not waiting(admin)


def test_a_client_that_cannot_be_sent_anywhere_makes_the_same_call_again(admin: Person, program: Person) -> None:
    def call(by: Person = program, content: str = "old", **more: Any) -> dict[str, Any]:
        arguments = {"path": "again.txt", "content": content}
        answer = send(by, "tools/call", name="files.write", arguments=arguments, **more)
        return answer.json.get("result") or answer.json["error"]

    first, still = call(), call()
    (question,) = waiting(admin)
    for told in (first, still):
        assert told["isError"]
        assert told["_meta"][RESULT]["approval_id"] == question["id"]
        assert "approval_required" in told["content"][0]["text"]
        assert f"/approvals#call-{question['call_id']}" in told["content"][0]["text"]
    _, another = make(admin, "tools:run")
    for stolen in (call(another, requestState=question["id"]), call(content="other", requestState=question["id"])):
        assert stolen["code"] == -32602
    assert program.post(f"/api/approvals/{question['id']}", {"decision": "approve"}).code == "key_not_allowed"
    assert admin.post(f"/api/approvals/{question['id']}", {"decision": "approve"}).json["status"] == "ok"
    done = call()
    assert (done["isError"], done["_meta"][RESULT]["call_id"]) == (False, question["call_id"])
    anew = call()["_meta"][RESULT]
    assert anew["approval_id"] != question["id"], "one yes ran one call"
    admin.post(f"/api/approvals/{anew['approval_id']}", {"decision": "refuse", "reason": "not today"})
    assert "not today" in call()["content"][0]["text"]


def test_the_same_call_made_many_times_at_once_asks_one_question(
    admin: Person, program: Person, threads: ThreadPoolExecutor
) -> None:
    def call() -> dict[str, Any]:
        arguments = {"path": "together.txt", "content": "x"}
        return send(program, "tools/call", name="files.write", arguments=arguments).json["result"]

    told = [answer.result(60) for answer in [threads.submit(call) for _ in range(6)]]
    (question,) = waiting(admin)
    assert {one["_meta"][RESULT]["approval_id"] for one in told} == {question["id"]}
    assert admin.post(f"/api/approvals/{question['id']}", {"decision": "approve"}).json["status"] == "ok"
    assert call()["_meta"][RESULT]["call_id"] == question["call_id"]
    assert not waiting(admin)


@pytest.mark.parametrize(("version", "tag"), [(OLD, "311.1"), (NEW, "312.1")])
def test_who_hangs_up_ends_the_call_and_every_process_of_it(program: Person, version: str, tag: str) -> None:
    script = f"sleep {tag} & sleep {tag}; echo never"
    with sent(program, "tools/call", version, name="shell.run", arguments={"script": script}):
        until(lambda: len(running(tag)) == 2)
    until(lambda: not running(tag))


def test_who_hangs_up_at_once_leaves_nothing_that_waits(program: Person, threads: ThreadPoolExecutor) -> None:
    listening = {"notifications": {"toolsListChanged": True}}

    def come_and_go(number: int) -> None:
        with sent(program, "subscriptions/listen", **listening):
            time.sleep(number % 10 / 100)  # in the middle of whatever it is then

    def is_taken() -> bool:
        with sent(program, "subscriptions/listen", **listening) as line:
            return b"acknowledged" in first_event(line.getresponse())

    list(threads.map(come_and_go, range(80)))
    until(is_taken)


def test_the_end_of_a_key_ends_its_calls_and_whoever_waits_for_news(
    own: WebServer, admin: Person, threads: ThreadPoolExecutor
) -> None:
    key_id, program = make(admin, "tools:run")
    with sent(program, "subscriptions/listen", notifications={"toolsListChanged": True}) as line:
        stream = line.getresponse()
        assert (stream.status, stream.headers["X-Accel-Buffering"]) == (200, "no")
        assert b"subscriptions/acknowledged" in first_event(stream)
        policy(own, POLICY.replace("5m", "4m"))
        assert b"tools/list_changed" in first_event(stream)
        call = threads.submit(send, program, "tools/call", name="shell.run", arguments={"script": "sleep 313.1"})
        until(lambda: running("313.1"))
        assert admin.request("DELETE", f"/api/keys/{key_id}").status == 204
        assert stream.read() == b""
    answer = call.result(SOON)
    assert answer.status == 401 or answer.json["result"]["_meta"][RESULT]["status"] == "cancelled"
    until(lambda: not running("313.1"))


def first_event(stream: http.client.HTTPResponse) -> bytes:
    lines = []
    while line := stream.readline().strip():
        lines.append(line)
    return b"\n".join(lines)


@pytest.mark.parametrize("mode", MODES)
def test_a_client_that_asks_is_told_how_far_its_call_is(program: Person, mode: str) -> None:
    heard: list[tuple[float, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, message))

    async def talk() -> None:
        async with client(program, mode) as there:
            script = "echo first; sleep 1; echo second"
            await there.call_tool("shell.run", {"script": script}, progress_callback=progress)

    asyncio.run(talk())
    assert {message for _, message in heard} <= {"first", "second"}  # the newest: a busy machine may leave one out
    assert [done for done, _ in heard] == sorted({done for done, _ in heard})
    assert heard


def test_what_breaks_in_the_server_is_not_told_to_the_client(own: WebServer, program: Person) -> None:
    database = sqlite3.connect(own.data / "state" / "toolhost.db", timeout=SOON)
    try:
        database.execute("ALTER TABLE approvals RENAME TO gone")
        arguments = {"path": "broken.txt", "content": "x"}
        for version in (OLD, NEW):
            answer = send(program, "tools/call", version, name="files.write", arguments=arguments)
            assert (answer.status, "-32603" in answer.text) == (200, True), answer.text
            assert "Something went wrong in the server" in answer.text
            assert "approvals" not in answer.text
    finally:
        database.execute("ALTER TABLE gone RENAME TO approvals")
        database.close()


def test_the_end_of_the_server_ends_calls_and_streams_each_with_its_last_word(
    own: WebServer, program: Person, threads: ThreadPoolExecutor
) -> None:
    """The last test of the module: its server is gone afterwards."""
    script = {"script": "sleep 314.1"}
    calls = [threads.submit(send, program, "tools/call", version, name="shell.run", arguments=script)
             for version in (OLD, NEW)]  # fmt: skip
    until(lambda: len(running("314.1")) == 2)
    with sent(program, "subscriptions/listen", notifications={"toolsListChanged": True}) as line:
        stream = line.getresponse()
        first_event(stream)
        assert own.end() == 0
        assert b'"result"' in stream.read()
    for call in calls:
        assert '"status":"cancelled"' in call.result(SOON).text
    assert not running("314.1")
