"""People as administrators manage them: roles, links, ends; and what a running server notices of other processes."""

import http.client
import re
import sqlite3
import threading
import time
from collections.abc import Iterator

import pytest
from webserver import PASSWORD, Person, WebServer
from websockets.exceptions import ConnectionClosed

from toolhost.accounts.signing import SigningKeys
from toolhost.accounts.tokens import AccessTokens
from toolhost.errors import AccessError

ME = "/api/auth/me"
SOON = 30.0  # seconds; a second is promised, and a busy machine is no failure of that


def until(condition, message: str) -> float:
    """Waits for something that another process caused; returns how long that took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < SOON, message
        time.sleep(0.02)
    return time.monotonic() - started


@pytest.fixture(scope="module")
def karla(server, ada) -> Person:
    """Somebody to whom all of this happens."""
    return server.add_user("karla")


def test_an_administrator_changes_what_somebody_may_do_and_it_holds_at_the_next_request(server, ada, karla) -> None:
    assert karla.get("/api/users").code == "role_not_allowed"
    assert ada.request("PATCH", "/api/users/karla", {"role": "admin"}).json["user"]["role"] == "admin"
    assert karla.get("/api/users").status == 200
    assert ada.request("PATCH", "/api/users/karla", {"role": "user"}).status == 200
    assert karla.get("/api/users").code == "role_not_allowed"
    assert karla.get(ME).json["user"]["role"] == "user"


def test_a_disabled_user_is_out_at_the_next_request_and_their_sockets_close(server, ada, karla) -> None:
    with karla.socket() as socket:
        assert ada.request("PATCH", "/api/users/karla", {"disabled": True}).json["user"]["disabled"] is True
        with pytest.raises(ConnectionClosed) as closed:
            socket.next(timeout=SOON)
    assert closed.value.rcvd.code == 4401
    assert karla.get(ME).status == 401
    answer = server.stranger().post("/api/auth/login", {"username": "karla", "password": PASSWORD})
    assert (answer.status, answer.code) == (401, "login_failed")
    assert ada.request("PATCH", "/api/users/karla", {"disabled": False}).status == 200
    karla.sign_in("karla")


def test_what_another_process_ends_closes_sockets_and_is_refused(server, ada, bob, karla) -> None:
    with karla.socket() as socket:
        assert "Sessions ended:" in server.command("sessions", "revoke", "--all")
        with pytest.raises(ConnectionClosed) as closed:
            socket.next(timeout=SOON)
    assert closed.value.rcvd.code == 4401
    assert karla.get(ME).status == ada.get(ME).status == 401
    for person, name in ((karla, "karla"), (ada, "ada"), (bob, "bob")):
        person.sign_in(name)
    server.command("user", "role", "karla", "viewer")
    until(lambda: karla.get(ME).json["user"]["role"] == "viewer", "the role did not change")
    with karla.socket() as socket:
        socket.send("message", text="hello")
        assert socket.next()["error"]["code"] == "role_not_allowed"
        server.command("user", "role", "karla", "user")
        until(lambda: karla.get(ME).json["user"]["role"] == "user", "the role did not change back")
        socket.send("message", text="hello")
        assert socket.next()["type"] == "conversation.created"


def test_a_new_signing_key_leaves_sessions_and_old_tokens_for_their_hour(server, ada, karla) -> None:
    old = karla.bearer
    said = server.command("secrets", "rotate")
    kid = re.search(r"key (\w+) now", said)[1]
    import jwt

    def rotated() -> bool:
        answer = karla.browse("POST", "/api/auth/refresh", {})
        assert answer.status == 200
        karla.cookies.update({name: morsel.value for name, morsel in answer.cookies.items()})
        karla.bearer = answer.json["access_token"]
        return jwt.get_unverified_header(karla.bearer)["kid"] == kid

    until(rotated, "the server kept the old key")
    assert karla.get(ME).status == 200
    assert karla.get(ME, headers={"Authorization": f"Bearer {old}"}, anonymous=True).status == 200
    for name in ("jwt.key", "jwt.previous.key"):
        assert (server.data / "state" / name).stat().st_mode & 0o777 == 0o600


def test_an_old_signing_key_counts_for_its_grace_and_no_longer(tmp_path, monkeypatch) -> None:
    """Also in a server that runs on: whoever rotates a stolen key wants it to end."""
    import jwt

    keys, now = SigningKeys.load(tmp_path, None), int(time.time())
    tokens, stolen, kid = AccessTokens(keys), keys.current, keys.kid
    keys.rotate()
    claims = {"iss": "toolhost", "aud": "toolhost", "typ": "access", "sub": "u_1", "sid": "s_1", "jti": "1"}
    forged = jwt.encode({**claims, "iat": now, "exp": now + 36_000}, stolen, "HS256", headers={"kid": kid})
    assert tokens.read(forged).session_id == "s_1"
    monkeypatch.setattr(time, "time", lambda: now + 3700)
    with pytest.raises(AccessError):
        tokens.read(forged)


def test_a_person_sees_and_ends_their_own_sessions_only(server, ada, bob) -> None:
    here, there = server.person("ada"), server.person("ada")
    listed = here.get("/api/sessions").json["sessions"]
    assert {one["username"] for one in listed} == {"ada"}
    assert sum(one["current"] for one in listed) == 1
    other = next(one["id"] for one in there.get("/api/sessions").json["sessions"] if one["current"])
    assert bob.request("DELETE", f"/api/sessions/{other}").code == "session_not_found"
    assert here.request("DELETE", f"/api/sessions/{other}").status == 204
    assert there.get(ME).status == 401
    assert here.request("DELETE", f"/api/sessions/{other}").status == 404
    assert here.request("DELETE", "/api/sessions").json["ended"] >= 1
    assert here.get(ME).status == 200
    assert ada.get(ME).status == 401
    ada.sign_in("ada")


def test_an_invitation_makes_one_account_with_its_role(server, ada) -> None:
    path = ada.post("/api/invitations", {"role": "operator"}).json["path"]
    assert path.startswith("/invite#token=")
    stranger, token = server.stranger(), path.partition("=")[2]
    assert stranger.get("/invite").status == 200
    account = {"token": token, "username": "dora", "password": PASSWORD}
    assert stranger.post("/api/invitations/accept", {**account, "token": "x" * 43}).code == "link_invalid"
    assert stranger.post("/api/invitations/accept", {**account, "password": "short"}).code == "password_too_short"
    assert stranger.post("/api/invitations/accept", {**account, "username": "ada"}).code == "username_taken"
    assert stranger.post("/api/invitations/accept", account).json["user"]["role"] == "operator"
    again = stranger.post("/api/invitations/accept", {**account, "username": "eve"})
    assert (again.status, again.code) == (410, "link_invalid")
    assert server.person("dora").get(ME).json["user"]["role"] == "operator"


def test_of_many_who_take_one_invitation_at_once_one_gets_in(server, ada) -> None:
    token = ada.post("/api/invitations", {}).json["path"].partition("=")[2]
    statuses: list[int] = []

    def take(number: int) -> None:
        body = {"token": token, "username": f"racer{number}", "password": PASSWORD}
        statuses.append(server.stranger().post("/api/invitations/accept", body).status)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 410, 410, 410]


def test_a_reset_link_sets_a_password_once_and_ends_the_sessions(server, ada, karla) -> None:
    first = ada.post("/api/users/karla/reset").json["path"].partition("=")[2]
    printed = server.command("user", "reset", "karla")
    token = printed.strip().partition("token=")[2]
    body = {"token": token, "password": "a fresh and long one"}
    stranger = server.stranger()
    assert stranger.post("/api/passwords/reset", {**body, "token": first}).status == 410
    assert stranger.post("/api/passwords/reset", body).status == 200
    assert stranger.post("/api/passwords/reset", body).status == 410
    assert karla.get(ME).status == 401
    assert stranger.post("/api/auth/login", {"username": "karla", "password": PASSWORD}).status == 401
    karla.sign_in("karla", "a fresh and long one")


def test_who_signs_in_with_the_old_password_meanwhile_has_no_session_afterwards(server, ada, threads) -> None:
    server.add_user("otto")
    token = ada.post("/api/users/otto/reset").json["path"].partition("=")[2]
    old = {"username": "otto", "password": PASSWORD}
    tries = [threads.submit(server.stranger().post, "/api/auth/login", old) for _ in range(4)]
    fresh = {"token": token, "password": "a fresh and long one"}
    reset = threads.submit(server.stranger().post, "/api/passwords/reset", fresh)
    tries += [threads.submit(server.stranger().post, "/api/auth/login", old) for _ in range(4)]
    assert reset.result().status == 200
    tokens = [answer.json["access_token"] for answer in (each.result() for each in tries) if answer.status == 200]
    assert {Person(server, token).get(ME).status for token in tokens} <= {401}


def test_the_audit_log_says_who_did_what_to_whom(server, ada) -> None:
    before = len(server.audit())
    assert ada.post("/api/users", {"username": "paul", "password": "a fresh and long one"}).status == 201
    ada.request("PATCH", "/api/users/paul", {"role": "operator", "disabled": True})
    ada.request("PATCH", "/api/users/paul", {"disabled": False})
    ada.post("/api/users/paul/reset")
    for what in ("sessions", "keys", "totp"):
        ada.request("DELETE", f"/api/users/paul/{what}")
    server.command("user", "disable", "paul")
    done = [(one["event"], one["details"]) for one in server.audit()[before:]]
    assert [event for event, _ in done] == [
        "user_created", "user_role_changed", "user_disabled", "user_enabled", "password_reset_offered",
        "sessions_revoked", "keys_revoked", "totp_disabled", "user_disabled",
    ]  # fmt: skip
    assert [details["user"] for _, details in done] == ["ada"] * 8 + ["local"]
    assert {details["account"] for _, details in done} == {"paul"}
    found = ada.get("/api/audit?user=paul").json["records"]
    assert [one["event"] for one in found] == [event for event, _ in reversed(done)]


def test_an_administrator_who_is_shut_out_makes_nobody_any_more(server, ada, threads) -> None:
    rosa = server.add_user("rosa", "admin")
    fields = {"password": "a fresh and long one", "role": "admin"}
    made = [threads.submit(rosa.post, "/api/users", {"username": f"ally-{n}", **fields}) for n in range(6)]
    assert ada.request("PATCH", "/api/users/rosa", {"disabled": True}).status == 200
    assert {each.result().status for each in made} <= {201, 401}
    told = [one for one in server.audit() if (one["details"].get("account") or "").startswith(("ally-", "rosa"))]
    assert told[-1]["event"] == "user_disabled"


def test_a_request_is_nobody_s_any_more_whose_end_comes_after_its_person_was_shut_out(server, ada) -> None:
    """The body may come half a minute after the head."""
    sara = server.add_user("sara", "admin")
    held = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=SOON) for _ in range(6)]
    requests = [
        ("POST", "/api/invitations"),
        ("POST", "/api/keys"),
        ("POST", "/api/resume"),
        ("POST", "/api/tools/files.list/call"),
        ("POST", "/api/chat"),
        ("PUT", f"/api/conversations/{sara.conversation()}/files/a.txt"),
    ]
    body = b'{"role": "admin", "name": "x", "scopes": ["admin"], "message": "hello"}'
    for line, (method, path) in zip(held, requests, strict=True):
        line.putrequest(method, path)
        for name, value in {"Content-Length": len(body), "Content-Type": "application/json"}.items():
            line.putheader(name, str(value))
        line.putheader("Authorization", f"Bearer {sara.bearer}")
        line.endheaders(body[:1])
    assert sara.get(ME).status == 200
    assert ada.request("PATCH", "/api/users/sara", {"disabled": True}).status == 200
    for line, request in zip(held, requests, strict=True):
        line.send(body[1:])
        assert line.getresponse().status == 401, request
        line.close()


def test_what_somebody_may_no_longer_give_or_take_ends_with_their_role(server, ada) -> None:
    norbert = server.add_user("norbert", "admin")

    def invitation() -> dict[str, str]:
        token = norbert.post("/api/invitations", {"role": "admin"}).json["path"].partition("=")[2]
        return {"token": token, "username": "heir", "password": PASSWORD}

    stranger, first = server.stranger(), invitation()
    assert ada.request("PATCH", "/api/users/norbert", {"role": "user"}).status == 200
    assert stranger.post("/api/invitations/accept", first).code == "link_invalid"
    assert ada.request("PATCH", "/api/users/norbert", {"role": "admin"}).status == 200
    second = invitation()
    reset = ada.post("/api/users/norbert/reset").json["path"].partition("=")[2]
    assert ada.request("PATCH", "/api/users/norbert", {"disabled": True}).status == 200
    assert stranger.post("/api/invitations/accept", second).code == "link_invalid"
    assert stranger.post("/api/passwords/reset", {"token": reset, "password": "a fresh and long one"}).status == 410
    assert ada.request("PATCH", "/api/users/norbert", {"disabled": False}).status == 200
    norbert.sign_in("norbert")
    reset = ada.post("/api/users/norbert/reset").json["path"].partition("=")[2]
    change = {"current": PASSWORD, "password": "a fresh and long one"}
    assert norbert.post("/api/auth/password", change).status == 200
    assert stranger.post("/api/passwords/reset", {"token": reset, "password": "another fresh one"}).status == 410
    assert ada.request("PATCH", "/api/users/norbert", {"role": "user"}).status == 200


def test_a_link_that_has_expired_is_refused(server, ada) -> None:
    token = ada.post("/api/invitations", {}).json["path"].partition("=")[2]
    database = sqlite3.connect(server.data / "state" / "toolhost.db", timeout=30)
    with database:
        database.execute("UPDATE links SET expires = 1 WHERE used IS NULL")
    database.close()
    body = {"token": token, "username": "late", "password": PASSWORD}
    assert server.stranger().post("/api/invitations/accept", body).code == "link_invalid"


GIVEN = "given by the unit file"


@pytest.fixture(scope="module")
def given() -> Iterator[WebServer]:
    """A server whose first administrator is of the environment."""
    with WebServer(ADMIN_PASSWORD=GIVEN) as running:
        yield running.start()


def test_a_first_administrator_of_the_environment_has_to_choose_a_password(given) -> None:
    server = given
    assert "#token=" not in server.printed
    admin = server.stranger()
    assert admin.sign_in("admin", GIVEN).json["user"]["must_change_password"] is True
    assert admin.get("/api/tools").code == "password_change_required"
    assert admin.browse("GET", "/").headers["location"] == "/password"
    assert admin.browse("GET", "/password").status == 200
    wrong = admin.post("/api/auth/password", {"current": "not this one at all", "password": PASSWORD})
    assert (wrong.status, wrong.code) == (403, "password_wrong")
    assert admin.post("/api/auth/password", {"current": GIVEN, "password": GIVEN}).code == "password_unchanged"
    assert admin.post("/api/auth/password", {"current": GIVEN, "password": PASSWORD}).status == 200
    assert admin.get(ME).status == 401  # every session from before has ended
    server.end()
    server.start()
    assert admin.post("/api/auth/login", {"username": "admin", "password": GIVEN}).status == 401
    admin.sign_in("admin")
    assert admin.get("/api/tools").status == 200
    texts = [path.read_bytes() for path in (server.log, *(server.data / "state").iterdir()) if path.is_file()]
    assert not [text for text in texts if GIVEN.encode() in text]


def test_there_is_always_an_administrator(given) -> None:
    server, ada = given, given.stranger()
    if ada.post("/api/auth/login", {"username": "admin", "password": PASSWORD}).status != 200:
        ada.sign_in("admin", GIVEN)
        ada.post("/api/auth/password", {"current": GIVEN, "password": PASSWORD})
    ada.sign_in("admin")
    for change in ({"role": "user"}, {"disabled": True}):
        answer = ada.request("PATCH", "/api/users/admin", change)
        assert (answer.status, answer.code) == (409, "last_admin")
    ada.post("/api/users", {"username": "bea", "password": "a word that is long", "role": "admin"})
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda name=name: answers.append(ada.request("PATCH", f"/api/users/{name}", {"role": "user"}).status)
        )
        for name in ("admin", "bea")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "  admin  " in server.command("user", "list")
    assert 200 in answers


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("eleven char", "password_too_short"),
        ("password123456", "password_common"),
        ("P@ssw0rd2024!", "password_common"),
        ("MotDePasse2024", "password_common"),
        ("qwertyuiopasdf", "password_common"),
        ("abcabcabcabcabc", "password_common"),
        ("guessable-person1", "password_common"),
        ("x" * 4097, "password_too_long"),
        ("half \ud800 a surrogate", "body_invalid"),
    ],
)
def test_passwords_that_are_guessed_first_are_refused(server, ada, password, code) -> None:
    account = {"username": "guessable-person", "password": password}
    assert ada.post("/api/users", account).code == code


def test_an_administrator_s_change_asks_for_the_password_again_after_ten_minutes(server, ada) -> None:
    admin = server.person("ada")
    database = sqlite3.connect(server.data / "state" / "toolhost.db", timeout=30)
    with database:
        database.execute("UPDATE sessions SET proved = proved - 601000")
        database.execute("UPDATE access_changes SET number = number + 1")
    database.close()
    until(lambda: admin.post("/api/invitations", {}).status == 403, "the old proof still counted")
    assert admin.post("/api/invitations", {}).code == "step_up_required"
    assert admin.get("/api/users").status == 200
    assert admin.post("/api/auth/step-up", {"password": "not the password"}).code == "password_wrong"
    assert admin.post("/api/invitations", {}).status == 403
    assert admin.post("/api/auth/step-up", {"password": PASSWORD}).status == 200
    assert admin.post("/api/invitations", {}).status == 201
    ada.post("/api/auth/step-up", {"password": PASSWORD})
