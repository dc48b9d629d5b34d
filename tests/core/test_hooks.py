"""The hooks of trusted extensions, each by a sync and an async implementation; what they may, and what they may not."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import becomes
from hosted import Hosted
from warmth import warm
from webserver import Person, WebServer

from toolhost import hookspecs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
POLICY = """
[commands]
allow = ["echo {text...}", "sh -c {text}", "sh -c {text} {text}", "awk {text}"]
ask = [{ run = "cat {text...}", standing = true }]
[paths]
write = ["{workspace}"]
"""
POLICY = 'runs_code = ["sh"]\n' + POLICY


def hooked(folder: Path, extensions: str) -> Hosted:
    prefix = ("env", f"TOOLHOST_EXTENSIONS={extensions}", f"PYTHONPATH={folder}")
    shutil.copy(HERE / "hook_probe.py", folder)
    folder.chmod(0o755)
    return Hosted(folder, prefix=prefix, probe=POLICY)


@pytest.fixture(scope="module", params=["now", "later"])
def host(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    made = hooked(folder, f"hook_probe:{request.param}")
    assert made.ask(do="facts")["problems"] == []
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


def told(host: Hosted) -> list[list[Any]]:
    file = host.data / "told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_hook_startup(host: Hosted) -> None:
    assert told(host)[0][:2] == ["startup", "Host"]


@pytest.mark.parametrize("how", ["now", "later"])
def test_hook_shutdown(space: Path, how: str) -> None:
    made = hooked(space, f"hook_probe:{how}")
    made.ask(do="facts")
    made.close()
    assert ["shutdown", "ok"] in told(made)


def test_hook_filter_tools(host: Hosted) -> None:
    assert host.run("awk", "{print}")["error"]["code"] == "unknown_tool"
    assert host.run("echo", "x")["status"] == "ok"
    for name in ("greedy", "broken"):
        assert host.run("echo", "x", actor=name)["error"]["code"] == "unknown_tool", "who adds a tool leaves none"


def test_hook_prepare_arguments(host: Hosted) -> None:
    result = host.run("echo", "rename", "it")
    assert result["stdout"] == "renamed it\n"
    intent = next(one for one in host.records() if one["call_id"] == result["call_id"])
    assert intent["details"]["asked"] == {"words": ["rename", "it"]}
    assert intent["details"]["plan"]["argv"][1:] == ["renamed", "it"]


def test_hook_tighten_sandbox(host: Hosted) -> None:
    assert host.run("sh", "-c", "echo > made", "wide")["status"] == "ok"
    narrow = host.run("sh", "-c", "echo > made", "narrow")
    assert narrow["status"] == "error", "its folder is read-only"
    assert narrow["sandbox"]["limits"]["processes"]["value"] == 7
    for word in ("widen", "stumble"):
        denied = host.run("echo", word)
        assert (denied["status"], denied["error"]["code"]) == ("denied", "extension_failed")
        assert host.explain("echo", word)["decision"]["outcome"] == "deny", "explain says what a call gets"


def test_hook_authorize_tool_call(host: Hosted) -> None:
    denied = host.run("echo", "forbidden")
    assert (denied["status"], denied["error"]["code"]) == ("denied", "house_rule")
    asked = host.run("echo", "doubtful")
    assert (asked["status"], asked["decision"]["code"]) == ("approval_required", "house_doubt")
    answered = host.ask(do="answer_approval", approval=asked["approval_id"])
    assert answered["stdout"] == "doubtful\n"
    assert host.run("cat", "x")["status"] == "approval_required", "an allow lifts nothing"
    assert host.run("env", "careless")["status"] == "denied", "nor a deny"
    failed = host.run("echo", "gatecrash")
    assert (failed["status"], failed["error"]["code"]) == ("denied", "extension_failed")


def test_where_an_extension_asks_too_no_yes_for_longer_answers(host: Hosted) -> None:
    plain, doubtful = (host.run("cat", word)["approval_id"] for word in ("plain", "doubtful"))
    scopes = {one["id"]: one["scopes"] for one in host.ask(do="pending")["approvals"]}
    assert "standing" in scopes[plain]
    assert scopes[doubtful] == ["once"]
    wider = host.ask(do="answer_approval", approval=doubtful, scope="standing")
    assert wider["error"]["code"] == "scope_not_offered"
    assert host.ask(do="answer_approval", approval=doubtful)["status"] == "error", "it ran: there is no such file"


def test_hook_tool_call_wrapper(host: Hosted) -> None:
    before = len(told(host))
    assert host.run("echo", "x")["status"] == "ok"
    assert host.run("sh", "-c", "exit 3")["status"] == "error"
    steps = [one for one in told(host)[before:] if one[0] in ("before", "after")]
    assert steps == [["before", "probe.echo"], ["after", "probe.echo"], ["before", "probe.sh"], ["after", "probe.sh"]]
    failed = host.run("echo", "unwrapped")
    assert (failed["status"], failed["error"]["code"], failed["stdout"]) == ("error", "extension_failed", "")


def test_hook_transform_result(host: Hosted) -> None:
    masked = host.run("echo", "please mask me now")
    assert (masked["status"], masked["stdout"]) == ("ok", "please *** now\n")
    failed = host.run("sh", "-c", "echo whitewash; exit 3")
    assert (failed["status"], failed["error"]["code"], failed["stdout"]) == ("error", "extension_failed", "")
    dropped = host.run("echo", "drop me")
    assert (dropped["status"], dropped["error"]["code"], dropped["stdout"]) == ("error", "extension_failed", "")
    seen = host.ask(do="events", tool="probe.echo", arguments={"words": ["mask me"]}, workspace=str(host.workspace))
    assert "tool.started" in seen["events"]
    assert "tool.output" not in seen["events"], "what is shown as it comes could not be masked"


def test_hook_track_event(host: Hosted) -> None:
    for _ in range(4):
        result = host.run("echo", "x")
    if told(host)[0][2] == "Now":  # it fails each time
        assert becomes(lambda: sum(one[0] == "event" for one in told(host)) == 5, within=30)
    else:
        assert becomes(lambda: ["event", "tool.outcome", result["call_id"]] in told(host), within=30)
    log = [one["event"] for one in host.records() if one["call_id"] == result["call_id"]]
    assert log == ["tool.intent", "tool.outcome"], "whatever an observer does, the log has it"


def test_hook_policy_loaded(host: Hosted) -> None:
    loaded = ["policy", "probe", True, ["wider"]]
    assert becomes(lambda: loaded in told(host), within=30), "of what was there before it began, it hears too"


def test_hook_validate_policy(host: Hosted) -> None:
    made = [
        host.write("reaches", '[network]\nallow = ["example.org:443"]\n'),
        host.write("stumbles", '[tools]\nallow = ["x"]\n'),
    ]
    try:
        problems = host.ask(do="reload")["problems"]
        assert problems[0] == "reaches.toml:3:1: house_rule: Not in this house."
        assert problems[1].startswith("stumbles.toml:1:1: extension_failed: ")
        assert host.run("echo", "x")["status"] == "ok", "only that plugin is without its policy"
    finally:
        for file in made:
            file.unlink()
        assert host.ask(do="reload")["problems"] == []


def test_hook_actor_allowed(host: Hosted) -> None:
    assert host.run("echo", "x", actor="banned")["error"]["code"] == "house_ban"
    assert host.run("sh", "-c", "true", actor="banned")["status"] == "ok"
    assert host.run("echo", "x", actor="stumbles")["error"]["code"] == "extension_failed"


def test_hook_before_exec(host: Hosted) -> None:
    done = host.run("echo", "x")
    assert becomes(lambda: ["begins", done["call_id"], "command"] in told(host), within=30)
    denied = host.run("echo", "forbidden")
    assert ["begins", denied["call_id"], "command"] not in told(host)


def test_hook_after_exec(host: Hosted) -> None:
    failed = host.run("sh", "-c", "exit 3")
    assert becomes(lambda: ["ends", failed["call_id"], "error"] in told(host), within=30)


def test_hook_tool_call_failed(host: Hosted) -> None:
    failed = host.run("sh", "-c", "exit 3", "mystery")
    assert (failed["status"], failed["error"]["code"], failed["exit_code"]) == ("error", "tool_failed", 3)
    assert (failed["error"]["message"], failed["error"]["hint"]) == ("It rests.", "Come on Monday.")
    assert "exit code 3" in host.run("sh", "-c", "exit 3", "puzzle")["error"]["message"], (
        "its own failure changes nothing"
    )
    assert host.run("echo", "mystery")["error"] is None


@pytest.fixture(scope="module", params=["", "1"], ids=["now", "later"])
def named(request: pytest.FixtureRequest) -> Iterator[WebServer]:
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    shutil.copy(HERE / "hook_probe.py", folder)
    folder.chmod(0o755)
    variables = {"TOOLHOST_EXTENSIONS": "hook_probe:named", "PYTHONPATH": str(folder), "LATER": request.param}
    server = WebServer(**variables)
    try:
        yield server.start()
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


def test_hook_actor_from_request(named: WebServer) -> None:
    somebody = Person(named)
    me = somebody.get("/api/auth/me", headers={"X-Test-User": "grace"})
    assert (me.status, me.json["user"]["username"], me.json["user"]["role"]) == (200, "grace", "user")
    assert somebody.get("/api/auth/me").status == 401
    assert somebody.get("/api/auth/me", headers={"X-Test-User": "fails"}).status == 401
    both = {"X-Test-User": "grace", "Authorization": "Bearer nothing"}
    assert somebody.get("/api/auth/me", headers=both).status == 401, "a bearer is judged by itself"
    asked = {"X-Test-User": "grace"}
    made = somebody.request("POST", "/api/conversations", {"title": "mine"}, headers=asked)
    assert made.status == 201
    other = {"X-Test-User": "ada"}
    assert somebody.get(f"/api/conversations/{made.json['id']}", headers=other).status == 404


def test_hook_register_commands(named: WebServer) -> None:
    assert named.run("extension").stdout == "whoami           Say who runs it.\n"
    ran = named.run("extension", "whoami", "hello", "--loud")
    assert ran.stdout == f"hello! True {named.data}\n", "and root runs none of it"
    missing = named.run("extension", "whoareyou")
    assert (missing.returncode, "[unknown_command]" in missing.stderr) == (2, True), missing.stderr


def test_hook_register_routes(named: WebServer) -> None:
    somebody = Person(named)
    assert somebody.get("/-/probe/about").json == {"health": "ok"}
    assert somebody.get("/-/probe/inner").status == 303, "a route that says nothing is for people who are signed in"
    assert somebody.get("/-/probe/inner", headers={"X-Test-User": "grace"}).json == {"inner": True}


def test_a_request_that_an_extension_refuses_is_refused_whatever_the_role(named: WebServer) -> None:
    banned = Person(named).get("/api/conversations", headers={"X-Test-User": "banned"})
    assert (banned.status, banned.code) == (403, "house_ban")
    assert Person(named).get("/api/auth/me", headers={"X-Test-User": "banned"}).status == 200
    fails = Person(named).get("/api/auth/me", headers={"X-Test-User": "stumbles"})
    assert (fails.status, fails.code) == (403, "extension_failed")


def test_a_change_of_a_policy_is_told_with_what_it_grants_more_or_less(named: WebServer) -> None:
    (named.data / "policies" / "system.toml").write_text('plugin = "system"\n[commands]\nallow = ["uptime"]\n')
    said = ["policy", "system", True, ["narrower"]]
    assert becomes(lambda: said in [json.loads(line) for line in (named.data / "told").read_text().splitlines()], 60)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise ValueError('broken')", "ValueError: broken"),
        ("from toolhost import hookimpl\n@hookimpl\ndef startup(hots): pass", "hots"),
        ("from toolhost import hookimpl\n@hookimpl\nasync def filter_tools(tools): pass", "coroutine"),
        ("from toolhost import hookimpl\n@hookimpl\ndef register_tools(register): pass", "sandbox"),
        ("from toolhost import hookimpl\n@hookimpl\ndef startup(host): raise ValueError('no')", "startup"),
        ("def extension(settings): raise ValueError('unset')", "unset"),
    ],
)
def test_a_host_without_one_of_its_extensions_does_not_start(space: Path, code: str, why: str) -> None:
    (space / "broken_extension.py").write_text(code)
    warm(space / "data")
    space.chmod(0o755)
    environment = {**os.environ, "TOOLHOST_DATA": str(space / "data"), "TOOLHOST_EXTENSIONS": "broken_extension"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "toolhost"), "tools"],
        env={**environment, "PYTHONPATH": str(space)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )
    assert done.returncode != 0
    assert "[extension_failed]" in done.stderr
    assert why in done.stderr


HOOKS = sorted(name for name in hookspecs.__all__ if hasattr(getattr(hookspecs, name), "toolhost_spec"))


def test_every_hook_has_a_test_a_sync_and_an_async_implementation() -> None:
    tree = ast.parse((HERE / "hook_probe.py").read_text())
    kinds: dict[str, set[type]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.decorator_list:
            kinds.setdefault(node.name, set()).add(type(node))
    for name in HOOKS:
        if name in hookspecs.WORKER_HOOKS:
            continue
        assert f"test_hook_{name}" in globals(), f"{name} has no test"
        only = {ast.FunctionDef} if name in hookspecs.SYNC_HOOKS else {ast.FunctionDef, ast.AsyncFunctionDef}
        assert kinds[name] >= only, f"{name} is not tried sync and async"


def test_every_hook_is_documented_with_its_arguments() -> None:
    page = (ROOT / "docs" / "reference" / "hooks.md").read_text()
    documented = re.findall(r"^### `(\w+)\((.*)\)`$", page, re.MULTILINE)
    assert dict(documented) == {
        name: ", ".join(inspect.signature(getattr(hookspecs, name)).parameters) for name in HOOKS
    }
