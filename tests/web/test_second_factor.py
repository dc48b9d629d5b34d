"""The second factor: a code of the device with the password, each once, and recovery codes for the day it is lost."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from passlib.totp import TOTP
from test_people import until
from webserver import PASSWORD, Person


class Device:
    """What a person's phone does. Each code is of a later step than the last: the server takes a step once."""

    def __init__(self, secret: str) -> None:
        self._totp = TOTP(key=secret.replace(" ", ""))
        self._step = int(time.time()) // 30 - 2

    def code(self) -> str:
        """A code that was not shown yet; the server takes those of 30 seconds before and after."""
        while self._step >= int(time.time()) // 30 + 1:
            time.sleep(0.5)
        self._step = max(self._step + 1, int(time.time()) // 30 - 1)
        return self._totp.generate(self._step * 30).token


@pytest.fixture(scope="module")
def eve(server, ada) -> Person:
    return server.add_user("eve")


@pytest.fixture(scope="module")
def confirmed(eve) -> tuple[Device, list[str]]:
    """Her device and her recovery codes."""
    offer = eve.post("/api/auth/totp").json
    assert offer["uri"].startswith("otpauth://totp/Toolhost:eve?secret=")
    device = Device(offer["secret"])
    assert eve.post("/api/auth/totp/confirm", {"code": "000000"}).code == "totp_wrong"
    answer = eve.post("/api/auth/totp/confirm", {"code": device.code()})
    assert answer.status == 200
    return device, answer.json["recovery_codes"]


def login(server, totp: object, username: str = "eve") -> tuple[int, str]:
    answer = server.stranger().post("/api/auth/login", {"username": username, "password": PASSWORD, "totp": totp})
    return answer.status, "" if answer.status == 200 else answer.code


def test_signing_in_takes_a_code_and_each_code_once(server, eve, confirmed) -> None:
    device, _ = confirmed
    assert login(server, None) == (401, "totp_required")
    for wrong in ("000000", "abcdef", 7, ["x"], "1" * 100, "١٢٣٤٥٦"):
        assert login(server, wrong) == (401, "totp_wrong")
    code = device.code()
    assert login(server, code) == (200, "")
    assert login(server, code) == (401, "totp_wrong")
    wrong = server.stranger().post("/api/auth/login", {"username": "eve", "password": "wrong, and long", "totp": "1"})
    assert wrong.code == "login_failed"


def test_of_many_uses_of_one_code_at_once_one_succeeds(server, eve, confirmed) -> None:
    code = confirmed[0].code()
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(lambda _: login(server, code)[0], range(4))) == [200, 401, 401, 401]


def test_of_many_who_put_one_in_force_at_once_one_is_shown_codes_that_work(server, ada) -> None:
    olga = server.add_user("olga")
    code = Device(olga.post("/api/auth/totp").json["secret"]).code()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: olga.post("/api/auth/totp/confirm", {"code": code}), range(6)))
    shown = [answer.json["recovery_codes"] for answer in answers if answer.status == 200]
    assert [login(server, codes[0], "olga") for codes in shown] == [(200, "")]


def test_a_recovery_code_signs_in_once(server, eve, confirmed) -> None:
    codes = confirmed[1]
    assert len(set(codes)) == 10
    assert login(server, codes[0]) == (200, "")
    assert login(server, codes[0]) == (401, "totp_wrong")
    assert login(server, codes[1].replace("-", "").upper()) == (200, "")
    stored = b"".join(path.read_bytes() for path in (server.data / "state").glob("toolhost.db*"))
    assert not [code for code in codes if code.encode() in stored or code.replace("-", "").encode() in stored]


def test_giving_the_password_again_takes_a_code_too(server, eve, confirmed) -> None:
    codes = confirmed[1]
    assert eve.post("/api/auth/step-up", {"password": PASSWORD}).code == "totp_required"
    assert eve.post("/api/auth/step-up", {"password": PASSWORD, "totp": codes[2]}).status == 200
    assert eve.post("/api/auth/totp").code == "totp_active"


def test_a_password_alone_is_no_new_proof_where_there_is_a_second_factor(server, eve, confirmed) -> None:
    database = sqlite3.connect(server.data / "state" / "toolhost.db", timeout=30)
    with database:
        database.execute(
            "UPDATE sessions SET proved = proved - 601000 WHERE user_id = (SELECT id FROM users WHERE username = 'eve')"
        )
        database.execute("UPDATE access_changes SET number = number + 1")
    database.close()
    until(lambda: eve.post("/api/auth/totp").code == "step_up_required", "the old proof still counted")
    change = {"current": PASSWORD, "password": "a fresh and long one"}
    thief = Person(server, eve.post("/api/auth/password", change).json["access_token"])
    assert thief.request("DELETE", "/api/auth/totp").code == "step_up_required"
    back = thief.post("/api/auth/password", {"current": change["password"], "password": PASSWORD})
    eve.bearer = back.json["access_token"]
    assert eve.post("/api/auth/step-up", {"password": PASSWORD, "totp": confirmed[1][4]}).status == 200


def test_whoever_has_lost_everything_is_helped_by_an_administrator(server, ada, eve, confirmed) -> None:
    assert ada.request("DELETE", "/api/users/eve/totp").status == 204
    assert login(server, None) == (200, "")
    assert login(server, confirmed[1][3]) == (200, "")  # not asked for any more
    events = [record["event"] for record in server.audit()]
    assert {"totp_enabled", "totp_disabled", "recovery_code_used"} <= set(events)
