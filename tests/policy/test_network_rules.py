"""`[network]`: which hosts a command may reach, and that whoever looks sees it."""

from __future__ import annotations

import pytest
from policy_bench import Bench

from toolhost.policy import explain, explain_json

OWN = """
[network]
any = true
[commands]
allow = [{{ run = "echo y", network = [{}] }}]
"""
ECHO = '[commands]\nallow = ["echo {text}"]\n'


def network(bench: Bench, line: str = "echo x") -> tuple[str, ...]:
    """The network of the plan for a command."""
    considered = bench.command(line)
    assert considered.plan is not None, considered.decision
    return considered.plan.network


@pytest.mark.parametrize("table", ["", "[network]\n", "[network]\nallow = []\n", "[network]\nany = true\n"])
def test_what_is_missing_or_empty_is_no_network(bench: Bench, table: str) -> None:
    bench.load(probe=ECHO + table)
    considered = bench.command("echo x")
    assert considered.plan is not None
    assert considered.plan.network == ()
    assert not any("proxy" in name.lower() for name, _ in considered.plan.env)


def test_hosts_are_in_the_plan_in_the_order_of_the_file_each_once(bench: Bench) -> None:
    bench.load(probe=ECHO + '[network]\nallow = ["b.org:443", "*.a.org:8443", "b.org:443"]\n')
    assert network(bench) == ("b.org:443", "*.a.org:8443")


def test_every_host_needs_to_be_said_twice(bench: Bench) -> None:
    bench.load(probe=ECHO + '[network]\nallow = ["*"]\nany = true\n')
    assert network(bench) == ("*",)


RULES = """
[commands]
allow = [
  "echo policy",
  { run = "echo own", network = ["c.org:443"] },
  { run = "echo none", network = [] },
]
ask = [{ run = "echo ask", network = ["d.org:80"] }]
[network]
allow = ["b.org:443"]
"""


def test_a_rules_own_hosts_stand_in_place_of_the_policys(bench: Bench) -> None:
    bench.load(probe=RULES)
    assert network(bench, "echo policy") == ("b.org:443",)
    assert network(bench, "echo own") == ("c.org:443",)
    assert network(bench, "echo none") == ()
    assert network(bench, "echo ask") == ("d.org:80",)


def test_a_hosts_deny_takes_away_from_what_it_meets(bench: Bench) -> None:
    denies = '[network]\ndeny = ["bad.a.org", "*.worse.a.org:443", "c.org:80", "other.org", "*.b.org"]\n'
    bench.load(host=denies, probe=ECHO + '[network]\nallow = ["*.a.org:443", "c.org:443", "b.org:443"]\n')
    assert network(bench) == ("*.a.org:443", "c.org:443", "b.org:443", "!bad.a.org", "!*.worse.a.org:443")


@pytest.mark.parametrize(
    ("deny", "allow"),
    [
        ("a.org", "a.org:443"),
        ("a.org:443", "a.org:443"),
        ("*.a.org", "x.a.org:443"),
        ("*.a.org", "*.x.a.org:443"),
        ("*.a.org", "*.a.org:443"),
        ("*", "a.org:443"),
        ("*", "*"),
    ],
)
@pytest.mark.parametrize("where", ["[network]\nany = true\nallow = [{}]\n", OWN])
def test_what_the_host_denies_altogether_cannot_be_granted(bench: Bench, deny: str, allow: str, where: str) -> None:
    (problem,) = bench.problems(host=f'[network]\ndeny = ["{deny}"]\n', probe=where.format(f'"{allow}"'))
    assert f"host_deny: `{allow}` is denied to every plugin by host.toml:2." in problem


@pytest.mark.parametrize(
    ("deny", "allow"),
    [("a.org:80", "a.org:443"), ("*.a.org", "a.org:443"), ("x.a.org", "*.a.org:443"), ("a.org", "*")],
)
def test_what_the_host_denies_in_part_can(bench: Bench, deny: str, allow: str) -> None:
    bench.load(host=f'[network]\ndeny = ["{deny}"]\n', probe=f'{ECHO}[network]\nany = true\nallow = ["{allow}"]\n')


def test_clients_are_told_where_the_way_out_is_and_no_policy_tells_them_otherwise(bench: Bench) -> None:
    elsewhere = '[env]\nset = { HTTPS_PROXY = "http://evil.org:1", no_proxy = "*" }\n'
    bench.load(probe=ECHO + '[network]\nallow = ["b.org:443"]\n' + elsewhere)
    plan = bench.command("echo x").plan
    assert plan is not None
    env = dict(plan.env)
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        assert env[name] == "http://127.0.0.1:3128"
    assert (env["NO_PROXY"], env["no_proxy"]) == ("", "")


def test_explain_shows_the_hosts_and_the_variables(bench: Bench) -> None:
    bench.load(host='[network]\ndeny = ["x.b.org"]\n', probe=ECHO + '[network]\nallow = ["*.b.org:443"]\n')
    request = bench.request("echo x")
    considered = bench.command("echo x")
    assert "\nnetwork: *.b.org:443, !x.b.org\n" in explain(considered, request)
    assert "HTTPS_PROXY" in explain(considered, request)
    assert explain_json(considered, request)["plan"]["network"] == ["*.b.org:443", "!x.b.org"]


def test_another_network_is_another_plan(bench: Bench) -> None:
    bench.load(probe=ECHO + '[network]\nallow = ["b.org:443"]\n')
    with_network = bench.command("echo x").plan
    bench.load(probe=ECHO)
    without = bench.command("echo x").plan
    assert with_network is not None
    assert without is not None
    assert with_network.digest != without.digest


def test_git_speaks_http_only_with_a_network(bench: Bench) -> None:
    bench.load(
        probe='[commands]\nallow = ["git status", { run = "git fetch", network = ["b.org:443"] }]\n'
        '[paths]\nread = ["{workspace}"]\n'
    )
    for line, speaks in (("git status", ""), ("git fetch", "http:https")):
        plan = bench.command(line).plan
        assert plan is not None
        assert dict(plan.env)["GIT_ALLOW_PROTOCOL"] == speaks


def test_a_worker_has_no_network_whatever_its_policy_grants_commands(bench: Bench) -> None:
    bench.load(probe='[tools]\nallow = ["work"]\n[network]\nallow = ["b.org:443"]\n')
    considered = bench.worker("probe.work", {}, {})
    assert considered.plan is not None
    assert considered.plan.network == ()
    assert not any("proxy" in name.lower() for name, _ in considered.plan.env)


# -- {url} -------------------------------------------------------------------------------------------------------------

FETCH = """
[commands]
allow = ["echo {url}", "echo many {url...}", "echo [--from {url}] x"]
[network]
allow = ["ok.org:443", "ok.org:80", "*.wild.org:8443"]
"""


@pytest.mark.parametrize(
    "url",
    ["https://ok.org", "https://ok.org/a?b=c#d", "http://ok.org/", "https://OK.org:443/", "https://a.wild.org:8443/"],
)
def test_an_address_of_an_allowed_host_is_given_as_it_was_written(bench: Bench, url: str) -> None:
    bench.load(probe=FETCH)
    assert bench.argv(f"echo {url}")[1:] == (url,)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://evil.org/", "destination_not_allowed"),
        ("https://ok.org.evil.org/", "destination_not_allowed"),
        ("https://ok.org:444/", "destination_not_allowed"),
        ("https://a.wild.org/", "destination_not_allowed"),
        ("https://wild.org:8443/", "destination_not_allowed"),
        ("https://127.0.0.1/", "destination_not_allowed"),
        ("https://2130706433/", "bad_host"),
        ("https://me@ok.org/", "bad_host"),
        ("https://ok.org\\@evil.org/", "bad_host"),
        ("ok.org", "bad_url"),
        ("ftp://ok.org/", "bad_url"),
        ("file:///etc/passwd", "bad_url"),
        ("javascript:alert(1)", "bad_url"),
        ("https://ok.org/{a,b}", "bad_url"),
        ("https://ok.org/ x", "bad_url"),
        ("", "bad_url"),
    ],
)
def test_any_other_address_is_denied_with_its_reason(bench: Bench, url: str, code: str) -> None:
    bench.load(probe=FETCH)
    decision = bench.decide(("echo", url))
    assert (decision.outcome, decision.code) == ("deny", code)
    assert decision.source == "probe.toml:4"
    assert "address of a host" in decision.hint


@pytest.mark.parametrize("url", ["-x", "--output=x", "https://ok.org/\n", "https://ok.org/\x1b[2J"])
def test_what_is_no_text_or_a_flag_matches_no_rule(bench: Bench, url: str) -> None:
    bench.load(probe=FETCH)
    assert bench.decide(("echo", url)).code == "no_rule"


def test_each_address_of_a_list_and_of_a_flag_is_judged(bench: Bench) -> None:
    bench.load(probe=FETCH)
    assert bench.argv("echo many https://ok.org/1 https://ok.org/2")[2:] == ("https://ok.org/1", "https://ok.org/2")
    assert bench.decide("echo many https://ok.org/1 https://evil.org/2").code == "destination_not_allowed"
    assert bench.argv("echo --from=https://ok.org/1 x")[1:] == ("--from", "https://ok.org/1", "x")
    assert bench.decide("echo --from https://evil.org/1 x").code == "destination_not_allowed"


def test_without_a_network_no_address_is_allowed(bench: Bench) -> None:
    bench.load(probe='[commands]\nallow = ["echo {url}"]\n')
    assert bench.decide("echo https://ok.org/").code == "destination_not_allowed"


def test_a_deny_of_any_address_means_whatever_is_put_in_its_place(bench: Bench) -> None:
    bench.load(probe='[commands]\nallow = ["echo {text...}"]\ndeny = ["echo {url}"]\n')
    assert bench.decide("echo https://ok.org/").code == "rule_deny"
    assert bench.decide("echo anything").code == "rule_deny"


def test_examples_judge_addresses_like_calls(bench: Bench) -> None:
    example = '[[tests]]\nrun = "echo https://{}.org/"\nexpect = "{}"\n'
    bench.load(probe=FETCH + example.format("ok", "allow") + example.format("evil", "deny"))
    (problem,) = bench.problems(probe=FETCH + example.format("evil", "allow"))
    assert "example_failed" in problem
    assert "destination_not_allowed" in problem
