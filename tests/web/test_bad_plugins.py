"""Plugins that mean harm or are broken: each is contained, named with its reason, and nobody else notices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import becomes, own
from webserver import Person, WebServer

HEAD = """
import os, socket, sys, time
from toolhost import ToolContext, hookimpl, tool

TOOLS = []

def t(function):
    TOOLS.append(tool(function))
    return function

@hookimpl
def register_tools(register):
    for one in TOOLS:
        register(one)

@t
def act() -> str:
    "Works."
    return "fine"
"""
SCHEMA = """
import pydantic
from typing import Annotated

@t
def wide(x: Annotated[str, pydantic.WithJsonSchema({schema})]) -> str:
    "Take something."
    return x
"""

BROKEN = {
    "raises": ("raise RuntimeError('no luck')", "tool_raised", "RuntimeError: no luck"),
    "twice": (HEAD + "TOOLS.append(act)\n", "duplicate_tool", "Two tools are named 'act'"),
    "claims": ("", "name_taken", "The name good belongs to the plugin in"),
    "remote_ref": (
        HEAD + SCHEMA.replace("{schema}", "{'$ref': 'http://127.0.0.1:1/x'}"),
        "invalid_tool",
        "other documents are not fetched",
    ),
    "backtracks": (
        HEAD + SCHEMA.replace("{schema}", "{'type': 'string', 'pattern': '(a+)+\\\\1$'}"),
        "invalid_tool",
        "is not a JSON Schema",
    ),
}
"""What cannot be loaded: code, and the code and words of why."""

OTHER = "PLUGINS/good/good_code.py"
ACTS = {
    "megabyte": ("return 'x' * 2_000_000", "limit", "result_too_large"),
    "unserialisable": ("return object()", "error", "unserialisable_result"),
    "surrogates": ("return {'half': chr(0xD800)}", "ok", "\ufffd"),
    "prints": ("os.write(1, b'{\"op\": \"result\"}\\n'); return 'real'", "ok", "real"),
    "network": ("return str(socket.create_connection(('127.0.0.1', 9), 2))", "error", "tool_raised"),
    "reads_another": (f"return open({OTHER!r}).read()", "error", "tool_raised"),
    "forks": ("os.fork(); return 'one of two'", "ok or worker_protocol", ""),
    "forges": (
        'os.write(4, b\'{"op": "result", "id": "c_1", "content": []}\\n\'); time.sleep(20)',
        "error",
        "worker_protocol",
    ),
}
"""What a tool does, and what its caller is told: status, and a code or what is shown."""


def bad(plugins: Path) -> str:
    code = HEAD
    for name, (body, _, _) in ACTS.items():
        code += f"\n@t\ndef {name}() -> object:\n    'Do it.'\n    {body}\n".replace("PLUGINS", str(plugins))
    return code


@pytest.fixture(scope="module")
def ada() -> Iterator[Person]:
    server = WebServer(TOOLHOST_API_RATE="10000/1m", TOOLHOST_CHAT_RATE="10000/1m")
    plugins, policies = server.data / "plugins", server.data / "policies"
    policies.mkdir(parents=True)
    codes = {name: code for name, (code, _, _) in BROKEN.items()}
    codes |= {"good": HEAD, "bad": bad(plugins), "exits": HEAD + "@t\ndef out() -> None:\n    'Go.'\n    os._exit(7)\n"}
    for name, code in codes.items():
        folder = plugins / name
        folder.mkdir(parents=True)
        told = "good" if name == "claims" else name
        module = f'module = "{name}_code"\n' if code else '[[tools]]\nname = "x"\nabout = "X."\ncommand = "ls"\n'
        (folder / "plugin.toml").write_text(f'name = "{told}"\nversion = "1"\nabout = "A test."\n{module}')
        (folder / f"{name}_code.py").write_text(code)
        allowed = ["act", "out", *ACTS]
        (policies / f"{name}.toml").write_text(f'plugin = "{name}"\n[tools]\nallow = {json.dumps(allowed)}\n')
    # Whoever comes first has a name; of two folders that is the first by the alphabet.
    (plugins / "claims").rename(plugins / "zclaims")
    own(server.data)
    try:
        yield server.start().set_up()
    finally:
        server.close()


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_loaded_is_named_with_its_reason(ada: Person, name: str) -> None:
    _, code, words = BROKEN[name]
    shown = "good (in zclaims)" if name == "claims" else name
    record = next(one for one in ada.get("/api/plugins").json["plugins"] if one["name"] == shown)
    assert (record["state"], record["code"]) == ("quarantined", code), record
    assert words in record["reason"]
    assert ada.call(f"{name}.act").status in (403, 404)
    assert ada.call("good.act").json["stdout"] == "fine"


@pytest.mark.parametrize("name", ACTS)
def test_whatever_a_tool_does_its_caller_is_told_and_nobody_else_notices(ada: Person, name: str) -> None:
    _, status, said = ACTS[name]
    result = ada.call(f"bad.{name}").json
    if status == "ok or worker_protocol":
        assert result["status"] == "ok" or result["error"]["code"] == "worker_protocol", result
    else:
        assert result["status"] == status, result
        assert said in json.dumps(result["content"], ensure_ascii=False) or result["error"]["code"] == said
    again = ada.call("bad.act").json
    if name == "forks" and again["status"] == "error":  # the answer of the other one came only now, to this call
        assert again["error"]["code"] == "worker_protocol"
        again = ada.call("bad.act").json
    assert again["stdout"] == "fine", "the plugin itself goes on"
    assert ada.call("good.act").json["stdout"] == "fine"


def test_a_plugin_whose_calls_fail_by_its_own_fault_is_named_with_the_last_of_them(ada: Person) -> None:
    for name in ("unserialisable", "forges"):
        ada.call(f"bad.{name}")
    record = next(one for one in ada.get("/api/plugins").json["plugins"] if one["name"] == "bad")
    assert record["state"] == "active"
    assert record["faults"]["count"] >= 2
    assert (record["faults"]["tool"], record["faults"]["code"]) == ("bad.forges", "worker_protocol")
    assert "worker_protocol of bad.forges" in ada.browse("GET", "/admin/plugins").text
    assert "worker_protocol of bad.forges" in ada.server.run("plugin", "list").stdout
    good = next(one for one in ada.get("/api/plugins").json["plugins"] if one["name"] == "good")
    assert good["faults"] is None


def test_what_keeps_dying_is_out_of_service_for_everybody_until_it_is_accepted(ada: Person) -> None:
    for _ in range(5):
        assert ada.call("exits.out").json["error"]["code"] == "worker_died"
    assert ada.call("exits.act").status == 403
    assert ada.call("good.act").json["stdout"] == "fine"
    page = ada.browse("GET", "/admin/plugins").text
    listed = ada.server.run("plugin", "list").stdout
    for shown in (page, listed):
        assert "Its worker failed 5 times in a row; the last time" in shown
        for name, (_, _, words) in BROKEN.items():
            assert name in shown
            assert words.partition("'")[0] in shown.replace("&#39;", "'")
    assert ada.server.run("plugin", "accept", "exits", "--yes").returncode == 0
    assert becomes(lambda: ada.call("exits.act").json.get("stdout") == "fine", within=60)
