"""Stopping everything: by the command line and by the API, with sandboxes that run, and also where the server hangs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from owners import SERVICE_USER, give
from webserver import Answer, Person, WebServer

POLICY = """plugin = "shell"
runs_code = ["bash"]
[commands]
allow = ["bash -c {text}"]
inside = ["sleep"]
[paths]
write = ["{workspace}"]
[limits]
wall = "5m"
"""


@pytest.fixture(scope="module")
def admin(own: WebServer, admin: Person) -> Person:
    """The administrator, who may run what sleeps."""
    policy = own.data / "policies" / "shell.toml"
    policy.write_text(POLICY)
    give(policy, SERVICE_USER)
    until(lambda: works(admin))
    return admin


def running(tag: str) -> list[int]:
    """Processes of the machine that sleep for exactly this long."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", tag.encode()]:
                found.append(int(entry.name))
    return found


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90  # a machine that tests keep busy proves a sandbox slowly
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Sleeper(threading.Thread):
    """A call that sleeps in its sandbox, in a process of its own there, and its answer."""

    def __init__(self, person: Person, tag: str) -> None:
        super().__init__(daemon=True)
        self.person, self.tag, self.answer = person, tag, None
        self.start()
        until(lambda: len(running(tag)) == 2)

    answer: Answer | None

    def run(self) -> None:
        self.answer = self.person.call("shell.run", script=f"sleep {self.tag} & sleep {self.tag}; echo never")

    def ended(self) -> Answer:
        self.join(30)
        assert self.answer is not None
        return self.answer


def works(person: Person) -> bool:
    return person.call("shell.run", script="echo works").json.get("status") == "ok"


def test_panic_ends_every_sandbox_and_refuses_calls_until_it_is_resumed(own: WebServer, admin: Person) -> None:
    sleepers = [Sleeper(admin, tag) for tag in ("301.1", "301.2")]
    done = own.run("panic", "--reason", "something is odd")
    assert done.returncode == 0, done.stderr
    assert not running("301.1")
    assert not running("301.2")
    assert [sleeper.ended().json["status"] for sleeper in sleepers] == ["cancelled", "cancelled"]
    refused = admin.call("shell.run", script="echo never")
    assert (refused.status, refused.code) == (503, "panicked")
    assert "something is odd" in refused.json["error"]["message"]
    (workspace := own.folder / "work").mkdir()
    give(workspace, SERVICE_USER)
    beside = own.run("call", "system.uname", "--workspace", str(workspace))
    assert (beside.returncode, "[panicked]" in beside.stderr) == (7, True)
    assert admin.get("/health").json == {"status": "degraded"}
    until(lambda: any(record["event"] == "health.changed" for record in own.audit()))
    assert own.run("resume").returncode == 0
    until(lambda: works(admin))
    assert admin.get("/health").json == {"status": "ok"}
    events = [record["event"] for record in own.audit()]
    assert {"panic", "resumed"} <= set(events)
    assert own.run("resume").stdout == "Nothing was stopped.\n"


def test_an_administrator_can_do_it_from_the_page(own: WebServer, admin: Person) -> None:
    bob = own.add_user("bob")
    assert bob.post("/api/panic", {}).status == 403
    sleeper = Sleeper(admin, "302.1")
    with admin.socket() as socket:
        socket.send("message", text="/files.write path=later.txt content=never")
        asked = socket.until("approval.required")[-1]
        alone = admin.call("files.write", path="later.txt", content="never").json["approval_id"]
        done = admin.post("/api/panic", {"reason": "by the page"})
        assert socket.to_the_end()[-1]["type"] == "run.cancelled"
    assert (done.status, done.json["left"], done.json["panic"]["by"]) == (200, 0, "ada")
    assert not running("302.1")
    assert sleeper.ended().json["status"] == "cancelled"
    assert bob.call("shell.run", script="echo never").status in (403, 404, 503)
    assert bob.post("/api/resume", {}).status == 403
    assert admin.post("/api/resume", {}).json == {"resumed": True}
    until(lambda: works(admin))
    assert admin.get("/api/approvals").json["approvals"] == []
    for approval in (asked["approval_id"], alone):
        late = admin.post(f"/api/approvals/{approval}", {"decision": "approve"})
        assert late.code == "approval_answered", "a yes after the stop runs nothing that was asked before it"


def test_it_needs_no_server_that_answers(own: WebServer, admin: Person) -> None:
    assert own.process is not None
    sleeper = Sleeper(admin, "303.1")
    os.kill(own.process.pid, signal.SIGSTOP)
    try:
        done = own.run("panic")
        assert done.returncode == 0, done.stderr
        assert not running("303.1")
    finally:
        os.kill(own.process.pid, signal.SIGCONT)
    assert sleeper.ended().json["status"] == "cancelled"
    assert own.run("resume").returncode == 0
    until(lambda: works(admin))


def test_nor_a_spawner_that_does(own: WebServer, admin: Person) -> None:
    assert own.process is not None
    sleeper = Sleeper(admin, "304.1")
    (spawner,) = [
        int(pid)
        for pid in Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children").read_text().split()
        if Path(f"/proc/{pid}/comm").read_text().strip() == "toolhost-spawn"
    ]
    os.kill(spawner, signal.SIGSTOP)
    try:
        assert own.run("panic").returncode == 0
        assert not running("304.1")
    finally:
        os.kill(spawner, signal.SIGCONT)
    assert sleeper.ended().json["status"] == "cancelled"
    assert own.run("resume").returncode == 0
    until(lambda: works(admin))


def test_a_server_that_starts_meanwhile_runs_nothing_and_proves_its_sandbox_when_it_is_resumed(
    own: WebServer, admin: Person
) -> None:
    assert own.run("panic").returncode == 0
    own.end()
    own.start(own.port)
    assert admin.call("shell.run", script="echo never").code == "panicked"
    assert own.run("resume").returncode == 0
    until(lambda: works(admin))


def test_who_or_what_is_taken_out_does_not_go_on(own: WebServer, admin: Person) -> None:
    zoe = own.add_user("zoe")
    until(lambda: not workers(own))
    assert zoe.call("files.list").json["status"] == "ok"  # its worker stays for the next call
    assert workers(own)
    sleeper = Sleeper(zoe, "305.1")
    assert own.run("user", "disable", "zoe").returncode == 0
    until(lambda: not running("305.1") and not workers(own))
    sleeper.join(30)
    sleeper = Sleeper(admin, "306.1")
    assert own.run("plugin", "disable", "shell").returncode == 0
    until(lambda: not running("306.1"))
    assert sleeper.ended().json["status"] == "cancelled"
    assert admin.call("shell.run", script="echo never").status != 200
    assert own.run("plugin", "enable", "shell", "--yes").returncode == 0
    until(lambda: works(admin))


def test_a_quarantined_plugin_leaves_nothing_behind_and_comes_back_when_it_is_accepted(
    own: WebServer, admin: Person
) -> None:
    def out(person: Person, plugin: str, **body: object) -> Answer:
        return person.post(f"/api/plugins/{plugin}/quarantine", body)

    eve = own.add_user("eve")
    refused = out(eve, "shell", reason="no business of hers")
    assert (refused.status, refused.code) == (403, "role_not_allowed")
    for reason in ({}, {"reason": " "}, {"reason": "two\nlines"}, {"reason": "x" * 501}, {"reason": 1}):
        assert out(admin, "shell", **reason).code == "reason_invalid"
    assert (unknown := out(admin, "nobody", reason="x")).status == 404
    assert unknown.code == "unknown_plugin"
    assert works(admin)

    sleeper = Sleeper(admin, "307.1")
    asked = admin.call("files.write", path="later.txt", content="never").json["approval_id"]
    assert admin.call("files.list").json["status"] == "ok"  # its worker stays for the next call
    assert workers(own)
    for plugin in ("shell", "files"):
        done = out(admin, plugin, reason="it was lied to")
        assert (done.status, done.json["plugin"]["state"]) == (200, "quarantined")
        assert "it was lied to" in done.json["plugin"]["reason"]
        late = admin.call(f"{plugin}.run")
        assert (late.status, late.code) == (403, "plugin_quarantined")
    assert sleeper.ended().json["status"] == "cancelled"
    until(lambda: not running("307.1") and not workers(own))
    answered = admin.post(f"/api/approvals/{asked}", {"decision": "approve"})
    assert answered.status != 200, answered.text
    told = [record for record in own.audit() if record["event"] == "plugin.quarantined"]
    assert [record["details"]["plugin"] for record in told] == ["shell", "files"]
    assert {record["details"]["user"] for record in told} == {"ada"}
    page = admin.browse("GET", "/admin/incident").text
    for plugin in ("shell", "files"):
        assert f"toolhost plugin accept {plugin}" in page
        assert own.run("plugin", "accept", plugin, "--yes").returncode == 0
    until(lambda: works(admin))


def workers(server: WebServer) -> float:
    """How many workers of plugins there are."""
    (line,) = [line for line in server.stranger().get("/metrics").text.splitlines() if line[:17] == "toolhost_workers "]
    return float(line.split()[1])
