"""How often somebody may ask, what they are told, and whose address a request has."""

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from types import SimpleNamespace

import pytest
from soakhttp import flood
from test_people import SOON, until
from webserver import PASSWORD, Person, WebServer
from websockets.exceptions import ConnectionClosed, InvalidStatus

from toolhost.accounts import passwords
from toolhost.errors import MachineError
from toolhost.settings import Rate, load_settings
from toolhost.web.counters import Counters
from toolhost.web.forwarded import Forwarded
from toolhost.web.rates import RateLimitedError, Rates, group

ME = "/api/auth/me"
LONG = "10m"  # so that no stretch of time ends while a test runs


@pytest.fixture(scope="module")
def strict():
    """A server whose limits are near, behind a proxy on this machine."""
    with WebServer(
        TOOLHOST_API_RATE=f"12/{LONG}",
        TOOLHOST_CHAT_RATE=f"3/{LONG}",
        TOOLHOST_SOCKET_RATE=f"5/{LONG}",
        TOOLHOST_LOGIN_RATE=f"3/{LONG}",
        TOOLHOST_TRUSTED_PROXIES="127.0.0.0/8, 192.0.2.0/24",
    ) as running:
        yield running.start()


def at_address(server: WebServer, address: str, bearer: str | None = None, scheme: str = "https") -> Person:
    """Somebody whose requests come from an address, as the proxy says."""
    return Person(server, bearer, sent={"X-Forwarded-For": address, "X-Forwarded-Proto": scheme})


@pytest.fixture(scope="module")
def gina(strict) -> str:
    """The access token of somebody, got from an address of its own."""
    at = at_address(strict, "198.51.100.250")
    assert at.post("/api/setup", {"token": strict.setup_token, "username": "gina", "password": PASSWORD}).status == 201
    answer = at.post("/api/auth/login", {"username": "gina", "password": PASSWORD})
    assert answer.status == 200
    assert set(answer.cookies) == {"__Host-toolhost-access", "__Host-toolhost-refresh"}
    assert all(
        morsel["secure"] and morsel["path"] == "/" and not morsel["domain"] for morsel in answer.cookies.values()
    )
    at.bearer = answer.json["access_token"]
    for name in ("hugo", "ines"):  # two of her requests
        assert at.post("/api/users", {"username": name, "password": "one of gina's choice"}).status == 201
        person = at_address(strict, "198.51.100.251")
        person.sign_in(name, "one of gina's choice")
        assert (
            person.post("/api/auth/password", {"current": "one of gina's choice", "password": PASSWORD}).status == 200
        )
    return at.bearer


def test_the_limits_are_these_unless_others_are_set() -> None:
    settings = load_settings({"data": "/nonexistent"}, {})
    rates = (settings.chat_rate, settings.socket_rate, settings.api_rate, settings.login_rate)
    assert rates == (Rate(30, 60), Rate(60, 60), Rate(100, 60), Rate(5, 300))


def test_a_stranger_is_told_what_is_left_and_refused_after_it_also_where_nothing_is(strict, gina) -> None:
    stranger = at_address(strict, "198.51.100.1")
    seen = []
    for number in range(12):
        answer = stranger.get("/api/nothing" if number % 2 else ME)
        assert answer.status == 401
        assert answer.headers["x-ratelimit-limit"] == "12"
        assert time.time() - 1 <= int(answer.headers["x-ratelimit-reset"]) <= time.time() + 2 * 600
        seen.append(int(answer.headers["x-ratelimit-remaining"]))
    assert seen == list(range(11, -1, -1))
    answer = stranger.get(ME)
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert stranger.get("/health").status == 200
    assert stranger.get("/static/css/base.css").status == 200
    assert stranger.get("/login").status == 200
    assert at_address(strict, "198.51.100.2").get(ME).status == 401


def test_pages_of_other_sites_do_not_fill_the_audit_log(strict, gina) -> None:
    stranger = at_address(strict, "203.0.113.60")
    headers = {"Origin": "https://evil.example/" + "x" * 20_000}
    answers = [stranger.request("POST", "/nothing", raw=b"{}", headers=headers) for _ in range(16)]
    assert [answer.status for answer in answers] == [403] * 12 + [429] * 4
    records = [one for one in strict.audit() if one["details"].get("ip") == "203.0.113.60"]
    assert [one["event"] for one in records] == ["origin_refused"] * 12 + ["rate_limited"]
    assert max(len(str(one)) for one in records) < 2000


def test_a_person_s_requests_count_for_the_person_wherever_they_come_from(strict, gina) -> None:
    statuses = [at_address(strict, f"198.51.100.{10 + number}", gina).get("/api/tools").status for number in range(14)]
    assert statuses == [200] * 10 + [429] * 4  # of twelve she had used two


def test_what_makes_a_tool_work_has_a_limit_of_its_own(strict, gina) -> None:
    at = at_address(strict, "198.51.100.30")
    at.bearer = at.post("/api/auth/login", {"username": "hugo", "password": PASSWORD}).json["access_token"]
    answers = [at.call("files.list") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[3].headers["x-ratelimit-limit"] == "3"
    assert at.get("/api/tools").status == 200
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert at.post("/mcp", body).status == 200
    by_mcp = at.post("/mcp", {**body, "method": "tools/call", "params": {"name": "files.list"}})
    assert (by_mcp.status, by_mcp.code, by_mcp.headers["x-ratelimit-limit"]) == (429, "rate_limited", "3")
    assert int(by_mcp.headers["retry-after"]) >= 1
    assert "content-security-policy" in by_mcp.headers


def test_one_message_too_many_says_so_and_closes_the_socket(strict, gina) -> None:
    at = at_address(strict, "198.51.100.31")
    at.bearer = at.post("/api/auth/login", {"username": "ines", "password": PASSWORD}).json["access_token"]
    with at.socket() as connection:
        for _ in range(6):
            connection.send("ping")
        kinds = [connection.next(timeout=SOON) for _ in range(6)]
        with pytest.raises(ConnectionClosed) as closed:
            connection.next(timeout=SOON)
    assert closed.value.rcvd.code == 1008
    assert [event["type"] for event in kinds] == ["pong"] * 5 + ["error"]
    assert kinds[-1]["error"]["code"] == "rate_limited"
    assert "rate_limited" in [record["event"] for record in strict.audit() if record["category"] == "security"]


def test_who_guesses_passwords_waits_longer_each_time_and_its_owner_does_not(strict, gina) -> None:
    thief, wrong = at_address(strict, "198.51.100.40"), {"username": "gina", "password": "not her password"}
    answers = [thief.post("/api/auth/login", wrong) for _ in range(4)]
    assert [answer.status for answer in answers] == [401, 401, 401, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"3"}, "the limit that is nearest"
    assert int(answers[2].headers["x-ratelimit-reset"]) >= int(answers[3].headers["x-ratelimit-reset"]) - 5
    for username in ("gina", "nobody"):  # from another address: the account waits, whether there is one or not
        other = at_address(strict, "198.51.100.41" if username == "gina" else "198.51.100.42")
        statuses = [other.post("/api/auth/login", {**wrong, "username": username}).status for _ in range(2)]
        assert statuses == ([429, 429] if username == "gina" else [401, 401])
    assert thief.post("/api/auth/login", {"username": "gina", "password": PASSWORD}).status == 429
    waits = [one["details"] for one in strict.audit() if one["details"].get("limit") == "login"]
    assert [(one["user"], one["ip"]) for one in waits] == [("gina", "198.51.100.40"), ("gina", "198.51.100.41")]
    owner = at_address(strict, "198.51.100.250")  # where she has signed in before
    assert owner.post("/api/auth/login", {"username": "gina", "password": PASSWORD}).status == 200


@pytest.mark.parametrize(
    "header",
    ["198.51.100.60, {}", "garbage, {}", "198.51.100.61, {}, 192.0.2.9", "{}, 127.0.0.1", " {} ", ", ,{}"],
)
def test_what_a_client_writes_before_the_proxy_s_word_changes_nothing(strict, header) -> None:
    """Whatever stands left of the nearest address that is no proxy of ours is the client's own invention."""
    place = f"203.0.113.{1 + abs(hash(header)) % 200}"
    before = int(at_address(strict, place).get(ME).headers["x-ratelimit-remaining"])
    after = at_address(strict, header.format(place)).get(ME)
    assert int(after.headers["x-ratelimit-remaining"]) == before - 1


async def test_a_proxy_is_known_on_a_socket_for_both_kinds_of_addresses() -> None:
    """There the system spells its IPv4 address as IPv6."""
    clients: list[str] = []

    async def app(scope, receive, send) -> None:
        clients.append(scope["client"][0])

    for proxy in ("::ffff:192.0.2.7", "192.0.2.7", "::ffff:192.0.3.7"):
        headers = [(b"x-forwarded-for", b"198.51.100.9")]
        scope = {"type": "http", "scheme": "http", "client": (proxy, 1), "headers": headers}
        await Forwarded(app, [ip_network("192.0.2.0/24")])(scope, None, None)
    assert clients == ["198.51.100.9", "198.51.100.9", "::ffff:192.0.3.7"]


async def test_a_proxy_may_write_the_client_s_port() -> None:
    clients: list[str] = []

    async def app(scope, receive, send) -> None:
        clients.append(scope["client"][0])

    for said in (
        b"198.51.100.9:4711",
        b"[2001:db8::9]:4711",
        b"2001:db8::9",
        b"203.0.113.1, 198.51.100.9:1",
        b":1",
        b"x:1",
    ):
        scope = {"type": "http", "scheme": "http", "client": ("192.0.2.7", 1), "headers": [(b"x-forwarded-for", said)]}
        await Forwarded(app, [ip_network("192.0.2.0/24")])(scope, None, None)
    assert clients == ["198.51.100.9", "2001:db8::9", "2001:db8::9", "198.51.100.9", "192.0.2.7", "192.0.2.7"]


def test_without_a_trusted_proxy_a_header_names_nobody(server, ada) -> None:
    answer = ada.get(ME, headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "Forwarded": "for=x"})
    assert "strict-transport-security" not in answer.headers
    login = server.stranger().post(
        "/api/auth/login",
        {"username": "ada", "password": PASSWORD},
        headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"},
    )
    assert set(login.cookies) == {"toolhost-access", "toolhost-refresh"}
    assert [record for record in server.audit() if record["event"] == "login"][-1]["details"]["ip"] == "127.0.0.1"


def test_under_tls_browsers_are_told_to_stay_there_once(strict) -> None:
    answer = at_address(strict, "198.51.100.70").get("/login")
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    plain = at_address(strict, "198.51.100.70", scheme="http").get("/login")
    assert "strict-transport-security" not in plain.headers


def test_a_blocked_address_gets_no_answer_until_it_is_taken_back(strict, gina) -> None:
    place = "203.0.113.250"
    at = at_address(strict, place)
    assert at.get("/login").status == 200
    assert "blocked until" in strict.command("block", "add", "203.0.113.248/29", "--minutes", "5", "--reason", "test")
    until(lambda: at.get("/login").status == 403, "the block did not hold")
    for path in ("/", "/api/tools", "/health", "/static/css/base.css", "/nothing"):
        answer = at.get(path)
        assert answer.status == 403
        assert "content-security-policy" in answer.headers
    with pytest.raises(InvalidStatus) as refused, at_address(strict, place, gina).socket():
        pass
    assert refused.value.response.status_code == 403
    assert at_address(strict, "203.0.113.247").get("/login").status == 200
    assert "203.0.113.248/29" in strict.command("block", "list")
    events = [record for record in strict.audit() if record["event"] == "address_blocked"]
    assert events[-1]["details"]["network"] == "203.0.113.248/29"
    strict.command("block", "remove", "203.0.113.248/29")
    until(lambda: at.get("/login").status == 200, "the block still held")


def test_administrators_block_addresses_but_not_themselves(server, ada, bob) -> None:
    assert ada.post("/api/blocks", {"address": "203.0.113.7", "seconds": 60, "reason": "x"}).status == 201
    assert [block["network"] for block in ada.get("/api/blocks").json["blocks"]] == ["203.0.113.7/32"]
    assert ada.post("/api/blocks", {"address": "127.0.0.0/8"}).code == "block_yourself"
    for body in ({}, {"address": "x"}, {"address": "203.0.113.7", "seconds": 0}, {"address": "::1", "reason": "a\nb"}):
        assert ada.post("/api/blocks", body).code == "block_invalid"
    for everybody in ("0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"):
        assert ada.post("/api/blocks", {"address": everybody}).code == "block_everybody"
        assert "block_everybody" in server.run("block", "add", everybody).stderr
    assert bob.get("/api/blocks").code == "role_not_allowed"
    mapped = ada.post("/api/blocks", {"address": "::ffff:203.0.113.8/128", "seconds": 60})
    assert mapped.json["block"]["network"] == "203.0.113.8/32"
    assert ada.request("DELETE", "/api/blocks/203.0.113.8").status == 204
    assert ada.request("DELETE", "/api/blocks/203.0.113.7/32").status == 204
    assert ada.request("DELETE", "/api/blocks/203.0.113.7/32").code == "block_not_found"


@pytest.mark.parametrize("size", [10, 200_000, 1_500_000])
def test_an_answer_before_the_request_has_arrived_is_not_lost(server, ada, size) -> None:
    """The whole request is read first: otherwise the connection is reset, and the answer with it."""
    for path, status in (("/api/tools/none.such/call", 401), ("/api/nothing", 401), ("/nothing", 404)):
        with socket.create_connection(("127.0.0.1", server.port), timeout=SOON) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
            for at in range(0, size, 65536):
                connection.sendall(b" " * min(65536, size - at))
            with connection.makefile("rb") as answer:
                assert int(answer.readline().split()[1]) == status
                headers = dict(line.decode().lower().split(": ", 1) for line in iter(answer.readline, b"\r\n"))
                assert len(answer.read(int(headers["content-length"]))) > 0
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert connection.recv(15) == b"HTTP/1.1 200 \r\n"[:15]


def test_a_hundred_thousand_addresses_take_a_bounded_place() -> None:
    settings = SimpleNamespace(**{f"{name}_rate": Rate(5, 60) for name in ("api", "chat", "socket", "login")})
    written = []
    audit = SimpleNamespace(write=lambda *record, **more: written.append(record))
    rates = Rates(settings, audit)
    for number in range(100_000):
        rates.count("api", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", None)
    assert len(rates._strangers["api"].counters) == 50_000
    assert not written


def test_a_window_slides_and_the_clock_on_the_wall_is_nobody_s_business(monkeypatch) -> None:
    now = [1000.0]
    counters = Counters(10, lambda: now[0])
    monkeypatch.setattr(time, "time", lambda: 0.0)

    def hit() -> bool:
        return counters.acquire_sliding_window_entry("k", 10, 100)

    now[0] = 1050.0
    assert [hit() for _ in range(11)] == [True] * 10 + [False]
    assert counters.wait("k", 10, 100) == pytest.approx(50.0)
    now[0] = 1100.5  # a new stretch; the ten of the one before still weigh almost whole
    assert [hit(), hit()] == [True, False]
    now[0] = 1150.0
    assert sum(hit() for _ in range(10)) == 4  # half of ten, and one
    now[0] = 1500.0
    assert sum(hit() for _ in range(20)) == 10
    assert not [key for key in ("other",) if counters.get(key)]


def test_many_who_sign_in_at_once_wait_in_turn_and_keep_nobody_else_waiting(server, ada) -> None:
    """A reduced form; `scripts/soak storm` does it with ten thousand and looks at the memory."""
    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(asyncio.run, flood(server.port, 40))
        asked = 0
        while not flooding.done():
            assert ada.get(ME).status == 200
            asked += 1
    assert flooding.result() == {"401": 40}
    assert asked > 5


async def test_whoever_comes_when_too_many_wait_is_told_to_come_back(monkeypatch) -> None:
    monkeypatch.setattr(passwords, "_WAITING", 3)
    hashing = passwords.Passwords()
    done = await asyncio.gather(*(hashing.verify("wrong and long", None) for _ in range(6)), return_exceptions=True)
    assert [one for one in done if not isinstance(one, MachineError)] == [(False, None)] * 3
    assert {one.code for one in done if isinstance(one, MachineError)} == {"login_busy"}
    assert await hashing.verify("wrong and long", None) == (False, None)


def test_one_machine_s_ipv6_addresses_are_one() -> None:
    assert group("2001:db8:1:2:3:4:5:6") == group("2001:db8:1:2::1") != group("2001:db8:1:3::1")
    assert group("::ffff:192.0.2.1") == group("192.0.2.1")


def test_each_lock_is_longer_than_the_last() -> None:
    settings = SimpleNamespace(**{f"{name}_rate": Rate(2, 60) for name in ("api", "chat", "socket", "login")})
    rates = Rates(settings, SimpleNamespace(write=lambda *record, **more: None))
    waits = []
    for _ in range(3):
        for _ in range(2):
            rates.attempt("ada", "192.0.2.1", known=True)
        with pytest.raises(RateLimitedError) as refused:
            rates.attempt("ada", "192.0.2.1", known=True)
        waits.append(refused.value.retry_after)
        for locks in (rates._login_address, rates._login_account):
            locks._strikes = type(locks._strikes)((who, (strikes, 0.0)) for who, (strikes, _) in locks._strikes.items())
            locks._failures.counters.reset()
    assert waits == [60, 120, 240]


def test_right_sign_ins_at_once_lock_nobody() -> None:
    settings = SimpleNamespace(**{f"{name}_rate": Rate(3, 60) for name in ("api", "chat", "socket", "login")})
    rates = Rates(settings, SimpleNamespace(write=lambda *record, **more: None))
    for _ in range(3):
        for attempt in [rates.attempt(name, "192.0.2.1", known=False) for name in ("ada", "bob", "eve")]:
            attempt.succeeded()
        for attempt in [rates.attempt("ada", "192.0.2.2", known=False) for _ in range(3)]:
            attempt.undecided()


def test_a_stranger_cannot_type_the_key_under_which_somebody_is_known() -> None:
    settings = SimpleNamespace(**{f"{name}_rate": Rate(2, 60) for name in ("api", "chat", "socket", "login")})
    rates = Rates(settings, SimpleNamespace(write=lambda *record, **more: None))
    for typed in ("bob@203.0.113.7", "at 203.0.113.7 bob"):
        for number in range(2):
            rates.attempt(typed, f"198.51.100.{number}", known=False)
    rates.attempt("bob", "203.0.113.7", known=True)
