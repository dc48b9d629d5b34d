"""Who may come in, and what every answer carries."""

import re
import socket
from types import SimpleNamespace

import pytest
from webserver import PASSWORD, Person
from websockets.exceptions import InvalidStatus

from toolhost.hooks import Hooks
from toolhost.settings import load_settings
from toolhost.web import create_app
from toolhost.web.access import access_of

PUBLIC = {
    "auth.login",
    "auth.refresh",
    "auth.setup",
    "doors.invite",
    "doors.reset",
    "health.health",
    "health.health_of_old",
    "metrics.show",
    "pages.login",
    "pages.setup",
    "pages.shared",
    "pages.static",
    "shares.open_share",
    "users.accept",
    "users.renew_password",
}


@pytest.fixture
def app(tmp_path):
    return create_app(
        SimpleNamespace(
            database=None,
            audit=None,
            data=SimpleNamespace(state=tmp_path),
            settings=load_settings({"data": str(tmp_path)}, {}),
            stopping=SimpleNamespace(on_stop=lambda listener: None),
            on_tools_changed=lambda listener: None,
            on_waiting_changed=lambda listener: None,
            hooks=Hooks(),
        )
    )


def test_a_route_is_closed_unless_it_is_listed_here(app) -> None:
    assert {rule.endpoint for rule in app.url_map.iter_rules() if access_of(app, rule.endpoint).public} == PUBLIC


def test_a_stranger_gets_nothing_from_any_closed_route(app, server, ada) -> None:
    stranger = server.stranger()
    for rule in app.url_map.iter_rules():
        if rule.endpoint in PUBLIC or rule.websocket:
            continue
        path = re.sub(r"<[^>]*>", "x", rule.rule)
        for method in rule.methods - {"OPTIONS", "HEAD"}:
            answer = stranger.request(method, path, {} if method == "POST" else None)
            for_programs = path.startswith("/api/") or path in ("/health/deep", "/metrics") or method != "GET"
            assert answer.status == (401 if for_programs else 303), (method, path)


def test_reading_never_changes_anything(app) -> None:
    changing = {"POST", "PUT", "PATCH", "DELETE"}
    for rule in app.url_map.iter_rules():
        assert not (rule.methods and "GET" in rule.methods and rule.methods & changing), rule


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "null", "Sec_Fetch_Site": ""},
        {"Origin": "http://127.0.0.1:1", "Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "", "Sec_Fetch_Site": ""},
    ],
    ids=str,
)
def test_another_site_cannot_use_a_persons_cookie(ada, headers) -> None:
    answer = ada.browse("POST", "/api/conversations", {}, **headers)
    assert (answer.status, answer.code) == (403, "cross_site")


def test_the_own_page_can_use_the_cookie(ada) -> None:
    assert ada.browse("POST", "/api/conversations", {}).status == 201
    assert ada.browse("POST", "/api/conversations", {}, Sec_Fetch_Site="").status == 201


def test_another_site_cannot_sign_a_person_in(server, ada) -> None:
    account = {"username": "ada", "password": PASSWORD}
    answer = server.stranger().post("/api/auth/login", account, headers={"Origin": "https://evil.example"})
    assert answer.status == 403


def test_nothing_is_shared_with_other_origins(ada) -> None:
    answer = ada.get("/api/auth/me", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[::2]", ""])
def test_the_server_answers_only_under_its_own_names(ada, host) -> None:
    answer = ada.get("/health", headers={"Host": host})
    assert answer.status in (400, 421)
    assert "ok" not in answer.text


def test_the_loopback_names_are_its_own(server, ada) -> None:
    for host in (f"localhost:{server.port}", f"[::1]:{server.port}", "127.0.0.1", f"LOCALHOST:{server.port}"):
        assert ada.get("/health", headers={"Host": host}).status == 200


EVERY_CLASS = [
    ("GET", "/", 200),
    ("GET", "/login", 303),
    ("GET", "/health", 200),
    ("GET", "/static/css/base.css", 200),
    ("GET", "/static/none.css", 404),
    ("GET", "/static/../app.py", 404),
    ("GET", "/static/..%2fapp.py", 404),
    ("GET", "/nothing", 404),
    ("GET", "/api/nothing", 404),
    ("GET", "/c/none", 404),
    ("GET", "/c/none/thread", 404),
    ("DELETE", "/api/tools", 405),
    ("POST", "/api/conversations", 400),
]


@pytest.mark.parametrize(("method", "path", "status"), EVERY_CLASS)
def test_every_class_of_answer_has_the_security_headers(ada, method, path, status) -> None:
    answer = ada.request(method, path, raw=b"[]" if method == "POST" else None)
    assert answer.status == status
    headers = answer.headers
    csp = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert csp["default-src"] == csp["base-uri"] == csp["object-src"] == csp["frame-ancestors"] == "'none'"
    assert csp["script-src"] == csp["style-src"] == csp["connect-src"] == csp["form-action"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-xss-protection"] == "0"
    assert "camera=()" in headers["permissions-policy"]
    assert "server" not in headers
    assert "Traceback" not in answer.text


def test_files_streams_and_refused_sockets_have_them_too(server, ada) -> None:
    talk = ada.conversation()
    written = ada.call("files.write", talk, path="a.html", content="<script>1</script>").json
    ada.post(f"/api/approvals/{written['approval_id']}", {"decision": "approve"})
    file = ada.get(f"/api/conversations/{talk}/files/a.html")
    stream = ada.post("/api/chat", {"message": "hello"})
    with pytest.raises(InvalidStatus) as refused, Person(server, bearer="none").socket():
        pass
    answers = {"file": file.headers, "stream": stream.headers, "socket": refused.value.response.headers}
    assert (file.status, stream.status, refused.value.response.status_code) == (200, 200, 401)
    assert stream.headers["content-type"].startswith("text/event-stream")
    for kind, headers in answers.items():
        assert "frame-ancestors 'none'" in headers["content-security-policy"], kind
        assert headers["x-content-type-options"] == "nosniff", kind
        assert headers["cross-origin-resource-policy"] == "same-origin", kind
        assert headers["x-xss-protection"] == "0", kind
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert file.headers["content-security-policy"].startswith("sandbox")
    assert file.headers["content-disposition"].startswith("attachment")


async def test_what_breaks_in_the_server_says_no_more_than_its_request(app) -> None:
    """The application of these tests has no database: everything behind the door fails."""
    answer = await app.test_client().get("/api/tools", headers={"Host": "127.0.0.1"})
    assert answer.status_code == 500
    said = await answer.get_json()
    assert said["error"] == {
        "code": "internal_error",
        "message": "Something went wrong in the server.",
        "recoverable": False,
        "hint": "The log has the details under this request id.",
    }
    assert said["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 40_000, b"431"),
    ],
)
def test_what_is_no_request_is_told_nothing(server, sent: bytes, status: bytes) -> None:
    head, _, body = _answer(server, sent).lower().partition(b"\r\n\r\n")
    assert (head.split()[1], body) == (status, b"")
    assert {name.partition(b":")[0] for name in head.splitlines()[1:]} == {b"content-length", b"connection", b"date"}


@pytest.mark.parametrize(
    ("target", "host", "origin", "status"),
    [
        ("/api/auth/me", "a" * 64, None, 421),
        ("http://[", "127.0.0.1", None, 404),
        ("?a", "127.0.0.1", None, 303),
        ("*", "127.0.0.1", None, 404),
        ("/api/conversations", "127.0.0.1", "http://[", 403),
    ],
)
def test_an_address_that_cannot_be_read_is_answered_like_any_other(server, ada, target, host, origin, status) -> None:
    logged = server.log.stat().st_size
    for more in ("", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" + _KEY):
        sent = f"{'GET' if more else 'POST' if origin else 'GET'} {target} HTTP/1.1\r\nHost: {host}\r\n{more}"
        sent += f"Origin: {origin}\r\n" if origin else ""
        head = _answer(server, sent.encode() + b"Connection: close\r\n\r\n").partition(b"\r\n\r\n")[0].lower()
        assert more or int(head.split()[1]) == status
        assert not head.startswith(b"http/1.1 5")
        assert b"x-content-type-options: nosniff" in head
        assert b"x-request-id: " in head
    assert '"level": "error"' not in server.log.read_text()[logged:]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\nHTTP2-Settings:\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["asked", "begun"],
)
def test_nobody_gets_past_a_proxy_by_changing_to_another_protocol(server, ada, sent) -> None:
    """No proxy in front reads what is said in HTTP/2 after an upgrade, not even the headers that are its own."""
    assert _answer(server, sent).split()[1] in (b"303", b"400", b"421")


_KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def _answer(server, sent: bytes) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
        line.sendall(sent)
        while piece := line.recv(65536):
            answer += piece
    return answer


def test_errors_of_the_api_have_one_shape(ada) -> None:
    for answer in (ada.get("/api/nothing"), ada.request("DELETE", "/api/tools"), ada.get("/api/calls/c_none")):
        assert answer.json.keys() == {"error", "request_id"}
        assert answer.json["error"].keys() == {"code", "message", "recoverable", "hint"}
        assert answer.json["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'{"title": NaN}', b'{"title": "\\ud800"}', b"\xff\xfe", b"[" * 100_000],
    ids=lambda raw: repr(raw[:20]),
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_one_clear_sentence(ada, raw) -> None:
    answer = ada.request("POST", "/api/conversations", raw=raw)
    assert (answer.status, answer.code) == (400, "body_invalid")


def test_a_form_of_another_page_is_no_json(ada) -> None:
    answer = ada.request("POST", "/api/conversations", raw=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.code) == (400, "body_invalid")


def test_a_body_that_is_too_large_is_refused(ada) -> None:
    answer = ada.request("POST", "/api/conversations", raw=b" " * (3 << 20))
    assert (answer.status, answer.code) == (413, "body_too_large")


@pytest.mark.parametrize("following", ["//evil.example", "/\\evil.example", "https://evil.example", "/\r\nX: y"])
def test_the_login_page_leads_nowhere_else(server, ada, following) -> None:
    from urllib.parse import quote

    answer = ada.get("/login?next=" + quote(following, safe=""))
    assert answer.headers["location"] == "/"
