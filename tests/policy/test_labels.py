"""Labels: what a rule lets a call do beside its work, derived from the policy alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from policy_bench import Bench

from toolhost.policy import explain, explain_json, plan_view
from toolhost.policy.labels import LABELS, labels, origins

COMMANDS = '[commands]\nallow = ["uname", { run = "ls", network = [] }, { run = "echo", network = ["own.org:443"] }]\n'
WORKSPACE = '[paths]\nwrite = ["{workspace}"]\n'


def of(bench: Bench, line: str, **changes: Any) -> tuple[str, ...]:
    plan = bench.command(line, **changes).plan
    assert plan is not None
    return plan.labels


def test_a_command_in_the_conversation_s_own_folder_has_no_label(bench: Bench) -> None:
    bench.load(probe=COMMANDS + WORKSPACE)
    assert of(bench, "uname", workspace_own=True) == ()


def test_a_workspace_that_was_there_before_counts_as_foreign(bench: Bench) -> None:
    bench.load(probe=COMMANDS + WORKSPACE)
    assert of(bench, "uname") == ("ingests_untrusted",)
    bench.load(probe=COMMANDS)
    assert of(bench, "uname") == (), "a policy that does not grant the workspace reads nothing in it"


def test_a_network_brings_in_and_carries_out_and_a_rule_s_own_list_is_what_counts(bench: Bench) -> None:
    bench.load(probe=COMMANDS + WORKSPACE + '[network]\nallow = ["example.org:443"]\n')
    both = ("ingests_untrusted", "communicates_out")
    assert of(bench, "uname", workspace_own=True) == both
    assert of(bench, "ls", workspace_own=True) == ()
    bench.load(probe=COMMANDS + WORKSPACE)
    assert of(bench, "uname", workspace_own=True) == ()
    assert of(bench, "echo", workspace_own=True) == both


def test_another_root_is_private_and_foreign_and_a_writable_one_is_outside(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path.resolve() / "other"
    other.mkdir()
    bench.load(probe=f'{COMMANDS}[paths]\nread = ["{other}"]\nwrite = ["{{workspace}}"]\n')
    assert of(bench, "uname", workspace_own=True) == ("reads_private", "ingests_untrusted")
    bench.load(probe=f'{COMMANDS}[paths]\nwrite = ["{other}"]\n')
    assert of(bench, "uname") == ("reads_private", "ingests_untrusted", "writes_outside_workspace")


def test_a_worker_has_no_network_whatever_its_policy_grants_to_commands(bench: Bench) -> None:
    bench.load(probe=COMMANDS + WORKSPACE + '[network]\nallow = ["example.org:443"]\n[tools]\nallow = ["look"]\n')
    plan = bench.worker("probe.look", {}, {}, workspace_own=True).plan
    assert plan is not None
    assert plan.labels == ()


def test_what_a_host_deny_takes_from_a_wildcard_is_no_place_content_comes_from(bench: Bench) -> None:
    bench.load(
        host='[network]\ndeny = ["x.b.org"]\n', probe='[commands]\nallow = ["ls"]\n[network]\nallow = ["*.b.org:443"]\n'
    )
    policy = bench.store.current.policy("probe")
    assert policy is not None
    assert origins(policy, policy.rules[0], own_workspace=True) == ("*.b.org:443",)


def test_explain_and_the_plan_s_view_show_the_labels(bench: Bench) -> None:
    bench.load(probe=COMMANDS + WORKSPACE + '[network]\nallow = ["example.org:443"]\n')
    considered, request = bench.command("uname"), bench.request("uname")
    text = explain(considered, request).splitlines()
    at = text.index("labels:")
    assert text[at + 1 : at + 3] == [
        "  ingests_untrusted  it can take in content that this conversation did not write",
        "  communicates_out  it can send to other machines",
    ]
    found = json.loads(json.dumps(explain_json(considered, request)))["plan"]["labels"]
    assert considered.plan is not None
    assert found == plan_view(considered.plan)["labels"] == ["ingests_untrusted", "communicates_out"]
    assert "labels:\n  none" in explain(bench.command("ls", workspace_own=True), request)


@pytest.mark.parametrize(
    "shape", ["", WORKSPACE, '[paths]\nread = ["/usr/share/doc"]\n[network]\nallow = ["a.org:1"]\n']
)
def test_labels_come_in_one_order_and_a_foreign_workspace_only_adds(bench: Bench, shape: str) -> None:
    bench.load(probe=COMMANDS + shape)
    policy = bench.store.current.policy("probe")
    assert policy is not None
    for rule in (None, *policy.rules):
        own, foreign = (labels(policy, rule, own_workspace=which) for which in (True, False))
        assert list(foreign) == [label for label in LABELS if label in foreign]
        assert set(own) <= set(foreign)
        assert ("ingests_untrusted" in own) == bool(origins(policy, rule, own_workspace=True))
