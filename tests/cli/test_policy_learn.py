"""`toolhost policy learn`: from calls that did not work to what their policy lacked."""

import json
import tomllib
from pathlib import Path

import pytest
from owners import SERVICE_USER, give

MANIFEST = """
name = "count"
version = "1"
about = "A test."

[[tools]]
name = "report"
about = "Counts."
command = "bash report.sh {word} -- {paths...}"
input.word = { type = "string" }
input.paths = { type = "array", items = { type = "string", format = "read-path" } }

[[tools]]
name = "say"
about = "Says."
command = "echo -n {number} --to {name}"
input.number = { type = "integer" }
input.name = { type = "string" }

[[tools]]
name = "off"
about = "Is denied to every plugin."
command = "reboot {how}"
input.how = { type = "string" }

[[tools]]
name = "work"
about = "Sleeps."
command = "sleep {seconds}"
input.seconds = { type = "integer" }
"""

SCRIPT = """\
. /usr/lib/os-release
echo "$1 $ID" | tr a-z A-Z
"""


@pytest.fixture
def policy(policies: Path, data: Path, workspace: Path) -> Path:
    """The policy of a plugin `count`, which is not there yet."""
    plugin = data / "plugins" / "count"
    plugin.mkdir(parents=True)
    (plugin / "plugin.toml").write_text(MANIFEST)
    (workspace / "report.sh").write_text(SCRIPT)
    (workspace / "a.txt").write_text("a")
    give(policies, SERVICE_USER)  # so that the plugin is pinned at first sight
    return policies / "count.toml"


def called(toolhost, *words: str) -> dict:
    return json.loads(toolhost("call", *words, "--output", "json").stdout)


def learned(toolhost, tool: str) -> dict:
    done = toolhost("policy", "learn", tool, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def values(found: dict) -> dict[str, list]:
    keys: dict[str, list] = {}
    for one in found["proposals"]:
        keys.setdefault(one["key"], []).append(one["value"])
    return keys


def test_two_rounds_lead_from_no_policy_to_a_tool_that_works(toolhost, policy: Path) -> None:
    words = ("count.report", "word=debian", "paths=a.txt")
    assert called(toolhost, *words)["status"] == "denied"
    done = toolhost("policy", "learn", "count.report")
    assert done.returncode == 0, done.stderr
    assert not policy.exists()
    policy.write_text(done.stdout)  # what it prints is a policy file where there is none
    said = tomllib.loads(done.stdout)
    assert said["commands"] == {"ask": ["bash report.sh debian -- {read}"]}
    assert (said["runs_code"], said["paths"]) == (["bash"], {"read": ["{workspace}"]})

    failed = called(toolhost, *words, "--approve")
    assert failed["status"] == "error", failed
    found = learned(toolhost, "count.report")
    assert values(found) == {"inside": ["tr"], "support": ["/usr/lib/os-release"]}
    assert found["proposals"][0]["calls"] == [failed["call_id"]]
    text = policy.read_text().replace("[commands]", '[commands]\ninside = ["tr"]')
    policy.write_text('support = ["/usr/lib/os-release"]\n' + text)
    assert called(toolhost, *words, "--approve")["stdout"].startswith("DEBIAN ")
    assert "# No call of count.report" not in toolhost("policy", "learn", "count.report").stdout
    assert learned(toolhost, "count.report")["proposals"] == []


def test_commands_that_differ_become_one_rule_with_the_narrowest_slots(toolhost, policy: Path) -> None:
    policy.write_text('plugin = "count"\n')
    for number, name in ((1, "ada"), (22, "alan/t")):
        assert called(toolhost, "count.say", f"number={number}", f"name={name}")["status"] == "denied"
    found = learned(toolhost, "count.say")
    assert values(found) == {"ask": ["echo -n {int} --to {ref}"]}
    assert len(found["answered"]) == 2
    assert found["still_denied"] == []
    called(toolhost, "count.say", "number=3", "name=two words")
    assert values(learned(toolhost, "count.say")) == {"ask": ["echo -n {int} --to {text}"]}


def test_a_deny_of_the_host_is_never_proposed_away(toolhost, policy: Path) -> None:
    called(toolhost, "count.off", "how=now")
    found = learned(toolhost, "count.off")
    assert found["proposals"] == []
    assert [note["reason"][:9] for note in found["not_proposed"]] == ["host_deny"]
    assert len(found["still_denied"]) == 1


def test_the_control_plane_is_never_proposed_as_a_root(toolhost, policy: Path, data: Path) -> None:
    policy.write_text(
        'plugin = "count"\nruns_code = ["bash"]\n[commands]\nask = ["bash report.sh {text} -- {read...}"]\n'
    )
    for path in ("/etc/shadow", str(data / "state" / "audit.log"), "/usr/share/common-licenses/GPL-2"):
        assert called(toolhost, "count.report", "word=a", f"paths={path}")["status"] == "denied"
    found = learned(toolhost, "count.report")
    assert values(found) == {"read": ["/usr/share/common-licenses/GPL-2"]}
    refused = [note["reason"] for note in found["not_proposed"]]
    assert any("/etc/shadow" in reason and "root_control_plane" in reason for reason in refused)
    assert any("audit.log" in reason and "root_control_plane" in reason for reason in refused)


def test_what_a_run_says_names_nothing_that_the_host_denies_or_keeps(toolhost, policy: Path, workspace: Path) -> None:
    policy.write_text(
        'plugin = "count"\nruns_code = ["bash"]\n[commands]\nallow = ["bash report.sh {text} -- [{read...}]"]\n'
        '[paths]\nwrite = ["{workspace}"]\n'
    )
    tool = workspace / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    (workspace / "report.sh").write_text(
        "for said in 'sh: 1: dd: not found' 'cat: /etc/shadow: No such file or directory' 'sh: 1: nope: not found' "
        "'sh: 1: python3: not found' 'fatal: cannot open /workspace/x: No such file or directory' "
        "'x: /../etc/passwd not found'; do echo \"$said\" >&2; done\n./tool\n"
    )
    assert called(toolhost, "count.report", "word=a", "paths=a.txt")["exit_code"] == 126
    found = learned(toolhost, "count.report")
    assert values(found) == {"runs_code": ["python"], "inside": ["python3"], "exec": [True]}
    refused = [note["reason"] for note in found["not_proposed"]]
    assert any("`dd`" in reason and "host_deny" in reason for reason in refused)
    assert any("/etc/shadow" in reason and "root_control_plane" in reason for reason in refused)


def test_a_limit_that_ended_a_call_is_proposed_doubled_up_to_what_the_host_allows(toolhost, policy: Path) -> None:
    policy.write_text('plugin = "count"\n[commands]\nallow = ["sleep {int}"]\n[limits]\nwall = "0.2s"\n')
    assert called(toolhost, "count.work", "seconds=30")["status"] == "timeout"
    done = toolhost("policy", "learn", "count.work")
    assert '\n[limits]\n# the file has `wall` already: change it\nwall = "0.4s"  # ' in done.stdout
    host = policy.parent / "host.toml"
    host.write_text(host.read_text().replace('wall = "1h"', 'wall = "0.3s"'))
    found = learned(toolhost, "count.work")
    assert found["proposals"] == []
    assert "above_host_maximum" in found["not_proposed"][0]["reason"]


@pytest.mark.parametrize("words", [("count.nothing",), ("files.list", "--since", "yesterday")])
def test_learn_refuses_what_makes_no_sense(toolhost, policy: Path, words: tuple[str, ...]) -> None:
    assert toolhost("policy", "learn", *words).returncode == 2
