"""The way out, whole: ordinary clients in a sandbox, the broker in the host, a server with a public address."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from driver import Driver, writable
from internet import ENV, Internet

HTTPS, HTTP = "ok.com:443", "ok.com:80"


def test_curl_reaches_an_allowed_host_by_https(online: Driver) -> None:
    said = online.ask(programs=["curl"], arguments=["-sS", "https://ok.com/x"], network=[HTTPS], env=ENV)
    assert (said["stdout"], said["stderr"]) == ("hello from ok.com\n", "")
    (connection,) = said["connections"]
    assert (connection["host"], connection["port"], connection["code"]) == ("ok.com", 443, "ok")
    assert connection["address"] == "93.184.216.34"
    assert connection["sent"] > 0
    assert connection["received"] > 0


def test_curl_reaches_an_allowed_host_by_http(online: Driver) -> None:
    words = ["-sS", "http://ok.com/1", "http://ok.com/2"]
    said = online.ask(programs=["curl"], arguments=words, network=[HTTP], env=ENV)
    assert (said["stdout"], said["stderr"]) == ("hello from ok.com\n" * 2, "")
    assert [one["code"] for one in said["connections"]] == ["ok", "ok"]


def test_a_host_that_has_only_an_ipv6_address_is_reached(online: Driver) -> None:
    said = online.ask(programs=["curl"], arguments=["-sS", "https://six.org/"], network=["six.org:443"], env=ENV)
    assert said["stdout"] == "hello from six.org\n"
    assert said["connections"][0]["address"] == "2a00:1450:4001::34"


def test_a_wildcard_reaches_what_is_below_it_and_not_the_domain_itself(online: Driver) -> None:
    words = ["-sS", "https://www.ok.com/", "https://ok.com/"]
    said = online.ask(programs=["curl"], arguments=words, network=["*.ok.com:443"], env=ENV)
    assert said["stdout"] == "hello from www.ok.com\n"
    codes = {one["host"]: one["code"] for one in said["connections"]}
    assert codes == {"www.ok.com": "ok", "ok.com": "destination_not_allowed"}


@pytest.mark.parametrize("url", ["https://ok.com/", "http://ok.com/"])
def test_wget_reaches_an_allowed_host(online: Driver, url: str) -> None:
    said = online.ask(programs=["wget"], arguments=["-qO-", url], network=[HTTPS, HTTP], env=ENV)
    assert said["stdout"] == "hello from ok.com\n", said["stderr"]


@pytest.mark.parametrize("url", ["https://ok.com/", "http://ok.com/"])
def test_python_reaches_an_allowed_host(online: Driver, url: str) -> None:
    code = f"import urllib.request as r; print(r.urlopen('{url}').read())"
    said = online.python(code, network=[HTTPS, HTTP], env=ENV)
    assert said["stdout"] == "b'hello from ok.com\\n'\n", said["stderr"]


def test_python_sends_a_body(online: Driver, internet: Internet) -> None:
    code = "import urllib.request as r; print(r.urlopen('http://ok.com/post', data=b'x' * 200000).status)"
    assert online.python(code, network=[HTTP], env=ENV)["stdout"] == "200\n"
    assert "POST ok.com /post 200000" in internet.seen()


def test_git_clones_by_https(online: Driver, work: Path) -> None:
    config = {
        "/etc/gitconfig": '[safe]\n directory = *\n[protocol]\n allow = never\n[protocol "https"]\n allow = always\n'
    }
    said = online.ask(
        programs=["git"],
        arguments=["clone", "https://ok.com/repo/", "/workspace/copy"],
        cwd="/workspace",
        network=[HTTPS],
        env=ENV,
        files=config,
        roots=[writable(work)],
    )
    assert said["exit_code"] == 0, said["stderr"]
    assert (work / "copy/.git/HEAD").exists()


def test_a_certificate_of_another_authority_is_not_trusted(online: Driver) -> None:
    said = online.ask(
        programs=["curl"],
        arguments=["-sS", "https://ok.com/"],
        network=[HTTPS],
        env=ENV | {"CURL_CA_BUNDLE": "/etc/ssl/openssl.cnf"},
    )
    assert said["stdout"] == ""
    assert said["exit_code"] != 0


def test_a_call_that_ends_or_is_cancelled_leaves_no_descriptor_behind(online: Driver) -> None:
    def once(**more: object) -> dict[str, object]:
        code = "import urllib.request as r; r.urlopen('https://ok.com/').read(); print('seen', flush=True); input()"
        return online.python(code, network=[HTTPS], env=ENV, limits={"wall": 10}, **more)

    def descriptors(at_most: int, within: float) -> int:
        online.ask(do="disarm")
        deadline = time.monotonic() + within
        while (found := online.ask(do="facts")["descriptors"]) > at_most and time.monotonic() < deadline:
            time.sleep(0.01)  # what is let go ends behind the caller's back
        return int(found)

    once()
    before = descriptors(0, 1)  # the fewest there are
    for _ in range(3):
        once()
        assert once(cancel_when="seen").get("cancelled")
    assert descriptors(before, 5) <= before


def test_calls_at_the_same_time_have_each_their_own_network(online: Driver) -> None:
    one = {"programs": ["curl"], "arguments": ["-sS", "https://ok.com/"], "env": ENV}
    requests = [one | {"network": [HTTPS if number % 2 else "www.ok.com:443"]} for number in range(8)]
    answers = online.ask(do="gather", requests=requests)["answers"]
    for number, answer in enumerate(answers):
        assert [each["code"] for each in answer["connections"]] == ["ok" if number % 2 else "destination_not_allowed"]
        assert bool(answer["stdout"]) == bool(number % 2)
