"""`env`, `timeout`, `xargs`, `nice` and `busybox` are judged as what they are, not by what they start."""

import os
import shutil

import pytest
from policy_bench import Bench

WRAPPERS = {
    "env": ("env git log", "env"),
    "timeout": ("timeout 5 git log", "timeout"),
    "xargs": ("xargs git log", "xargs"),
    "nice": ("nice -n 5 git log", "nice"),
    "busybox": ("busybox git log", "busybox"),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_rule_for_a_program_is_none_for_what_starts_it(bench: Bench, name: str) -> None:
    bench.load(probe='[commands]\nallow = ["git log"]\n')
    decision = bench.decide(WRAPPERS[name][0])
    assert (decision.outcome, decision.code) == ("deny", "no_rule")


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_policy_names_one_only_where_it_says_that_it_runs_any_code(bench: Bench, name: str) -> None:
    (problem,) = bench.problems(probe=f'[commands]\nask = ["{name} git log"]\n')
    assert f': runs_code: `{name}` runs any code it is given: list it, runs_code = ["{name}"]' in problem


@pytest.mark.parametrize("name", WRAPPERS)
def test_what_is_decided_of_one_is_its_own_rule_and_a_deny_of_what_it_starts_is_another_s(
    bench: Bench, name: str
) -> None:
    line = WRAPPERS[name][0].replace("git log", "git push")
    text = f'runs_code = ["{name}"]\n[commands]\nask = ["{line}"]\ndeny = ["git push ..."]\n'
    bench.load(probe=text)
    assert bench.decide("git push").code == "rule_deny"
    decision = bench.decide(line)
    if shutil.which(name) is None:
        assert decision.code == "program_missing"
    else:
        assert (decision.outcome, decision.source) == ("ask", "probe.toml:4")
        # And it starts nothing that the policy does not name: there is no git where it runs.
        plan = bench.command(line).plan
        assert plan is not None
        assert [program.name for program in plan.programs] == [name]


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_deny_of_the_host_means_it_and_not_what_it_could_start(bench: Bench, name: str) -> None:
    bench.load(host=f'[commands]\ndeny = ["{name}"]\n', probe='[commands]\nallow = ["git log"]\n')
    assert bench.decide(WRAPPERS[name][0]).code == "host_deny"
    assert bench.decide("git log").outcome == "allow"


@pytest.mark.parametrize("asked", ["awk", "/usr/bin/awk"])
def test_a_deny_knows_a_program_by_the_name_asked_for_and_by_its_file_s_own(bench: Bench, asked: str) -> None:
    target = os.path.basename(os.path.realpath("/usr/bin/awk"))
    for denied in ("awk", target):
        (problem,) = bench.problems(
            host=f'[commands]\ndeny = ["{denied}"]\n', probe=f'[commands]\nallow = ["{asked} {{read}}"]\n'
        )
        assert ": host_deny: " in problem
