"""API keys: what they are, what they let a program do, and that they end."""

import re
import sqlite3

import pytest
from test_people import until
from webserver import PASSWORD, Person

from toolhost.accounts.keys import new_key

ME = "/api/auth/me"


def make(person: Person, *scopes: str, **fields: object) -> tuple[str, Person]:
    """A key of a person: its id, and a program that has it."""
    answer = person.post("/api/keys", {"name": "test", "scopes": list(scopes), **fields})
    assert answer.status == 201, answer.text
    return answer.json["key"]["id"], Person(person.server, bearer=answer.json["token"])


def test_a_key_is_shown_once_and_only_its_digest_is_kept(server, ada) -> None:
    texts = [ada.post("/api/keys", {"name": f"k{n}", "scopes": ["chat"]}).json["token"] for n in range(5)]
    assert all(re.fullmatch(r"aio_[A-Za-z0-9]{32}", text) for text in texts)
    many = {new_key() for _ in range(10_000)}
    assert len(many) == 10_000
    assert {len(text) for text in many} == {36}
    stored = b"".join(path.read_bytes() for path in (server.data / "state").iterdir() if path.is_file())
    assert not [text for text in texts if text.encode() in stored or text[4:].encode() in stored]
    listed = ada.get("/api/keys")
    assert not [text for text in texts if text in listed.text]
    assert {text[-4:] for text in texts} <= {key["ending"] for key in listed.json["keys"]}


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["chat"], {"conversations"}),
        (["tools:read"], {"tools"}),
        (["tools:run"], {"call"}),
        (["tools:run:files"], {"call"}),
        (["tools:run:git"], set()),
        (["admin"], {"users"}),
        (["audit:read", "policies:read"], set()),
    ],
    ids=str,
)
def test_a_key_does_what_its_scopes_say_and_no_more(ada, scopes, allowed) -> None:
    _, program = make(ada, *scopes)
    answers = {
        "tools": program.get("/api/tools"),
        "conversations": program.get("/api/conversations"),
        "users": program.get("/api/users"),
        "call": program.call("files.list"),
    }
    assert {name for name, answer in answers.items() if answer.status == 200} == allowed
    for name, answer in answers.items():
        assert name in allowed or (answer.status, answer.code) == (403, "scope_missing")
    assert program.get(ME).json["user"]["username"] == "ada"


def test_a_key_neither_makes_keys_nor_answers_nor_opens_pages(ada) -> None:
    _, program = make(ada, "chat", "tools:run", "tools:read", "admin", "audit:read", "policies:read")
    for answer in (
        program.post("/api/keys", {"name": "another", "scopes": ["chat"]}),
        program.get("/api/keys"),
        program.post("/api/approvals/a_x", {"decision": "approve"}),
        program.post("/api/auth/password", {"current": PASSWORD, "password": "a fresh and long one"}),
        program.post("/api/auth/step-up", {"password": PASSWORD}),
        program.get("/api/sessions"),
        program.get("/"),
        program.get("/settings"),
    ):
        assert answer.status == 403, answer.text
        assert "key_not_allowed" in answer.text or "An API key cannot" in answer.text


def test_a_key_of_an_administrator_shuts_people_out_and_lets_nobody_in(server, ada) -> None:
    greta = server.add_user("greta", "viewer")
    _, program = make(ada, "admin")
    for method, path, body in (
        ("POST", "/api/users", {"username": "by-a-key", "password": "a fresh and long one", "role": "admin"}),
        ("POST", "/api/invitations", {"role": "admin"}),
        ("POST", "/api/users/ada/reset", {}),
        ("DELETE", "/api/users/ada/totp", None),
        ("PATCH", "/api/users/greta", {"role": "admin"}),
        ("PATCH", "/api/users/greta", {"role": "admin", "disabled": True}),
        ("PATCH", "/api/users/greta", {"disabled": False}),
    ):
        answer = program.request(method, path, body)
        assert (answer.status, answer.code) == (403, "key_not_allowed"), (method, path, body)
    assert greta.get(ME).json["user"]["role"] == "viewer"
    assert program.request("PATCH", "/api/users/greta", {"disabled": True}).status == 200
    assert greta.get(ME).status == 401


def test_a_key_never_exceeds_what_its_owner_may_do_now(server, ada) -> None:
    frank = server.add_user("frank", "admin")
    _, program = make(frank, "admin", "tools:run")
    assert program.get("/api/users").status == 200
    ada.request("PATCH", "/api/users/frank", {"role": "user"})
    assert program.get("/api/users").code == "role_not_allowed"
    assert program.call("files.list").status == 200
    assert frank.post("/api/keys", {"name": "more", "scopes": ["admin"]}).code == "role_not_allowed"
    ada.request("PATCH", "/api/users/frank", {"role": "viewer"})
    assert program.call("files.list").code == "role_not_allowed"
    ada.request("PATCH", "/api/users/frank", {"disabled": True})
    assert program.get(ME).status == 401


def test_a_key_ends_when_it_is_revoked_or_expires(server, ada, bob) -> None:
    key_id, program = make(ada, "chat")
    assert bob.request("DELETE", f"/api/keys/{key_id}").code == "key_not_found"
    assert program.get(ME).status == 200
    assert ada.request("DELETE", f"/api/keys/{key_id}").status == 204
    assert program.get(ME).status == 401
    key_id, program = make(ada, "chat", seconds=3600)
    database = sqlite3.connect(server.data / "state" / "toolhost.db", timeout=30)
    with database:
        database.execute("UPDATE api_keys SET expires = 1 WHERE id = ?", (key_id,))
    database.close()
    assert program.get(ME).status == 401


def test_the_command_line_makes_lists_and_revokes_keys(server, ada) -> None:
    text = server.command("key", "create", "ada", "--name", "ci", "--scope", "tools:run:git", "--days", "7").strip()
    program = Person(server, bearer=text)
    assert program.get(ME).status == 200
    line = next(line for line in server.command("key", "list").splitlines() if line.endswith("ci"))
    assert text not in line
    assert f"...{text[-4:]}  tools:run:git" in line
    server.command("key", "revoke", line.split()[0])
    until(lambda: program.get(ME).status == 401, "the key still worked")


@pytest.mark.parametrize("carrier", ["query", "cookie", "X-API-Key", "Basic"])
def test_a_key_counts_in_the_authorization_header_only(server, ada, carrier) -> None:
    _, program = make(ada, "chat")
    headers = {
        "query": {},
        "cookie": {"Cookie": f"toolhost-access={program.bearer}; access_token={program.bearer}"},
        "X-API-Key": {"X-API-Key": program.bearer},
        "Basic": {"Authorization": f"Basic {program.bearer}"},
    }[carrier]
    path = f"{ME}?access_token={program.bearer}&api_key={program.bearer}" if carrier == "query" else ME
    answer = server.stranger().get(path, headers=headers)
    assert (answer.status, answer.code) == (401, "not_authenticated")


@pytest.mark.parametrize(
    "text", ["aio_", "aio_" + "x" * 31, "aio_" + "x" * 33, "aio_" + "é" * 32, "AIO_" + "x" * 32, "aio_" + "x" * 32]
)
def test_what_looks_like_a_key_and_is_none_is_refused(server, ada, text) -> None:
    answer = server.stranger().get(ME, headers={"Authorization": b"Bearer " + text.encode()})
    assert answer.status == 401


@pytest.mark.parametrize(
    "fields",
    [
        {"scopes": []},
        {"scopes": ["chat", "everything"]},
        {"scopes": ["tools:run:"]},
        {"scopes": ["tools:run:../x"]},
        {"scopes": "chat"},
        {"scopes": [["chat"]]},
        {"scopes": None},
        {"name": ""},
        {"name": "x" * 101},
        {"name": "two\nlines"},
        {"seconds": 0},
        {"seconds": True},
        {"seconds": 10**12},
    ],
    ids=str,
)
def test_a_key_that_makes_no_sense_is_not_made(ada, fields) -> None:
    answer = ada.post("/api/keys", {"name": "k", "scopes": ["chat"], **fields})
    assert (answer.status, answer.code) in ((422, "scopes_invalid"), (422, "key_invalid"))


def test_a_key_works_over_the_socket_as_far_as_its_scopes_go(ada) -> None:
    _, program = make(ada, "chat", "tools:run:files")
    with program.socket() as socket:
        socket.send("call", tool="files.list", arguments={})
        assert socket.to_the_end()[-1]["type"] == "run.completed"
        socket.send("call", tool="git.status", arguments={})
        assert socket.until("error")[-1]["error"]["code"] in ("scope_missing", "unknown_tool")
        socket.send("approve", approval_id="a_x")
        assert socket.until("error")[-1]["error"]["code"] == "key_not_allowed"
