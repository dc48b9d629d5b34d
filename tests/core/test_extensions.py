"""The extensions that come with the host."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from driver import becomes, own
from hosted import Hosted
from webserver import Person, WebServer

from toolhost.errors import AccessError
from toolhost.extensions import IncomingRequest
from toolhost.extensions.proxy_identity import ProxyIdentity
from toolhost.extensions.redactor import KNOWN

# Put together here, so that nobody who searches this repository for credentials finds one.
SAMPLES = {
    "AWS access key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "GitHub token": "ghp_" + "a1B2" * 9,
    "GitLab token": "glpat-" + "x" * 20,
    "Slack token": "xoxb-" + "1234567890-abcdef",
    "Google API key": "AIza" + "x" * 35,
    "OpenAI or Anthropic key": "sk-" + "ant-" + "x" * 24,
    "Stripe key": "sk_live_" + "x" * 24,
    "npm token": "npm_" + "x" * 36,
    "PyPI token": "pypi-" + "x" * 60,
    "JSON Web Token": "eyJhbGciOiJI." + "eyJzdWIiOiIx." + "c2lnbmF0dXJl",
    "key of this host": "aio_" + "x" * 30,
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nabcd\n-----END RSA PRIVATE KEY-----",
    "password in a URL": "postgres://ada:hunter2@",
    "own": "corp_0123456789",
}


class Collector(BaseHTTPRequestHandler):
    batches: list[list[dict[str, Any]]]
    seen: list[str]
    refuse = 2

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).seen.append(self.headers["Authorization"])
        status = 200
        if type(self).refuse:
            type(self).refuse -= 1
            status = 503
        else:
            type(self).batches.append(json.loads(body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture(scope="module")
def collector() -> Iterator[int]:
    Collector.batches, Collector.seen = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def host(collector: int) -> Iterator[Hosted]:
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "data").mkdir()
    token = folder / "token"
    token.write_text("collect me\n")
    own(token).chmod(0o600)
    (folder / "data" / "toolhost.toml").write_text(
        'extensions = ["toolhost.extensions.redactor", "toolhost.extensions.webhook"]\n'
        '[extension.redactor]\npatterns = ["corp_[0-9]+"]\n'
        f'[extension.webhook]\nurl = "http://127.0.0.1:{collector}/x"\ntoken_file = "{token}"\n'
        'events = ["tool.*", "command_blocked"]\n'
    )
    made = Hosted(folder, probe='[commands]\nallow = ["echo {text...}"]\n')
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


def test_there_is_a_sample_of_each_kind() -> None:
    assert SAMPLES.keys() == {*KNOWN, "own"}


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_looks_like_a_credential_is_taken_out_of_results(host: Hosted, kind: str) -> None:
    result = host.run("echo", f"before {SAMPLES[kind]} after")
    assert result["stdout"] == "before [redacted] after\n" or kind == "password in a URL"
    for piece in (json.dumps(result["content"]), result["stdout"]):
        assert SAMPLES[kind] not in piece
        assert "hunter2" not in piece


def test_other_text_is_left_as_it_is(host: Hosted) -> None:
    text = "sk-short https://example.org:80/a@b AKIA eyJ.eyJ.x pypi-package"
    assert host.run("echo", text)["stdout"] == text + "\n"


def test_what_is_recorded_reaches_the_collector_in_order_although_it_fails_at_first(host: Hosted) -> None:
    result = host.run("echo", "collected")
    host.run("ls", "denied")
    wanted = [one for one in host.records() if one["event"].startswith("tool.") or one["event"] == "command_blocked"]
    assert becomes(lambda: [one for batch in Collector.batches for one in batch] == wanted, within=60)
    assert result["call_id"] in {one["call_id"] for one in wanted}
    assert wanted[-1]["event"] == "command_blocked"
    assert set(Collector.seen) == {"Bearer collect me"}


KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def said(value: str, *, trusted: bool = True) -> IncomingRequest:
    return IncomingRequest(peer="10.0.0.7", trusted=trusted, method="GET", path="/", headers={"x-token": value})


def token(key: Any = KEY, algorithm: str = "ES256", **claims: Any) -> str:
    whole = {"iss": "https://id", "aud": "toolhost", "exp": time.time() + 60, "preferred_username": "Grace", **claims}
    kept = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm)


def test_a_signed_token_of_a_trusted_proxy_says_who_somebody_is() -> None:
    reader = ProxyIdentity("x-token", key=PUBLIC, issuer="https://id", audience="toolhost", role="user")
    found = reader.actor_from_request(said(token(auth_time=5)))
    assert found is not None
    assert (found.username, found.role, found.proved) == ("grace", "user", 5000)
    assert reader.actor_from_request(said(token(), trusted=False)) is None
    assert reader.actor_from_request(said("")) is None
    other = ec.generate_private_key(ec.SECP256R1())
    for bad in (
        token(other),
        token(exp=time.time() - 60),
        token(exp=None),
        token(aud="another"),
        token(iss="https://evil"),
        token(preferred_username=None),
        token(auth_time="soon"),
        token("k" * 32, "HS256"),
        token(None, "none"),
        "not a token",
    ):
        with pytest.raises(AccessError) as refused:
            reader.actor_from_request(said(bad))
        assert refused.value.code == "not_authenticated"


def test_only_a_trusted_proxy_says_who_somebody_is() -> None:
    server = WebServer(TOOLHOST_TRUSTED_PROXIES="127.0.0.1", TOOLHOST_EXTENSIONS="toolhost.extensions.proxy_identity")
    try:
        server.data.mkdir()
        (server.data / "toolhost.toml").write_text(
            '[extension.proxy_identity]\nheader = "Remote-User"\nrole = "viewer"\n'
        )
        own(server.folder)
        server.start()
        person = Person(server)
        me = person.get("/api/auth/me", headers={"Remote-User": "Grace"})
        assert (me.status, me.json["user"]["username"], me.json["user"]["role"]) == (200, "grace", "viewer")
        assert person.get("/api/auth/me").status == 401
        assert person.get("/api/auth/me", headers={"Remote-User": "../x"}).status == 401
        cross = {"Remote-User": "grace", "Origin": "https://evil.example"}
        assert person.request("POST", "/api/conversations", {"title": "x"}, headers=cross).status == 403
    finally:
        server.close()
