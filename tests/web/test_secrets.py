"""A secret that tools print in every way they can is nowhere outside: no answer, event, page, log or file."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from owners import SERVICE_USER, give
from warmth import warm
from webserver import Person, WebServer

VALUE = "cAnArY/+ \"'é-7f3a9b51"
LINE = "MIIEvQIBADANBgkqhkiG9w0cAnArY"
FILE = f"-----BEGIN KEY-----\n{LINE}\n-----END KEY-----\n"

COMMANDS = """
name = "spill"
version = "1"
about = "A test."
[[tools]]
name = "sh"
about = "Runs a script."
command = "bash -c {script}"
input.script = { type = "string" }
"""

WORKER = """
import asyncio, base64, os, sys
from toolhost import ToolContext, ToolError, ToolOutput, hookimpl, tool

@tool
def say(ctx: ToolContext) -> ToolOutput:
    "Says it in every way."
    token, key = ctx.secret("token"), ctx.secret("key")
    ctx.progress(1, 2, f"at {token}")
    ctx.log(f"logged {token}")
    for char in token:
        print(char, end="", flush=True)
    print("x" * 70000 + token + key, file=sys.stderr, flush=True)
    return ToolOutput(text=f"{token} {key}", data={token: [token.encode().hex(), {"k": key}], "n": len(token)})

@tool
def fail(ctx: ToolContext) -> str:
    "Fails with it."
    raise ValueError("x" * 965 + ctx.secret("token"))

@tool
def tell(ctx: ToolContext) -> str:
    "Fails as told."
    raise ToolError(ctx.secret("token"), code="told")

@tool
def die(ctx: ToolContext) -> str:
    "Dies with it."
    print("the end " + ctx.secret("token"), file=sys.stderr, flush=True)
    os._exit(3)

@tool
def other(ctx: ToolContext) -> str:
    "Asks for what it was not given."
    return ctx.secret("other")

@tool
def seen(ctx: ToolContext) -> list[int]:
    "Only what says that it was there."
    return [len(ctx.secret("token")), len(ctx.secret("key"))]

TOOLS = [say, fail, tell, die, other, seen]

@hookimpl
def register_tools(register):
    for each in TOOLS:
        register(each)
"""

WAYS = """
cat /run/secrets/token; echo
cat /run/secrets/key >&2
base64 -w0 /run/secrets/token; echo; base64 /run/secrets/key
xxd -p /run/secrets/token
while read -rn1 c; do printf %s "$c"; sleep 0.01; done < /run/secrets/token
ls -l /run/secrets | cut -c1-10
wc -c < /run/secrets/token
env; tr '\\0' ' ' < /proc/self/cmdline; tr '\\0' ' ' < /proc/1/cmdline
echo no >> /run/secrets/token; touch /run/secrets/new
"""


def forms() -> list[bytes]:
    data = VALUE.encode()
    made = [VALUE, json.dumps(VALUE)[1:-1], quote(VALUE), quote(VALUE, safe=""), data.hex(), LINE]
    return [*(one.encode() for one in made), base64.b64encode(data)[:20], base64.b64encode(FILE.encode())[28:52]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WebServer, Person]]:
    server = WebServer(CANARY=VALUE)
    warm(server.data)
    (server.data / "state" / "tool-roots").unlink()  # its own are looked through too
    plugins = server.data / "plugins"
    policies = server.data / "policies"
    for folder in (plugins / "spill", plugins / "leaky", policies):
        folder.mkdir(parents=True, exist_ok=True)
    (plugins / "spill" / "plugin.toml").write_text(COMMANDS)
    manifest = 'name = "leaky"\nversion = "1"\nabout = "A test."\nmodule = "leaky_plugin"\n'
    (plugins / "leaky" / "plugin.toml").write_text(manifest)
    (plugins / "leaky" / "leaky_plugin.py").write_text(WORKER)
    key = server.folder / "key.pem"
    key.write_text(FILE)
    key.chmod(0o600)
    secrets = f'[secrets]\ntoken = {{ env = "CANARY" }}\nkey = {{ file = "{key}" }}\n'
    programs = ["bash", "cat", "base64", "xxd", "sleep", "ls", "cut", "wc", "env", "tr", "touch"]
    (policies / "spill.toml").write_text(
        f'plugin = "spill"\nruns_code = ["bash", "env"]\n[commands]\nallow = ["bash -c {{text}}"]\n'
        f"inside = {json.dumps(programs[1:])}\n{secrets}"
    )
    tools = '["say", "fail", "tell", "die", "other", "seen"]'
    (policies / "leaky.toml").write_text(f'plugin = "leaky"\n[tools]\nallow = {tools}\n{secrets}')
    try:
        for each in (server.data, key):
            give(each, SERVICE_USER)
        server.start()
        yield server, server.set_up()
    finally:
        server.close()


def test_a_secret_shows_nowhere_however_a_tool_prints_it(served: tuple[WebServer, Person]) -> None:
    server, ada = served
    said: list[str] = []
    answer = ada.call("spill.sh", script=WAYS)
    said.append(answer.text)
    out = answer.json["stdout"]
    assert out.count("[redacted]") >= 4, out
    assert f"\n{len(VALUE.encode())}\n" in out, "the tool itself has it, whole"
    assert "-r--------" in out
    assert "Read-only file system" in answer.json["stderr"]
    assert ada.call("leaky.seen").json["content"][0]["value"] == [len(VALUE), len(FILE) - 1]
    for tool in ("say", "fail", "tell", "other", "die"):
        said.append(ada.call(f"leaky.{tool}").text)
    assert "secret_not_granted" in said[-2]
    conversation = ada.conversation()
    with ada.socket() as socket:
        socket.send("message", conversation_id=conversation, text="/spill.sh " + shlex.quote(f"script={WAYS}"))
        said.append(json.dumps(socket.to_the_end(), ensure_ascii=False))
        socket.send("message", conversation_id=conversation, text="/leaky.say")
        said.append(json.dumps(socket.to_the_end(), ensure_ascii=False))
    assert "[redacted]" in said[-1]
    said.append(ada.get(f"/c/{conversation}").text)
    assert "[redacted]" in said[-1]
    project = server.folder / "project"
    project.mkdir()
    project.chmod(0o777)
    for words in (["spill.sh", f"script={WAYS}"], ["leaky.say"], ["leaky.tell"], ["leaky.die", "--output", "json"]):
        done = server.run("call", *words, "--workspace", str(project))
        said += [done.stdout, done.stderr]
        assert "[redacted]" in said[-1] + said[-2]
    shown = server.run("policy", "explain", "spill.sh", "script=true", "--workspace", str(project))
    said.append(shown.stdout)
    assert "secrets: key token" in said[-1], shown.stderr
    assert server.end() == 0  # everything is written now
    files = [path for path in server.data.rglob("*") if path.is_file()]
    assert {"audit.log", "toolhost.db"} <= {path.name for path in files}
    everything = [text.encode() for text in said] + [path.read_bytes() for path in (*files, server.log)]
    for form in forms():
        assert not any(form in data for data in everything), form
