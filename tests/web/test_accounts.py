"""The first run, signing in, sessions, tokens."""

import base64
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from webserver import PASSWORD, Person, WebServer
from websockets.exceptions import ConnectionClosed

ME = "/api/auth/me"


def claims(**changed: object) -> dict[str, object]:
    now = int(time.time())
    whole = {"iss": "toolhost", "aud": "toolhost", "typ": "access", "jti": "x", "iat": now, "exp": now + 600}
    return {name: value for name, value in {**whole, **changed}.items() if value is not None}


def bearer(person: Person, token: str) -> int:
    return person.get(ME, headers={"Authorization": f"Bearer {token}"}, anonymous=True).status


@pytest.fixture(scope="module")
def first() -> Iterator[WebServer]:
    """A server at which nobody has been yet."""
    with WebServer() as running:
        yield running.start()


def test_the_first_run_takes_the_printed_token_once(first) -> None:
    server = first
    stranger = server.stranger()
    account = {"username": "ada", "password": PASSWORD}
    assert stranger.post("/api/auth/login", {"username": "admin", "password": "admin"}).status == 401
    assert stranger.get("/").headers["location"].startswith("/login")
    wrong = stranger.post("/api/setup", {"token": "x" * 43, **account})
    assert (wrong.status, wrong.code) == (403, "setup_token_wrong")
    short = stranger.post("/api/setup", {"token": server.setup_token, "username": "ada", "password": "short"})
    assert (short.status, short.code) == (422, "password_too_short")
    assert stranger.post("/api/setup", {"token": server.setup_token, **account}).status == 201
    again = stranger.post("/api/setup", {"token": server.setup_token, "username": "eve", "password": PASSWORD})
    assert (again.status, again.code) == (410, "setup_done")
    assert server.person("ada").get(ME).json["user"]["role"] == "admin"
    assert stranger.get("/setup").status == 303


def test_what_happens_at_the_door_is_recorded_outlives_the_server_and_no_secret_is_anywhere(first) -> None:
    token = first.setup_token
    first.stranger().post("/api/setup", {"token": token, "username": "ada", "password": PASSWORD})  # if not done yet
    before = len(first.audit())
    person = first.person("ada")
    first.stranger().post("/api/auth/login", {"username": "ada", "password": "the wrong passphrase"})
    refreshed = person.browse("POST", "/api/auth/refresh", {})
    stays = first.person("ada")
    person.post("/api/auth/logout")
    records = [record for record in first.audit()[before:] if record["category"] == "auth"]
    assert [one["event"] for one in records] == ["login", "login_failed", "refresh", "login", "logout"]
    for one in records:
        assert one["user_id"] or one["details"]["user_id"], one
        assert one["details"]["ip"] == "127.0.0.1", one
    assert all(one["session"] for one in records if one["event"] != "login_failed")
    assert "setup_completed" in [record["event"] for record in first.audit()]
    assert first.end() == 0
    secrets = [token, PASSWORD, "the wrong passphrase", person.bearer, *person.cookies.values()]
    secrets += [morsel.value for morsel in refreshed.cookies.values()]
    texts = [path.read_bytes() for path in (first.log, *(first.data / "state").iterdir()) if path.is_file()]
    assert not [secret for secret in secrets for text in texts if secret.encode() in text]
    key = first.data / "state" / "jwt.key"
    assert key.stat().st_mode & 0o777 == 0o600
    first.start()
    assert stays.get(ME).status == 200
    assert person.get(ME).status == 401
    events = [record["event"] for record in first.audit() if record["event"].startswith("server.")]
    assert events == ["server.started", "server.stopped", "server.started"]


def test_a_login_gives_tokens_in_the_answer_and_in_cookies_no_script_can_read(server, ada) -> None:
    answer = server.stranger().post("/api/auth/login", {"username": "Ada", "password": PASSWORD})
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "user"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("bearer", 3600)
    ages = {name: morsel["max-age"] for name, morsel in answer.cookies.items()}
    assert ages == {"toolhost-access": "3600", "toolhost-refresh": str(7 * 24 * 3600)}
    for morsel in answer.cookies.values():
        assert morsel["httponly"]
        assert morsel["samesite"] == "Lax"
        assert morsel["path"] == "/"


@pytest.mark.parametrize(
    "body",
    [
        {"username": "ada", "password": "wrong password"},
        {"username": "nobody", "password": "wrong password"},
        {"username": 7, "password": []},
        {"username": "ada", "password": "x" * 5000},
        {},
    ],
    ids=lambda body: repr(body)[:40],
)
def test_a_failed_login_does_not_say_what_was_wrong(server, ada, body) -> None:
    answer = server.stranger().post("/api/auth/login", body)
    assert (answer.status, answer.code) == (401, "login_failed")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("long.é", "".join(chr(0xE0 + n * 7 % 31) for n in range(100))),
        ("long.x", "".join(chr(97 + n * n % 26) for n in range(200))),
        ("long.nul", "with\0nul in the middle"),
    ],
    ids=["100 accented", "200", "nul"],
)
def test_long_and_unusual_passwords_work_whole(server, ada, name, password) -> None:
    name = name.replace("é", "e")
    assert ada.post("/api/users", {"username": name, "password": password}).status == 201
    assert server.stranger().sign_in(name, password).json["user"]["username"] == name
    assert server.stranger().post("/api/auth/login", {"username": name, "password": password[:-1]}).status == 401


def test_logging_out_ends_the_session_and_its_sockets_at_once(server, ada) -> None:
    person = server.person("ada")
    with person.socket() as socket:
        socket.send("ping")
        assert socket.next()["type"] == "pong"
        assert person.post("/api/auth/logout").status == 200
        with pytest.raises(ConnectionClosed) as closed:
            socket.next(timeout=5)
        assert closed.value.rcvd.code == 4401
    assert person.get(ME).status == 401
    refresh = {"refresh_token": person.cookies["toolhost-refresh"]}
    assert server.stranger().post("/api/auth/refresh", refresh).status == 401


def test_a_refresh_token_that_comes_again_from_elsewhere_ends_the_session(server, ada) -> None:
    person = server.person("ada")
    first = person.browse("POST", "/api/auth/refresh", {})
    assert first.status == 200
    successor = first.cookies["toolhost-refresh"].value
    assert successor != person.cookies["toolhost-refresh"]
    with person.socket() as socket:
        assert person.browse("POST", "/api/auth/refresh", {}, User_Agent="a thief's").status == 401
        with pytest.raises(ConnectionClosed) as closed:
            socket.next(timeout=30)
    assert closed.value.rcvd.code == 4401
    assert bearer(person, first.json["access_token"]) == 401
    assert server.stranger().post("/api/auth/refresh", {"refresh_token": successor}).status == 401
    assert "refresh_reused" in [record["event"] for record in server.audit()]


def test_of_many_uses_of_one_refresh_token_at_once_one_gets_the_next_one(server, ada) -> None:
    token = {"refresh_token": server.person("ada").cookies["toolhost-refresh"]}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.stranger().post("/api/auth/refresh", token), range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert sum("toolhost-refresh" in answer.cookies for answer in answers) == 1


def test_a_session_ends_after_a_week_without_a_visit_and_after_thirty_days_with_them(server, ada) -> None:
    idle, old, day = server.person("ada"), server.person("ada"), 24 * 3600 * 1000
    one, other = (jwt.decode(who.bearer, options={"verify_signature": False})["sid"] for who in (idle, old))
    database = sqlite3.connect(server.data / "state" / "toolhost.db", timeout=30)
    with database:
        database.execute("UPDATE sessions SET expires = expires - ? WHERE id = ?", (7 * day, one))
        database.execute("UPDATE sessions SET created = created - ? WHERE id = ?", (29 * day, other))
    assert idle.browse("POST", "/api/auth/refresh", {}).status == 401
    assert old.browse("POST", "/api/auth/refresh", {}).status == 200
    row = database.execute("SELECT expires - created FROM sessions WHERE id = ?", (other,)).fetchone()
    database.close()
    assert row == (30 * day,)


def test_a_refresh_token_is_no_access_token(server, ada) -> None:
    person = server.person("ada")
    assert bearer(person, person.cookies["toolhost-refresh"]) == 401


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "other"},
        {"iss": "other"},
        {"typ": "refresh"},
        {"typ": None},
        {"exp": None},
        {"exp": 1},
        {"iat": None},
        {"jti": None},
        {"sub": None},
        {"sid": None},
        {"sid": "s_other"},
        {"sub": "u_other"},
    ],
    ids=str,
)
def test_a_token_that_is_not_whole_is_refused(server, ada, changed) -> None:
    key = base64.b64decode((server.data / "state" / "jwt.key").read_bytes())
    real = jwt.decode(ada.bearer, options={"verify_signature": False})
    own, kid = {"sub": real["sub"], "sid": real["sid"]}, jwt.get_unverified_header(ada.bearer)
    assert bearer(ada, jwt.encode(claims(**own), key, headers=kid)) == 200
    assert bearer(ada, jwt.encode(claims(**{**own, **changed}), key, headers=kid)) == 401
    assert bearer(ada, jwt.encode(claims(**own), key)) == 401
    assert bearer(ada, jwt.encode(claims(**own), key, headers={"kid": "unknown"})) == 401


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512", "RS256"])
def test_a_token_of_another_algorithm_is_refused(server, ada, algorithm) -> None:
    key = base64.b64decode((server.data / "state" / "jwt.key").read_bytes())
    real, kid = jwt.decode(ada.bearer, options={"verify_signature": False}), jwt.get_unverified_header(ada.bearer)
    keys = {"none": "", "RS256": rsa.generate_private_key(65537, 2048)}
    body = claims(sub=real["sub"], sid=real["sid"])
    token = jwt.encode(body, keys.get(algorithm, key), algorithm, headers={"kid": kid["kid"]})
    assert bearer(ada, token) == 401


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic YTpi", "Bearer x.y.z", "Bearer " + "x" * 20000])
def test_garbage_in_the_authorization_header_is_refused(ada, header) -> None:
    assert ada.get(ME, headers={"Authorization": header}, anonymous=True).status == 401


def test_a_bearer_wins_over_a_cookie(server, ada) -> None:
    person = server.person("ada")
    assert person.browse("GET", ME).status == 200
    assert person.browse("GET", ME, Authorization="Bearer nonsense").status == 401


@pytest.mark.parametrize(
    "secret",
    [
        "changeme",
        "x" * 40,
        "please-change-me-0123456789-abcdefghij",
        "0123456789" * 4,
        "your_jwt_key_goes_here_and_is_long",
    ],
)
def test_a_weak_secret_key_is_refused_at_start(toolhost, secret) -> None:
    done = toolhost("serve", "--port", "1", env={"JWT_SECRET_KEY": secret})
    assert done.returncode != 0
    assert secret not in done.stderr


def test_the_access_log_has_no_query(server, ada) -> None:
    paths: list[str] = []
    for _ in range(100):  # the line is written after the answer
        ada.get("/health?token=planted-in-the-query")
        lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
        paths = [entry["path"] for entry in map(json.loads, lines) if entry["logger"] == "toolhost.access"]
        if "/health" in paths:
            break
    assert "/health" in paths
    assert "planted-in-the-query" not in server.log.read_text()
