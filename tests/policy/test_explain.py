"""`explain`: what is printed is what would be spawned, and nothing in it can look like something else."""

import json

import pytest
from policy_bench import Bench

from toolhost.policy import explain, explain_json

POLICY = '[commands]\nallow = ["echo {text}", "uname"]\nask = ["ls -l"]\n[paths]\nwrite = ["{workspace}"]\n'
LOG = "git log [--oneline] [-n {int}] [--] [{read...}]"


def lines(bench: Bench, *argv: str) -> list[str]:
    request = bench.request(argv)
    return explain(bench.command(argv), request).splitlines()


def block(text: list[str], name: str) -> list[str]:
    """The indented lines under a heading."""
    start = text.index(f"{name}:") + 1
    end = next((at for at in range(start, len(text)) if not text[at].startswith("  ")), len(text))
    return [line[2:] for line in text[start:end]]


@pytest.mark.parametrize(("line", "outcome"), [("uname", "allow"), ("ls -l", "ask"), ("ls -a", "deny")])
def test_the_first_line_is_the_decision(bench: Bench, line: str, outcome: str) -> None:
    bench.load(probe=POLICY)
    assert lines(bench, *line.split())[0] == f"decision: {outcome}"


def test_an_allow_shows_everything_that_would_run(bench: Bench) -> None:
    bench.load(probe=POLICY)
    text = lines(bench, "uname")
    assert "rule: probe.toml:3" in text
    assert block(text, "argv") == ["/usr/bin/uname"]
    assert f"/workspace  read-write  from {bench.workspace}" in block(text, "mounts")[0]
    assert "env: HOME LANG PATH" in text
    assert any(line.startswith("limits: wall 30s, cpu 30s, memory 512M") for line in text)
    assert block(text, "programs")[0].startswith("/usr/bin/uname sha256:")
    assert "network: none" in text


def test_a_denial_shows_what_would_be_decided_otherwise_and_who_can_change_it(bench: Bench) -> None:
    bench.load(probe=POLICY)
    text = lines(bench, "ls", "-a")
    assert block(text, "would be decided otherwise") == ["ask probe.toml:4: ls -l"]
    assert any("administrator" in line and "probe.toml" in line for line in text if line.startswith("hint: "))


@pytest.mark.parametrize("value", ["a\nrule: forged", "\u202egnp.exe", "\u200bx", "a\tb", " lead", "é"])
def test_no_argument_can_look_like_another_line(bench: Bench, value: str) -> None:
    bench.load(probe=POLICY)
    text = lines(bench, "echo", value)
    assert len(block(text, "argv")) == 2
    assert all(line.isprintable() for line in text)
    assert "rule: forged" not in text


def test_an_empty_argument_is_visible(bench: Bench) -> None:
    bench.load(probe=POLICY)
    assert block(lines(bench, "echo", ""), "argv") == ["/usr/bin/echo", '""']


def test_the_json_form_holds_the_same_and_is_json(bench: Bench) -> None:
    bench.load(probe=POLICY)
    considered = bench.command("uname")
    found = json.loads(json.dumps(explain_json(considered, bench.request("uname"))))
    assert found["decision"] == considered.decision.as_json()
    assert found["plan"]["argv"] == ["/usr/bin/uname"]
    assert found["plan"]["plan_digest"] == considered.plan.digest
    denied = explain_json(bench.command("ls -a"), bench.request("ls -a"))
    assert denied["plan"] is None
    assert denied["instead"] == [{"outcome": "ask", "rule": "ls -l", "source": "probe.toml:4"}]


def test_values_of_variables_are_not_shown(bench: Bench) -> None:
    bench.load(probe=POLICY + '[env]\nset = { TOKENISH = "canary" }\n')
    request = bench.request("uname")
    considered = bench.command("uname")
    assert "TOKENISH" in explain(considered, request)
    assert "canary" not in explain(considered, request) + json.dumps(explain_json(considered, request))


@pytest.mark.parametrize(
    ("line", "rule", "stops", "expected"),
    [
        ("git push origin", LOG, "push", "log [--oneline] [-n {int}] [--] [{read...}]"),
        ("git log --graph", LOG, "--graph", "[--oneline] [-n {int}] [--] [{read...}]"),
        ("git log --oneline -n x", LOG, "-n", "[--] [{read...}]"),
        ("git show", "git show {ref}", None, "{ref}"),
        ("git show main next", "git show {ref}", "next", ""),
        ("git tag --message hello", "git tag --message {text} {ref}", None, "{ref}"),
    ],
)  # fmt: skip
def test_a_denial_names_the_nearest_rule_and_the_word_at_which_it_stops(
    bench: Bench, line: str, rule: str, stops: str | None, expected: str
) -> None:
    bench.load(
        probe='[commands]\nallow = ["' + LOG + '", "git show {ref}", '
        '"git tag --message {text} {ref}", "uname"]\n[paths]\nread = ["{workspace}"]\n'
    )
    found = explain_json(bench.command(line), bench.request(line))["nearest"]
    assert (found["rule"], found["stops_at"], found["expected"]) == (rule, stops, expected)
    text = lines(bench, *line.split())
    assert f"nearest: probe.toml:3: {rule}" in text
    assert "can be changed by: an administrator, in probe.toml" in text


def test_a_denial_of_another_program_has_no_nearest_rule(bench: Bench) -> None:
    bench.load(probe=POLICY)
    assert explain_json(bench.command("id"), bench.request("id"))["nearest"] is None


def test_a_deny_of_the_host_is_changed_in_the_hosts_file(bench: Bench) -> None:
    bench.load(host='[commands]\ndeny = ["uname ..."]\n', probe='[commands]\nallow = ["ls"]\n')
    assert "can be changed by: an administrator, in host.toml" in lines(bench, "uname", "-a")
