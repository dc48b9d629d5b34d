"""Errands: what a tool asks the host to do for it takes the way of every call, under the policy of its plugin."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import own
from hosted import Hosted
from internet import Internet

CODE = '''
import asyncio, json
from toolhost import ToolContext, ToolError, hookimpl, tool

@tool
async def run(ctx: ToolContext, argv: list[str], stdin: str = "", cwd: str = "") -> dict[str, object]:
    """Run a command."""
    done = await ctx.run(*argv, stdin=stdin, cwd=cwd)
    return {"code": done.exit_code, "out": done.stdout, "err": done.stderr, "ok": done.ok}

@tool
def run_sync(ctx: ToolContext, argv: list[str]) -> str:
    """Run a command from a thread."""
    return ctx.run(*argv).wait().check().stdout

@tool
async def stream(ctx: ToolContext) -> list[str]:
    """Read output as it comes."""
    made = ctx.stream("sh", "-c", "echo one; echo two >&2; exit 3")
    lines = [piece async for piece in made]
    return [*sorted(piece.stream + ":" + piece.text for piece in lines), str(made.completed.exit_code)]

@tool
def stream_sync(ctx: ToolContext) -> list[str]:
    """Read output as it comes, in a thread."""
    return [piece.text for piece in ctx.stream("echo", "one")]

@tool
async def many(ctx: ToolContext, count: int, size: int = 0) -> list[str]:
    """Run many at once; an error is a text."""
    command = ("sleep", "1") if size else ("echo",)
    runs = (ctx.run(*command, *([] if size else [str(n)]), stdin="x" * size) for n in range(count))
    found = await asyncio.gather(*runs, return_exceptions=True)
    return [getattr(one, "code", "") or one.stdout.strip() for one in found]

@tool
async def instead(ctx: ToolContext, argv: list[str]) -> str:
    """Do without what is denied."""
    try:
        return (await ctx.run(*argv)).stdout
    except ToolError as error:
        return f"{error.code}: {error.message}"

@tool
async def sooner(ctx: ToolContext) -> str:
    """Give up on one command, and run another."""
    try:
        await ctx.run("sleep", "77", timeout=0.2)
    except ToolError as error:
        first = error.code
    try:
        async with asyncio.timeout(0.2):
            await ctx.run("sleep", "78")
    except TimeoutError:
        return first + " " + (await ctx.run("echo", "then")).stdout

@tool
async def left(ctx: ToolContext) -> str:
    """Return while a command still runs."""
    waiting = asyncio.ensure_future(started(ctx))
    await asyncio.sleep(0.5)
    return "done"

async def started(ctx):
    await ctx.run("sleep", "79")

@tool
async def fetch(ctx: ToolContext, url: str, method: str = "GET", body: str = "") -> dict[str, object]:
    """Fetch."""
    got = await ctx.fetch(url, method=method, body=body, headers={"X-Mine": "yes"})
    return {"status": got.status, "text": got.text, "url": got.url, "type": got.headers.get("content-type")}

@tool
async def ask(ctx: ToolContext, question: str, choices: list[str] | None = None, times: int = 1) -> list[str]:
    """Ask the person."""
    return [await ctx.ask(question, choices) for _ in range(times)]

@tool
def ask_sync(ctx: ToolContext) -> str:
    """Ask from a thread, and do without an answer."""
    try:
        return ctx.ask("Well?").wait()
    except ToolError as error:
        return error.code

@tool
async def leak(ctx: ToolContext) -> str:
    """Put a secret where it is seen."""
    return (await ctx.run("echo", ctx.secret("token"))).stdout

@tool
async def leak_place(ctx: ToolContext) -> str:
    """The same, in the name of a folder."""
    return (await ctx.run("echo", "here", cwd=ctx.secret("token"))).stdout

@tool
async def keep(ctx: ToolContext) -> str:
    """Put a secret where it is not."""
    return str(len((await ctx.run("cat", stdin=ctx.secret("token"))).stdout))

@tool
def dropped(ctx: ToolContext) -> str:
    """Ask for a command and take that back in one breath, then for one more."""
    import os
    write, said = os.write, []
    os.write = lambda fd, data: said.append(bytes(data)) or len(data)
    try:
        ctx.run("echo", "never")._begin().cancel()
    finally:
        os.write = write
    os.write(4, b"".join(said))
    return ctx.run("echo", "then").wait().stdout

@tool
def nested(ctx: ToolContext) -> str:
    """Answer with what only a reader of JSON gets to the bottom of."""
    import os, time
    value = "[" * 900 + "]" * 900
    part = '{"type":"json","value":%s}' % value
    line = '{"op":"result","id":"%s","content":[%s]}' % (ctx._send.__self__.call_id, part)
    os.write(4, line.encode() + b"\\n")
    time.sleep(15)

@hookimpl
def register_tools(register):
    for one in (run, run_sync, stream, stream_sync, many, instead, sooner, left, fetch, ask, ask_sync, leak,
                leak_place, keep, dropped, nested):
        register(one)
'''

TOOLS = ("run", "run_sync", "stream", "stream_sync", "many", "instead", "sooner", "left", "fetch", "ask", "ask_sync",
         "dropped")  # fmt: skip
POLICY = f"""
runs_code = ["sh"]
[tools]
allow = [{", ".join(f'"{name}"' for name in TOOLS)}]
[commands]
allow = ["echo {{text...}}", "cat [{{read...}}]", "sh -c {{text}}", "sleep {{int}}", "pwd"]
ask = ["touch {{write}}"]
deny = ["echo ... forbidden"]
inside = ["sleep", "yes"]
[paths]
write = ["{{workspace}}"]
[network]
allow = ["ok.com:80", "ok.com:443", "mixed.org:80", "loop.org:80"]
[limits]
wall = "20s"
"""
SECRET = (
    'plugin = "keeper"\n[tools]\nallow = ["leak", "leak_place", "keep", "nested"]\n'
    '[commands]\nallow = ["echo {text...}", "cat"]\n'
)


def plugin(folder: Path, name: str) -> None:
    place = folder / "data" / "plugins" / name
    place.mkdir(parents=True)
    (place / "plugin.toml").write_text(f'name = "{name}"\nversion = "1"\nabout = "A test."\nmodule = "{name}_code"\n')
    (place / f"{name}_code.py").write_text(CODE)


@pytest.fixture(scope="module")
def host() -> Iterator[Hosted]:
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    plugin(folder, "errands")
    plugin(folder, "keeper")
    secret = folder / "token"
    secret.write_text("hunter2-and-more\n")
    own(secret).chmod(0o600)
    keeper = f'{SECRET}[secrets]\ntoken = {{ file = "{secret}" }}\n'
    hosted = Hosted(folder, errands=POLICY, keeper=keeper)
    assert hosted.ask(do="facts")["problems"] == []
    yield hosted
    hosted.close()
    shutil.rmtree(folder, ignore_errors=True)


def call(host: Hosted, name: str, more: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    plugin = "keeper" if name in ("leak", "leak_place", "keep", "nested") else "errands"
    return host.ask(tool=f"{plugin}.{name}", arguments=arguments, workspace=str(host.workspace), **(more or {}))


def value(result: dict[str, Any]) -> Any:
    assert result["status"] == "ok", result["error"]
    return next(part["value"] for part in result["content"] if part["type"] == "json")


def test_a_tool_runs_a_command_that_the_policy_allows(host: Hosted) -> None:
    said = value(call(host, "run", argv=["cat"], stdin="héllo"))
    assert said == {"code": 0, "out": "héllo", "err": "", "ok": True}
    said = value(call(host, "run", argv=["sh", "-c", "echo no >&2; exit 4"]))
    assert (said["code"], said["err"], said["ok"]) == (4, "no\n", False)
    assert call(host, "run_sync", argv=["echo", "from a thread"])["stdout"] == "from a thread\n"
    failed = call(host, "run_sync", argv=["sh", "-c", "echo why >&2; exit 4"])
    assert failed["error"]["code"] == "command_failed"
    assert failed["error"]["message"].endswith("It said: why")


def test_a_command_starts_where_the_tool_says(host: Hosted) -> None:
    own_folder = host.workspace / "inner"
    own_folder.mkdir(exist_ok=True)
    own(own_folder)
    assert value(call(host, "run", argv=["pwd"]))["out"] == "/workspace\n"
    assert value(call(host, "run", argv=["pwd"], cwd="inner"))["out"] == "/workspace/inner\n"
    refused = call(host, "run", argv=["pwd"], cwd="/etc")
    assert refused["error"]["code"] == "cwd_outside_roots"


def test_output_comes_while_the_command_runs(host: Hosted) -> None:
    assert value(call(host, "stream")) == ["stderr:two\n", "stdout:one\n", "3"]
    assert value(call(host, "stream_sync")) == ["one\n"]


def test_an_errand_is_recorded_as_a_call_of_its_own(host: Hosted) -> None:
    result = call(host, "run", argv=["echo", "recorded"])
    records = [one for one in host.records() if one.get("details", {}).get("parent_id") == result["call_id"]]
    assert [one["event"] for one in records] == ["tool.intent", "tool.outcome"]
    intent = records[0]["details"]
    assert intent["plan"]["argv"] == ["/usr/bin/echo", "recorded"]
    assert intent["decision"]["source"].startswith("errands.toml:")
    assert records[0]["call_id"] != result["call_id"]
    parent = [one["event"] for one in host.records() if one["call_id"] == result["call_id"]]
    assert parent == ["tool.intent", "tool.outcome"]
    stored = host.ask(do="record", call=records[0]["call_id"])
    assert (stored["parent_id"], stored["arguments"]) == (result["call_id"], {"run": ["echo", "recorded"]})


def test_what_no_rule_allows_is_denied_to_a_tool_as_to_anybody(host: Hosted) -> None:
    denied = call(host, "run", argv=["id"])
    assert (denied["status"], denied["error"]["code"]) == ("error", "no_rule")
    said = call(host, "instead", argv=["echo", "x", "forbidden"])["stdout"]
    assert said.startswith("rule_deny: errands.toml:")
    assert call(host, "instead", argv=["cat", "/etc/passwd"])["stdout"].startswith("path_outside_roots")
    blocked = [one for one in host.records() if one["event"] == "command_blocked"]
    assert {"parent_id"} <= blocked[-1]["details"].keys()
    assert blocked[-1]["details"]["command"] == ["cat", "/etc/passwd"]


@pytest.mark.parametrize("argv", [[], ["echo", "a\0b"], ["echo", "\ud800"]])
def test_what_is_no_command_is_refused(host: Hosted, argv: list[str]) -> None:
    refused = host.ask(tool="errands.run", arguments={"argv": argv}, workspace=str(host.workspace))
    assert refused["error"]["code"] in ("invalid_errand", "invalid_arguments")


def test_a_person_is_asked_for_exactly_the_command_while_the_tool_waits(host: Hosted) -> None:
    where = str(host.workspace)
    request = {"tool": "errands.run", "arguments": {"argv": ["touch", "made"]}, "workspace": where}
    ran, answered = host.ask(do="gather", requests=[request, {"do": "answer_next"}])["answers"]
    assert value(ran)["code"] == 0
    assert (host.workspace / "made").exists()
    question = answered["question"]
    assert question["plan"]["argv"] == ["/usr/bin/touch", "made"]
    assert question["arguments"] == {"run": ["touch", "made"]}
    assert answered["result"]["status"] == "ok"
    assert answered["result"]["call_id"] == question["call_id"] != ran["call_id"]


def test_a_question_shows_what_the_command_would_read(host: Hosted) -> None:
    arguments = {"argv": ["touch", "read"], "stdin": "rm -rf everything"}
    request = {"tool": "errands.run", "arguments": arguments, "workspace": str(host.workspace)}
    _, answered = host.ask(do="gather", requests=[request, {"do": "answer_next", "refuse": "no"}])["answers"]
    assert answered["question"]["plan"]["stdin"].startswith("rm -rf everything\nsha256:")


def test_a_no_reaches_the_tool_with_its_reason(host: Hosted) -> None:
    request = {"tool": "errands.run", "arguments": {"argv": ["touch", "never"]}, "workspace": str(host.workspace)}
    ran, _ = host.ask(do="gather", requests=[request, {"do": "answer_next", "refuse": "not today"}])["answers"]
    assert ran["error"]["code"] == "approval_refused"
    assert "not today" in ran["error"]["message"]
    assert not (host.workspace / "never").exists()


def test_a_question_ends_with_the_call_that_asked_it(host: Hosted) -> None:
    request = {"tool": "errands.run", "arguments": {"argv": ["touch", "never"]}, "workspace": str(host.workspace)}
    ran, asked = host.ask(do="gather", requests=[request, {"do": "answer_next", "cancel": True}])["answers"]
    assert ran["status"] == "cancelled"
    late = host.ask(do="answer_approval", approval=asked["question"]["id"])
    assert late["error"]["code"] == "plan_changed"
    assert host.ask(do="pending")["approvals"] == []
    assert not (host.workspace / "never").exists()


@pytest.mark.parametrize("more", [{"attended": False}, {"scopes": ["tools:run:errands"]}])
def test_where_nobody_is_there_to_be_asked_an_ask_is_a_no(host: Hosted, more: dict[str, Any]) -> None:
    refused = call(host, "run", more, argv=["touch", "never"])
    assert refused["error"]["code"] == "approval_needs_a_person"
    assert not (host.workspace / "never").exists()


def test_a_call_may_ask_for_so_much_and_no_more(host: Hosted) -> None:
    said = value(call(host, "many", count=12))
    assert said == [str(number) for number in range(12)]
    large = value(call(host, "many", count=30, size=1_000_000))
    assert large[0] == ""
    assert "too_many_errands" in large, "what waits for its turn waits in the host's memory"
    too_long = call(host, "run", argv=["sh", "-c", "yes"])
    assert too_long["error"]["code"] == "limit_exceeded"


def test_a_command_has_no_more_time_than_its_tool_gives_it(host: Hosted) -> None:
    assert call(host, "sooner")["stdout"] == "timeout then\n"


def test_a_command_that_is_taken_back_before_it_began_keeps_nobody_waiting(host: Hosted) -> None:
    assert call(host, "dropped")["stdout"] == "then\n"


def test_a_command_does_not_outlive_the_call_that_asked_for_it(host: Hosted) -> None:
    result = call(host, "left")
    assert result["stdout"] == "done"
    ends = [
        one["details"]["status"]
        for one in host.records()
        if one["event"] == "tool.outcome" and one["details"].get("parent_id") == result["call_id"]
    ]
    assert ends == ["cancelled"]
    events = [one for one in host.records() if one["event"] == "tool.outcome"]
    assert events[-1]["call_id"] == result["call_id"], "the errand's end is recorded before its parent's"


def test_a_secret_is_no_argument_of_a_command(host: Hosted) -> None:
    for name in ("leak", "leak_place"):
        assert call(host, name)["error"]["code"] == "secret_in_command"
    assert "hunter2" not in (host.data / "state" / "audit.log").read_text()
    assert call(host, "keep")["stdout"] == str(len("[redacted]"))


def test_a_value_that_is_too_deep_to_look_for_secrets_in_it_ends_its_worker_alone(host: Hosted) -> None:
    assert call(host, "nested")["error"]["code"] == "worker_protocol"
    assert call(host, "keep")["stdout"] == str(len("[redacted]"))


def test_the_person_s_answer_reaches_the_tool_and_the_record(host: Hosted) -> None:
    result = call(host, "ask", {"say": "née Lovelace"}, question="What is\x1b[2J your name?")
    assert value(result) == ["née Lovelace"]
    asked, answered = [one for one in host.records() if one["event"] in ("tool.asked", "tool.answered")]
    assert asked["call_id"] == answered["call_id"] == result["call_id"]
    assert asked["details"]["question"] == "What is[2J your name?", "what could rewrite a line is not shown"
    assert (answered["details"]["outcome"], answered["details"]["answer"]) == ("answered", "née Lovelace")
    chosen = call(host, "ask", {"say": "b"}, question="Which?", choices=["a", "b"])
    assert value(chosen) == ["b"]


def test_who_does_not_want_to_answer_says_nothing_and_the_tool_is_told(host: Hosted) -> None:
    assert call(host, "ask", {"say": None}, question="Well?")["error"]["code"] == "inquiry_declined"
    assert call(host, "ask_sync", {"say": None})["stdout"] == "inquiry_declined"


@pytest.mark.parametrize("more", [{"attended": False}, {"scopes": ["tools:run:errands"]}])
def test_where_nobody_is_there_a_tool_s_question_is_refused(host: Hosted, more: dict[str, Any]) -> None:
    assert call(host, "ask", {"say": "x", **more}, question="Well?")["error"]["code"] == "nobody_to_ask"


@pytest.mark.parametrize(
    "malformed",
    [
        {"question": ""},
        {"question": "\u202e"},
        {"question": "x", "choices": ["a", "a"]},
        {"question": "x", "choices": ["a", ""]},
        {"question": "x", "choices": [str(number) for number in range(21)]},
    ],
)
def test_what_is_no_question_is_refused(host: Hosted, malformed: dict[str, Any]) -> None:
    assert call(host, "ask", {"say": "x"}, **malformed)["error"]["code"] == "invalid_errand"


def test_a_call_may_ask_a_person_so_often_and_no_more(host: Hosted) -> None:
    assert len(value(call(host, "ask", {"say": "x"}, question="Well?", times=16))) == 16
    assert call(host, "ask", {"say": "x"}, question="Well?", times=17)["error"]["code"] == "too_many_inquiries"


def test_a_question_of_a_tool_ends_with_its_call(host: Hosted) -> None:
    ended = call(host, "ask", {"cancel": "tool.asked"}, question="Well?")
    assert ended.get("cancelled") or ended["status"] == "cancelled"
    assert host.records()[-1]["event"] == "tool.outcome"
    assert host.records()[-2]["details"]["outcome"] == "ended"


def test_a_server_that_the_policy_does_not_name_is_not_fetched_from(host: Hosted) -> None:
    denied = call(host, "fetch", url="https://evil.com/")
    assert denied["error"]["code"] == "destination_not_allowed"
    assert call(host, "fetch", url="ftp://ok.com/")["error"]["code"] == "bad_url"
    assert call(host, "fetch", url="http://ok.com/", method="get it")["error"]["code"] == "invalid_errand"


@pytest.fixture(scope="module")
def online_host(internet: Internet) -> Iterator[Hosted]:
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    plugin(folder, "errands")
    hosted = Hosted(folder, prefix=internet.prefix(), errands=POLICY)
    assert hosted.ask(do="facts")["problems"] == []
    yield hosted
    hosted.close()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_tool_fetches_from_a_server_that_the_policy_names(online_host: Hosted) -> None:
    result = call(online_host, "fetch", url="http://ok.com/a?b=c")
    said = value(result)
    assert (said["status"], said["text"]) == (200, "hello from ok.com\n")
    assert value(call(online_host, "fetch", url="https://ok.com/"))["text"] == "hello from ok.com\n"
    made = [one for one in online_host.records() if one["event"] == "egress.connection"]
    assert made[0]["details"]["host"] == "ok.com"
    assert made[0]["call_id"] != result["call_id"]


def test_a_redirect_and_an_address_are_judged_like_the_first(online_host: Hosted) -> None:
    away = call(online_host, "fetch", url="http://ok.com/away")
    assert away["error"]["code"] == "destination_not_allowed"
    private = call(online_host, "fetch", url="http://loop.org/")
    assert private["error"]["code"] == "private_address"
    big = call(online_host, "fetch", url="http://ok.com/big")
    assert len(value(big)["text"]) < 1 << 20
