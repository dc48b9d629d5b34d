"""What whoever runs a server sees of it: health, metrics, the log, the audit log; and no secret in any of them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import jwt
import pytest
from jsonschema import Draft202012Validator
from owners import SERVICE_USER, give
from prometheus_client.parser import text_string_to_metric_families
from test_panic import until
from warmth import warm
from webserver import PASSWORD, Person, WebServer
from websockets.sync.client import connect

from toolhost.audit import verify

ROOT = Path(__file__).parents[2]
PLANTED = "planted-Kx7f3a9c51e2Wq"
KEY = "J3fK9dLq2PvX8sTz5WmY7bRc4NhG6tUa1EoI0"

POLICY = """plugin = "shell"
runs_code = ["bash"]
[commands]
allow = ["bash -c {text}"]
inside = ["cat", "base64", "sleep"]
[paths]
write = ["{workspace}"]
[secrets]
token = { env = "PLANTED_TOKEN" }
"""


@pytest.fixture(scope="module")
def own() -> Iterator[WebServer]:
    """A server with a secret for a tool, and one for itself."""
    with WebServer(
        PLANTED_TOKEN=PLANTED, JWT_SECRET_KEY=KEY, ALLOWED_ORIGINS="https://pages.example.org", TOOLHOST_SHARES="true"
    ) as running:
        warm(running.data)
        (running.data / "state" / "tool-roots").unlink()  # its own are looked through too
        yield running.start()


@pytest.fixture(scope="module")
def admin(own: WebServer) -> Person:
    person = own.set_up()
    policy = own.data / "policies" / "shell.toml"
    policy.write_text(POLICY)
    give(policy, SERVICE_USER)
    for _ in range(600):
        if person.call("shell.run", script="cat /run/secrets/token").json.get("status") == "ok":
            return person
    raise AssertionError(person.call("shell.run", script="cat /run/secrets/token").text)


@pytest.fixture(scope="module")
def eve(own: WebServer, admin: Person) -> Person:
    """Somebody without rights."""
    return own.add_user("eve")


def metric(text: str, name: str) -> float:
    """The sum of a metric's values."""
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def test_the_deep_health_is_what_was_tried_out_and_for_administrators(
    own: WebServer, admin: Person, eve: Person
) -> None:
    assert own.stranger().get("/health").json == {"status": "ok"}
    assert own.stranger().get("/api/health").json == {"status": "ok"}
    assert own.stranger().get("/health/deep").status == 401
    assert eve.get("/health/deep").status == 403
    deep = admin.get("/health/deep")
    assert deep.status == 200
    found = {probe["name"]: probe["status"] for probe in deep.json["probes"]}
    assert {name: found[name] for name in ("sandbox", "database", "policies", "audit")} == dict.fromkeys(
        ("sandbox", "database", "policies", "audit"), "pass"
    )
    broken = own.data / "policies" / "broken.toml"
    broken.write_text("plugin = 1\n")
    give(broken, SERVICE_USER)
    for _ in range(200):
        found = {probe["name"]: probe["status"] for probe in admin.get("/health/deep").json["probes"]}
        if found["policies"] == "warn":
            break
    broken.unlink()
    assert found["policies"] == "warn"


def test_metrics_count_what_happens_and_are_for_this_machine_or_a_bearer(
    own: WebServer, admin: Person, eve: Person
) -> None:
    def text() -> str:
        answer = own.stranger().get("/metrics")
        assert answer.status == 200
        return answer.text

    before = text()
    admin.call("shell.run", script="cat /run/secrets/token")
    admin.call("shell.run", script="exit 3")
    assert admin.call("files.read", path="../../etc/shadow").json["status"] == "denied"
    after = text()
    for name, grown in (
        ('toolhost_calls_total{plugin="shell",status="ok"}', 1),
        ('toolhost_calls_total{plugin="shell",status="error"}', 1),
        ('toolhost_calls_total{plugin="files",status="denied"}', 1),
        ('toolhost_decisions_total{code="rule_allow",outcome="allow",rule="shell.toml:4"}', 2),
        ("toolhost_sandbox_starts_total", 2),
        ("toolhost_call_duration_seconds_count", 2),
    ):
        assert metric(after, name) - metric(before, name) == grown, name
    families = {
        family.name: family for family in text_string_to_metric_families(after) if not family.name.endswith("_created")
    }
    for family in families.values():
        assert family.documentation, family.name
        assert family.type != "unknown", family.name
    documented = set(re.findall(r"`(toolhost_[a-z_]+)`", (ROOT / "docs" / "operations.md").read_text()))
    assert {name for name in families if name.startswith("toolhost_")} == {
        name.removesuffix("_total") for name in documented
    }
    assert metric(after, "toolhost_event_loop_lag_seconds_count") > 0
    assert metric(after, "toolhost_healthy") == 1
    assert metric(after, "toolhost_http_requests_total") > metric(before, "toolhost_http_requests_total")
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        assert own.stranger().get("/metrics", headers={header: "127.0.0.1"}).status == 401
        assert eve.get("/metrics", headers={header: "127.0.0.1"}).status == 403
        assert admin.get("/metrics", headers={header: "127.0.0.1"}).status == 200


def test_the_audit_log_can_be_asked(own: WebServer, admin: Person, eve: Person) -> None:
    call_id = admin.call("shell.run", script="true").json["call_id"]
    found = admin.get(f"/api/audit?call_id={call_id}").json["records"]
    assert [record["event"] for record in found] == ["tool.outcome", "tool.intent"]
    assert found[0]["request_id"] == found[1]["request_id"]
    page = admin.get("/api/audit?limit=3").json["records"]
    after = admin.get(f"/api/audit?limit=1&before={page[-1]['seq']}").json["records"]
    assert [record["seq"] for record in (*page, *after)] == list(range(page[0]["seq"], page[0]["seq"] - 4, -1))
    logins = admin.get("/api/audit?category=auth&event=login").json["records"]
    assert {record["event"] for record in logins} == {"login"}
    assert admin.get("/api/audit?since=2099-01-01").json["records"] == []
    assert admin.get("/api/audit?colour=red").code == "query_invalid"
    assert admin.get("/api/audit?since=yesterday").code == "query_invalid"
    assert eve.get("/api/audit").status == 403
    assert own.stranger().get("/api/audit").status == 401


def test_pages_of_a_named_origin_may_use_the_server_and_those_of_no_other(own: WebServer, admin: Person) -> None:
    named, other = "https://pages.example.org", "https://pages.example.org.evil.example"
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    stranger = own.stranger()
    for origin, status in ((named, 204), (other, 401), ("null", 401), ("https://pages.example.org:8443", 401)):
        answer = stranger.request("OPTIONS", "/api/conversations", headers={"Origin": origin, **asking})
        assert answer.status == status, origin
        allowed = [name for name in answer.headers if name.startswith("access-control-allow")]
        assert bool(allowed) == (origin == named), origin
        assert answer.headers["vary"] == "Origin"
        handshake = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        opened = admin.get("/ws/chat", headers={"Origin": origin, **handshake}) if origin != named else None
        assert opened is None or opened.status == 403, origin
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "mcp-method"}
    by_mcp = stranger.request("OPTIONS", "/mcp", headers={"Origin": named, **asking})
    assert by_mcp.status == 204
    assert {"Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version"} < set(
        by_mcp.headers["access-control-allow-headers"].split(", ")
    )
    read = admin.get("/api/auth/me", headers={"Origin": named})
    assert (read.status, read.headers["access-control-allow-origin"]) == (200, named)
    assert "access-control-allow-origin" not in admin.get("/api/auth/me", headers={"Origin": other}).headers
    assert "access-control-allow-origin" not in admin.get("/login", headers={"Origin": named}).headers
    assert admin.browse("POST", "/api/conversations", {}, Origin=named, Sec_Fetch_Site="same-site").status == 201
    assert admin.browse("POST", "/api/conversations", {}, Origin=other, Sec_Fetch_Site="same-site").code == "cross_site"
    with connect(
        f"ws://127.0.0.1:{own.port}/ws/chat",
        additional_headers={"Authorization": f"Bearer {admin.bearer}", "Origin": named},
        open_timeout=10,
    ):
        pass


def test_a_good_secret_key_from_the_environment_is_used_and_none_is_made(own: WebServer, admin: Person) -> None:
    assert jwt.decode(admin.bearer, KEY, algorithms=["HS256"], audience="toolhost")["typ"] == "access"
    assert not (own.data / "state" / "jwt.key").exists()


def test_what_is_refused_allowed_and_shared_is_recorded_in_the_documents_envelope(
    own: WebServer, admin: Person, eve: Person
) -> None:
    began = len(own.audit())
    program = Person(own, admin.post("/api/keys", {"name": "p", "scopes": ["tools:run:git"]}).json["token"])
    admin.browse("POST", "/api/conversations", {}, Origin="https://evil.example", Sec_Fetch_Site="cross-site")
    assert eve.get("/api/users").status == program.call("shell.run", script="true").status == 403
    assert program.get("/api/conversations").code == "scope_missing"
    denied = admin.call("files.read", path="../../etc/shadow").json
    asked = admin.call("files.write", admin.conversation(), path="a.txt", content="x").json
    admin.post(f"/api/approvals/{asked['approval_id']}", {"decision": "refuse", "reason": "no\n{"})
    talk = admin.conversation()
    share = admin.post(f"/api/conversations/{talk}/shares").json["id"]
    assert admin.request("DELETE", f"/api/conversations/{talk}/shares/{share}").status == 204
    records = own.audit()
    found = {record["event"]: record for record in records[began:]}
    assert found["origin_refused"]["details"]["origin"] == "https://evil.example"
    refused = [record["details"] for record in records[began:] if record["event"] == "access_refused"]
    assert {(one["user"], one["reason"]) for one in refused} >= {("eve", "role_not_allowed"), ("ada", "scope_missing")}
    assert {one.get("by_key") for one in refused if one["user"] == "ada"} == {refused[-1]["key"]}
    assert found["command_blocked"]["call_id"] == denied["call_id"]
    assert found["command_blocked"]["details"]["decision"]["code"] == denied["decision"]["code"]
    assert found["approval.refused"]["details"]["reason"] == "no\n{"
    assert found["share.created"]["details"]["share"] == found["share.revoked"]["details"]["share"] == share
    started = next(record for record in records if record["event"] == "server.started")
    assert started["category"] == "system"
    assert started["details"]["policies"]["git"].startswith("sha256:")
    assert {"policy.reloaded", "setup_completed", "login", "tool.intent", "tool.outcome"} <= {
        record["event"] for record in records
    }
    schema = json.loads((ROOT / "docs" / "reference" / "audit.schema.json").read_text())
    validator = Draft202012Validator(schema)
    for number, record in enumerate(records, 1):
        assert record["seq"] == number
        validator.validate(record)


def test_every_entry_of_the_log_is_an_object_and_those_of_a_request_have_its_id(own: WebServer, admin: Person) -> None:
    answer = admin.get("/health/deep?token=planted-in-the-query")
    wanted = answer.headers["x-request-id"]
    entries: list[dict] = []
    for _ in range(200):  # the line is written after the answer
        entries = [json.loads(line) for line in own.log.read_text().splitlines() if line.startswith("{")]
        if any(entry.get("request_id") == wanted for entry in entries):
            break
    mine = [entry for entry in entries if entry.get("request_id") == wanted]
    (entry,) = [entry for entry in mine if entry["logger"] == "toolhost.access"]
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/health/deep", 200)
    assert {"timestamp", "level", "message", "logger"} <= entry.keys()
    assert "planted-in-the-query" not in own.log.read_text()


LOGGING = """
import asyncio, logging
from toolhost.logs import bind, configure
from toolhost.settings import load_settings

configure(load_settings({"data": "/nonexistent"}, {}))

async def task():
    logging.getLogger("toolhost.calls.pipeline").warning("a task")
    await asyncio.to_thread(logging.getLogger("toolhost.sandbox").warning, "a thread")

async def request(name):
    bind(request_id=name)
    logging.getLogger("sqlalchemy.engine").warning("a library")
    await asyncio.create_task(task())

async def main():
    await asyncio.gather(*(asyncio.create_task(request(f"req_{n}")) for n in range(2)))

asyncio.run(main())
"""


def test_the_request_id_goes_through_tasks_threads_and_libraries() -> None:
    done = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, timeout=120, check=True)
    entries = [json.loads(line) for line in done.stderr.splitlines()]
    for name in ("req_0", "req_1"):
        mine = [entry["logger"] for entry in entries if entry["request_id"] == name]
        assert mine == ["sqlalchemy.engine", "toolhost.calls.pipeline", "toolhost.sandbox"]


@contextmanager
def full(server: WebServer) -> Iterator[None]:
    """As on a full disk: the kernel takes not one byte more for any file of the server that is as long as the log."""
    assert server.process is not None

    def limit(size: object) -> None:
        user = {"user": SERVICE_USER, "group": SERVICE_USER, "extra_groups": []} if os.geteuid() == 0 else {}
        command = ["prlimit", f"--pid={server.process.pid}", f"--fsize={size}:"]
        subprocess.run(command, cwd="/", check=True, timeout=30, **user)

    limit((server.data / "state" / "audit.log").stat().st_size)
    try:
        yield
    finally:
        limit("unlimited")


@contextmanager
def closed(server: WebServer) -> Iterator[None]:
    """As after somebody moved the log away, in a folder where no other can be made."""
    state = server.data / "state"
    state.chmod(0o500)
    (state / "audit.log").rename(server.folder / "audit.log")
    try:
        yield
    finally:
        (server.folder / "audit.log").rename(state / "audit.log")
        state.chmod(0o700)


@contextmanager
def held(server: WebServer) -> Iterator[None]:
    """As where a command was stopped within its record."""
    with (server.data / "state" / "audit.log").open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize(
    ("unwritable", "why"),
    [(full, "File too large"), (closed, "Permission denied"), (held, "another process keeps it locked")],
)
def test_what_cannot_be_recorded_does_not_run_and_what_can_again_does(
    own: WebServer,
    admin: Person,
    eve: Person,
    threads: ThreadPoolExecutor,
    unwritable: Callable[[WebServer], AbstractContextManager[None]],
    why: str,
) -> None:
    folder = own.data / "workspaces" / whoami(admin)
    begun, go = folder / "begun", folder / "go"
    for left in (begun, go):
        left.unlink(missing_ok=True)
    here = admin.conversation()
    asked = admin.call("files.write", here, path="later.txt", content="x").json["approval_id"]
    waiting = ": > begun; until [ -e go ]; do sleep 0.05; done; echo nobody may read this"
    answer = threads.submit(admin.call, "shell.run", script=waiting)
    until(begun.exists)
    with unwritable(own):
        refused = admin.call("shell.run", script=": > proof")
        assert (refused.status, refused.code) == (503, "audit_unavailable")
        assert refused.json["status"] == "unavailable"
        assert not (folder / "proof").exists()
        denied = admin.call("files.read", path="../../etc/shadow")
        assert (denied.status, denied.code) == (503, "audit_unavailable")
        assert str(own.data) not in refused.text + denied.text
        login = own.stranger().post("/api/auth/login", {"username": "ada", "password": PASSWORD})
        assert (login.status, login.code) == (503, "audit_unavailable")
        assert admin.get("/api/evidence").code == "audit_unavailable"
        answered = admin.post(f"/api/approvals/{asked}", {"decision": "approve", "scope": "conversation"})
        assert answered.status >= 500
        for change in ({"role": "admin"}, {"disabled": True}):
            assert admin.request("PATCH", "/api/users/eve", change).status >= 500
        for path in ("/api/tools", "/api/audit", "/api/conversations", "/admin/incident"):
            assert admin.get(path).status == 200, "what only reads goes on"
        assert own.stranger().get("/health").json == {"status": "degraded"}
        deep = admin.get("/health/deep")
        assert deep.status == 503
        assert {probe["name"]: probe["status"] for probe in deep.json["probes"]}["audit"] == "fail"
        go.touch()
        ended = answer.result(60)
        assert (ended.status, ended.code) == (503, "outcome_unrecorded")
        assert "nobody may read this" not in ended.text
    assert eve.get("/api/auth/me").json["user"]["role"] == "user"
    assert admin.get("/api/grants").json["grants"] == []
    until(lambda: own.stranger().get("/health").json == {"status": "ok"})
    assert admin.call("shell.run", script="echo again").json["stdout"] == "again\n"

    def resumed() -> list[str]:
        return [record["details"]["reason"] for record in own.audit() if record["event"] == "audit.resumed"]

    assert resumed()[-1] == why
    known = len(resumed())
    with unwritable(own):  # and over before the server looks again
        assert admin.call("shell.run", script="true").code == "audit_unavailable"
    assert admin.call("shell.run", script="true").status == 200
    until(lambda: len(resumed()) > known)
    assert verify(own.data / "state" / "audit.log").intact


def test_the_evidence_is_taken_by_administrators_alone_and_that_they_did_is_in_it(
    own: WebServer, admin: Person, eve: Person
) -> None:
    assert own.stranger().get("/api/evidence").status == 401
    assert (refused := eve.get("/api/evidence")).status == 403
    assert refused.code == "role_not_allowed"
    link = admin.browse("GET", "/api/evidence", Sec_Fetch_Site="cross-site", Origin="")
    assert (link.status, link.code) == (403, "cross_site"), "no link on another page makes a record of theirs"
    assert admin.get("/api/evidence?since=yesterday").code == "query_invalid"
    assert admin.get("/api/evidence?until=1").code == "query_invalid"
    call_id = admin.call("shell.run", script="cat /run/secrets/token").json["call_id"]
    since = own.audit()[-1]["timestamp"]
    for answer in (admin.get("/api/evidence"), admin.browse("GET", f"/api/evidence?since={quote(since)}")):
        assert (answer.status, answer.headers["content-type"]) == (200, "application/gzip")
        assert re.search(r"attachment; filename=\S+\.tar\.gz$", answer.headers["content-disposition"])
        with tarfile.open(fileobj=BytesIO(answer.content)) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        manifest = json.loads(files["manifest.json"])
        assert set(manifest["files"]) == files.keys() - {"manifest.json"}
        for name, facts in manifest["files"].items():
            assert hashlib.sha256(files[name]).hexdigest() == facts["sha256"]
        assert manifest["intact"] is True
        assert answer.headers["x-audit-intact"] == "yes"
        assert answer.headers["x-audit-last-hash"] == manifest["last_hash"]
        records = [json.loads(line) for line in files["audit.jsonl"].splitlines()]
        assert [(one["event"], one["user_id"]) for one in records][-1] == ("evidence.collected", whoami(admin))
        layers = {layer["name"]: layer["status"] for layer in json.loads(files["doctor.json"])["layers"]}
        assert list(layers) == ["network", "transport", "application", "execution", "audit"]
        assert layers["execution"] == "pass"
        assert files["policies/shell.toml"] == POLICY.encode()
        for secret in (PLANTED, KEY, PASSWORD, admin.bearer, *admin.cookies.values(), "argon2id"):
            assert secret
            assert not [name for name, text in files.items() if secret.encode() in text], secret[:12]
        whole = call_id in {one["call_id"] for one in records if one["event"] == "tool.intent"}
        assert whole is (manifest["since"] == 0)
    assert not list((own.data / "state").glob(".staged-*"))


def whoami(person: Person) -> str:
    return person.get("/api/auth/me").json["user"]["id"]


def test_no_secret_is_in_any_file_log_metric_or_page(own: WebServer, admin: Person) -> None:
    script = (
        "cat /run/secrets/token; base64 /run/secrets/token; cat /run/secrets/token >&2; cat /run/secrets/token > kept"
    )
    said = admin.call("shell.run", script=script).text
    conversation = admin.conversation(title="tour")
    said += admin.call("shell.run", conversation, script="cat /run/secrets/token; exit 1").text
    for words in (["config", "show"], ["audit", "search"], ["audit", "export", "--format", "csv"], ["doctor"]):
        done = own.run(*words)
        said += done.stdout + done.stderr
    pages = (
        "/metrics",
        "/health/deep",
        "/api/audit?limit=500",
        f"/api/conversations/{conversation}",
        "/",
        "/approvals",
    )
    for path in pages:
        said += admin.get(path).text + admin.browse("GET", path).text
    own.stranger().post("/api/auth/login", {"username": "ada", "password": PLANTED})
    own.stranger().get("/api/tools", headers={"Authorization": f"Bearer {PLANTED}"})
    own.stranger().get("/metrics", headers={"Authorization": f"Bearer {PLANTED}", "X-Forwarded-For": "192.0.2.1"})
    state = own.data / "state"
    files = [path for path in state.rglob("*") if path.is_file() and not path.is_symlink()]
    texts = {str(path): path.read_bytes() for path in (*files, own.log)} | {"what was said": said.encode()}
    assert {"audit.log", "security.log", "toolhost.db"} <= {path.name for path in files}
    for secret in (PLANTED, KEY, PASSWORD, admin.bearer, *admin.cookies.values()):
        assert secret
        assert not [name for name, text in texts.items() if secret.encode() in text], secret[:12]
