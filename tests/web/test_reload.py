"""Policies that change while a server runs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from driver import own
from webserver import Person, WebServer

ALLOWING = """plugin = "shell"
runs_code = ["bash"]
[commands]
allow = ["bash -c {text}"]
inside = ["sleep", "touch"]
[paths]
write = ["{workspace}"]
[limits]
calls = 1
"""


@pytest.fixture(scope="module")
def server(own: WebServer) -> WebServer:
    """A server of these tests alone: what they put back is followed a moment later, which others would notice."""
    return own


@pytest.fixture(scope="module")
def ada(admin: Person) -> Person:
    """Its administrator."""
    return admin


@pytest.fixture
def policies(server: WebServer) -> Iterator[Path]:
    """The server's policies folder, put back afterwards."""
    folder, kept = server.data / "policies", server.folder / "kept"
    shutil.copytree(folder, kept)
    yield folder
    for file in folder.glob("*.toml"):
        if file.name != "lock.toml" and not (kept / file.name).exists():
            file.unlink()
    for file in kept.glob("*.toml"):
        if not (folder / file.name).exists() or (folder / file.name).read_bytes() != file.read_bytes():
            (folder / file.name).write_bytes(file.read_bytes())
    shutil.rmtree(kept)


def until(ask: Callable[[], Any], expected: Any) -> None:
    """Ask until the answer is the expected one."""
    deadline = time.monotonic() + 30
    while (got := ask()) != expected:
        assert time.monotonic() < deadline, got


def events(server: WebServer, name: str) -> list[dict[str, Any]]:
    return [record["details"] for record in server.audit() if record["event"] == name]


def test_what_is_taken_away_is_refused_and_what_is_given_back_is_served(
    server: WebServer, ada: Person, policies: Path
) -> None:
    file = policies / "system.toml"
    whole = file.read_text()
    until(lambda: ada.call("system.uname").json["status"], "ok")
    file.write_text(whole.replace('"uname [-a|--all]",', ""))
    until(lambda: ada.call("system.uname").json["status"], "denied")
    file.unlink()
    until(lambda: "system.uname" in ada.get("/api/tools").text, False)
    # As an editor saves: another file takes the name.
    (policies / "new").write_text(whole)
    (policies / "new").rename(file)
    until(lambda: "system.uname" in ada.get("/api/tools").text, True)
    assert ada.call("system.uname").json["status"] == "ok"
    assert {"system": None} in [details["policies"] for details in events(server, "policy.reloaded")]


def test_a_tool_that_a_plugin_does_not_have_is_a_finding_for_administrators(
    server: WebServer, ada: Person, policies: Path
) -> None:
    file, reloads = policies / "system.toml", len(events(server, "policy.reloaded"))
    file.write_text(file.read_text() + '\n[tools]\ndeny = ["uptme"]\n')

    def findings() -> list[str]:
        (entry,) = (entry for entry in ada.get("/api/policies").json["policies"] if entry["plugin"] == "system")
        return [found["message"] for found in entry["findings"]]

    until(lambda: len(events(server, "policy.reloaded")) > reloads, True)
    assert findings() == ["The plugin system has no tool `uptme`, so this decides nothing. Did you mean `uptime`?"]
    assert "has no tool" in ada.browse("GET", "/admin/policies").text
    file.write_bytes((server.folder / "kept" / "system.toml").read_bytes())
    until(lambda: len(events(server, "policy.reloaded")) > reloads + 1, True)
    assert findings() == []


def test_a_file_that_breaks_leaves_what_it_said_before_and_is_reported_once(
    server: WebServer, ada: Person, policies: Path
) -> None:
    file = policies / "system.toml"
    file.write_text(file.read_text().replace("[commands]", "[commands]\nallows = []"))
    until(lambda: any("allows" in str(details) for details in events(server, "policy.rejected")), True)
    assert ada.call("system.uname").json["status"] == "ok"
    assert server.log.read_text().count("`allows`") == 1
    assert "system.toml:" in server.log.read_text()

    # The same on the page for administrators, in the API, and of the doctor beside the server.
    found = ada.get("/api/policies").json
    entry = next(entry for entry in found["policies"] if entry["plugin"] == "system")
    assert (entry["state"], entry["problems"][0]["code"]) == ("last_good", "unknown_key")
    assert found["problems"] == entry["problems"]
    assert found["followed"] is True
    assert entry["digest"].startswith("sha256:")
    page = ada.browse("GET", "/admin/policies")
    assert page.status == 200
    assert f"system.toml:{entry['problems'][0]['line']}:" in page.text
    assert "last good version in force" in page.text
    until(lambda: "The running server keeps in force what the file said since 20" in doctor(server), True)
    file.write_bytes((server.folder / "kept" / "system.toml").read_bytes())
    until(lambda: ada.get("/api/policies").json["problems"], [])
    assert "running server" not in doctor(server)


def doctor(server: WebServer) -> str:
    """What `toolhost doctor` says of the policies."""
    done = server.run("doctor", "--json")
    checks = [check for layer in json.loads(done.stdout)["layers"] for check in layer["checks"]]
    return "\n".join(check["message"] for check in checks if check["name"] == "policies")


def test_policies_and_plugins_are_shown_to_those_who_look_after_the_server_alone(
    server: WebServer, ada: Person, policies: Path
) -> None:
    operator, user = server.add_user("olga", "operator"), server.add_user("ulf")
    for path in ("/api/policies", "/api/plugins", "/admin/policies", "/admin/plugins"):
        assert user.browse("GET", path).status == 403, path
        assert operator.browse("GET", path).status == 200, path
    (entry,) = [one for one in ada.get("/api/plugins").json["plugins"] if one["name"] == "git"]
    assert (entry["state"], entry["policy"], entry["bundled"]) == ("active", "git.toml", True)
    assert "git.log" in entry["tools"]
    assert any(sentence.startswith("It runs `git log") for sentence in entry["granted"])


def test_a_standing_yes_ends_with_its_rule_and_asks_again_in_another_environment(
    server: WebServer, ada: Person, policies: Path
) -> None:
    file = policies / "system.toml"
    rule = '[commands]\nask = [{ run = "uname [-a|--all]", standing = true }]\n'
    file.write_text('plugin = "system"\n' + rule)

    def status() -> str:
        return ada.call("system.uname").json["status"]

    until(status, "approval_required")
    (question, *_) = ada.get("/api/approvals").json["approvals"]
    answer = {"decision": "approve", "scope": "standing"}
    assert ada.post(f"/api/approvals/{question['id']}", answer).json["status"] == "ok"
    until(status, "ok")
    file.write_text('plugin = "system"\n' + rule + '[env]\nset = { TZ = "Europe/Paris" }\n')
    until(status, "approval_required")
    file.write_text('plugin = "system"\n' + rule)
    until(status, "ok")
    # Nobody has to look at the grants for it: they are gone through when the policies have changed.
    file.write_text('plugin = "system"\n' + rule.replace("[-a|--all]", "[-a]"))
    until(lambda: [ended["because"] for ended in events(server, "grant.revoked")], ["rule_changed"])
    file.write_text('plugin = "system"\n' + rule)
    until(status, "approval_required")


def test_half_a_file_is_never_in_force(server: WebServer, ada: Person, policies: Path) -> None:
    file = policies / "shell.toml"
    file.write_text(ALLOWING + '[tools]\ndeny = ["run"]\n')
    until(lambda: ada.call("shell.run", script="echo forbidden").json["status"], "denied")
    with file.open("w") as writing:
        writing.write(ALLOWING)
        writing.flush()
        # Another file that changes meanwhile is noticed, so the folder was looked at; this one was left alone.
        system = policies / "system.toml"
        system.write_text(system.read_text().replace('"uname [-a|--all]",', ""))
        until(lambda: ada.call("system.uname").json["status"], "denied")
        assert ada.call("shell.run", script="echo forbidden").json["status"] == "denied"
        writing.write("# whole now\n")
    until(lambda: ada.call("shell.run", script="echo forbidden").json["status"], "ok")


def test_what_runs_goes_on_and_what_waits_for_its_turn_is_not_begun(
    server: WebServer, ada: Person, policies: Path
) -> None:
    file = policies / "shell.toml"
    file.write_text(ALLOWING)
    until(lambda: ada.call("shell.run", script="true").json["status"], "ok")
    with ThreadPoolExecutor() as threads, ada.socket():
        running = threads.submit(ada.call, "shell.run", script="until [ -e go ]; do sleep 0.05; done; echo ended")
        workspace = server.data / "workspaces"

        def intents(script: str) -> int:
            return sum(record["event"] == "tool.intent" and script in str(record) for record in server.audit())

        until(lambda: intents("echo ended"), 1)  # first come, first to have its turn
        waiting = threads.submit(ada.call, "shell.run", script="echo never")
        until(lambda: intents("echo never"), 1)
        reloads = len(events(server, "policy.reloaded"))
        file.write_text(ALLOWING.replace("{text}", "true"))
        until(lambda: len(events(server, "policy.reloaded")) > reloads, True)
        (own,) = [folder for folder in workspace.iterdir() if folder.name.startswith("u_")]
        (own / "go").touch()
        try:
            results = [running.result(30).json, waiting.result(30).json]
        finally:
            (own / "go").unlink()
    ended = {result["status"]: result for result in results}
    assert ended["ok"]["stdout"] == "ended\n"
    assert ended["error"]["error"]["code"] == "policy_changed"


def test_a_call_under_a_rule_with_a_number_of_its_own_makes_no_room_for_others(
    server: WebServer, ada: Person, policies: Path
) -> None:
    rule = '{ run = "bash -c true", limits = { calls = 5 } }, "bash -c {text}"'
    (policies / "shell.toml").write_text(ALLOWING.replace('"bash -c {text}"', rule).replace('"touch"', '"touch", "rm"'))
    until(lambda: ada.call("shell.run", script="rm --version").json["status"], "ok")

    def intents(script: str) -> int:
        return sum(record["event"] == "tool.intent" and script in str(record) for record in server.audit())

    with ThreadPoolExecutor() as threads:
        script = "touch held; until [ -e go ]; do sleep 0.05; done; sleep 0.3; rm held go"
        running = threads.submit(ada.call, "shell.run", script=script)
        until(lambda: intents("touch held"), 1)
        assert ada.call("shell.run", script="true").json["status"] == "ok"
        waiting = threads.submit(ada.call, "shell.run", script="[ -e held ] && echo both || echo alone")
        until(lambda: intents("echo both"), 1)
        (own,) = [folder for folder in (server.data / "workspaces").iterdir() if folder.name.startswith("u_")]
        (own / "go").touch()
        assert running.result(30).json["status"] == "ok"
        assert waiting.result(30).json["stdout"] == "alone\n"


def test_what_runs_of_a_plugin_whose_policy_is_removed_ends(server: WebServer, ada: Person, policies: Path) -> None:
    file = policies / "shell.toml"
    file.write_text(ALLOWING)
    until(lambda: ada.call("shell.run", script="echo ready").json["status"], "ok")
    with ThreadPoolExecutor() as threads:
        running = threads.submit(ada.call, "shell.run", script="sleep 60")
        until(lambda: any(one["event"] == "tool.intent" and "sleep 60" in str(one) for one in server.audit()), True)
        file.unlink()
        assert running.result(30).json["status"] == "cancelled"


NEW = """name = "added"
version = "1.0"
about = "Added while the server runs."

[[tools]]
name = "say"
about = "Say a word."
command = "echo {word}"
input.word = { type = "string" }
"""


def test_a_plugin_is_added_quarantined_and_let_in_beside_the_server_and_open_chats_are_told(
    server: WebServer, ada: Person, policies: Path
) -> None:
    folder = server.data / "plugins" / "added"
    folder.mkdir()
    (folder / "plugin.toml").write_text(NEW)
    (folder / "policy.request.toml").write_text('plugin = "added"\n[commands]\nallow = ["echo {text}"]\n')
    own(folder)

    def offered() -> bool:
        return "added.say" in ada.get("/api/tools").text

    with ada.socket() as chat:
        server.command("plugin", "enable", "added", "--yes")
        until(offered, True)
        assert chat.until("tools.changed", timeout=60)[-1]["seq"] == 0
        assert ada.call("added.say", word="hello").json["stdout"] == "hello\n"
        server.command("plugin", "quarantine", "added", "--reason", "to be looked at")
        until(offered, False)
        chat.until("tools.changed", timeout=60)
        refused = ada.call("added.say", word="hello")
        assert refused.code == "plugin_quarantined"
        server.command("plugin", "accept", "added", "--yes")
        until(offered, True)
        server.command("plugin", "disable", "added")
        until(offered, False)
