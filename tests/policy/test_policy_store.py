"""The store: what is in force, what stays in force, and what a file's digest says."""

from pathlib import Path

import pytest
from policy_bench import Bench

from toolhost.policy import PolicyStore, check

UNAME = '[commands]\nallow = ["uname"]\n[paths]\nwrite = ["{workspace}"]\n'


def test_a_file_that_breaks_keeps_its_last_good_version(bench: Bench) -> None:
    bench.load(probe=UNAME)
    whole = (bench.policies / "probe.toml").read_text()
    (bench.policies / "probe.toml").write_text(whole[:30])
    assert bench.problems()
    assert bench.decide("uname").outcome == "allow"
    (bench.policies / "probe.toml").write_text(whole)
    assert not bench.problems()


def test_a_host_policy_that_breaks_keeps_its_last_good_version(bench: Bench) -> None:
    bench.load(host='[commands]\ndeny = ["uname ..."]\n', other=UNAME.replace("uname", "ls"))
    bench.problems(host="[broken", probe=UNAME)
    assert bench.store.policy("probe") is None
    assert bench.store.host.denies


def test_a_file_that_is_taken_away_grants_nothing(bench: Bench) -> None:
    bench.load(probe=UNAME)
    (bench.policies / "probe.toml").unlink()
    bench.store.load()
    assert bench.decide("uname").code == "no_policy"


def test_one_broken_file_does_not_stop_the_others(bench: Bench) -> None:
    bench.problems(probe=UNAME, other="[broken")
    assert bench.decide("uname").outcome == "allow"


def test_reserved_names_and_other_files_are_no_policies(bench: Bench) -> None:
    for name in ("lock.toml", ".probe.toml", "probe.toml.swp", "probe.toml~", "README"):
        (bench.policies / name).write_text("[nonsense")
    bench.load()
    assert bench.store.policies == ()


def test_without_a_host_policy_the_packaged_one_holds(bench: Bench) -> None:
    (bench.policies / "host.toml").unlink()
    (problem,) = bench.problems(probe='[commands]\nallow = ["curl {text}"]\n')
    assert "host_deny" in problem
    assert "packaged host.toml" in problem


def test_a_missing_folder_is_a_problem_and_grants_nothing(tmp_path: Path) -> None:
    store = PolicyStore(tmp_path / "none", data=tmp_path, plugins=tmp_path / "plugins")
    store.load()
    assert [problem.code for problem in store.problems] == ["file_unreadable"]
    assert store.policy("probe") is None


def test_the_digest_follows_both_files(bench: Bench) -> None:
    seen = set()
    for host, probe in (("", UNAME), ("# x\n", UNAME), ("# x\n", UNAME + "# x\n"), ("", UNAME + "# x\n")):
        bench.load(host=host, probe=probe)
        seen.add(bench.store.digest("probe"))
        assert bench.store.digest("probe").startswith("sha256:")
    assert len(seen) == 4


def test_check_names_the_file_as_it_was_given(bench: Bench) -> None:
    file = bench.write("probe", "comands = 1\n")
    (problem,) = check(file, data=bench.data, plugins=bench.plugins)
    assert str(problem).startswith(f"{file}:2:1: unknown_key: ")
    (problem,) = check(bench.policies, data=bench.data, plugins=bench.plugins)
    assert str(problem).startswith("probe.toml:2:1: unknown_key: ")


def test_check_applies_the_host_policy_beside_a_file(bench: Bench) -> None:
    bench.write("host", '[commands]\ndeny = ["uname"]\n')
    file = bench.write("probe", UNAME)
    assert [problem.code for problem in check(file, data=bench.data, plugins=bench.plugins)] == ["host_deny"]


def test_named_workspaces_are_read(bench: Bench) -> None:
    bench.load(host=f'[workspaces]\nproject = {{ path = "{bench.workspace}", write = true, who = ["admin"] }}\n')
    named = bench.store.host.workspaces["project"]
    assert (named.path, named.write, named.who) == (str(bench.workspace), True, ("admin",))


@pytest.mark.parametrize("count", [100])
def test_many_policies_load(bench: Bench, count: int) -> None:
    bench.load(**{f"p{number}": UNAME for number in range(count)})
    assert len(bench.store.policies) == count
