"""The store: what is in force, what stays in force, and what a file's digest says."""

import errno
import fcntl
import mmap
import os
import time
from pathlib import Path

import pytest
from policy_bench import Bench

from toolhost.policy import PolicyStore, check
from toolhost.policy.quiet import SETTLE, DisturbedError, quiet

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
    assert bench.store.current.policy("probe") is None
    assert bench.store.current.host.denies


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
    assert bench.store.current.policies == {}


def test_without_a_host_policy_the_packaged_one_holds(bench: Bench) -> None:
    (bench.policies / "host.toml").unlink()
    (problem,) = bench.problems(probe='[commands]\nallow = ["curl {text}"]\n')
    assert "host_deny" in problem
    assert "packaged host.toml" in problem


def test_a_missing_folder_is_a_problem_and_grants_nothing(tmp_path: Path) -> None:
    store = PolicyStore(tmp_path / "none", data=tmp_path, plugins=tmp_path / "plugins")
    store.load()
    assert [problem.code for problem in store.current.problems] == ["file_unreadable"]
    assert store.current.policy("probe") is None


def test_the_digest_follows_both_files(bench: Bench) -> None:
    seen = set()
    for host, probe in (("", UNAME), ("# x\n", UNAME), ("# x\n", UNAME + "# x\n"), ("", UNAME + "# x\n")):
        bench.load(host=host, probe=probe)
        seen.add(bench.store.current.digest("probe"))
        assert bench.store.current.digest("probe").startswith("sha256:")
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
    named = bench.store.current.host.workspaces["project"]
    assert (named.path, named.write, named.who) == (str(bench.workspace), True, ("admin",))


@pytest.mark.parametrize("count", [100])
def test_many_policies_load(bench: Bench, count: int) -> None:
    bench.load(**{f"p{number}": UNAME for number in range(count)})
    assert len(bench.store.current.policies) == count


def test_a_file_is_not_read_while_somebody_writes_it(bench: Bench) -> None:
    policies = bench.load(probe=UNAME)
    with (bench.policies / "probe.toml").open("w") as half:
        half.write('plugin = "probe"\n[commands]\nallow = ["uname [-a] [-n]"]\n')
        half.flush()
        seen = bench.store.read()
        assert [problem.code for problem in seen.problems] == ["file_changing"]
        assert seen.policy("probe") is policies.policy("probe")
        half.write('deny = ["uname -a"]\n')
    assert bench.decide("uname -a").code == "no_rule"
    bench.load()
    assert bench.decide("uname -n").outcome == "allow"
    assert bench.decide("uname -a").code == "rule_deny"


def test_a_file_whose_writer_left_a_mapping_of_it_is_not_read(bench: Bench) -> None:
    bench.load(probe=UNAME)
    with (bench.policies / "probe.toml").open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    assert [problem.code for problem in bench.store.read().problems] == ["file_changing"]
    mapped.close()
    assert not bench.store.read().problems


def test_whoever_writes_a_file_waits_for_its_reader(bench: Bench) -> None:
    file = bench.write("probe", UNAME)
    with file.open("rb") as reader, quiet(reader.fileno()), pytest.raises(BlockingIOError):
        os.open(file, os.O_WRONLY | os.O_NONBLOCK)


def test_where_there_is_no_lease_a_file_is_read_once_it_has_settled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, operation: int, argument: int = 0) -> int:
        """What the kernel says of a file that is not ours."""
        if operation == fcntl.F_SETLEASE:
            raise OSError(errno.EACCES, "Permission denied")
        return 0

    file = bench.write("probe", UNAME)
    with file.open("rb") as reader:
        monkeypatch.setattr(fcntl, "fcntl", refuse)
        with pytest.raises(DisturbedError), quiet(reader.fileno()):
            pass
        written = os.fstat(reader.fileno()).st_ctime_ns
        monkeypatch.setattr(time, "time_ns", lambda: written + round(SETTLE * 1e9))
        with quiet(reader.fileno()):
            pass
        with pytest.raises(DisturbedError), quiet(reader.fileno()), file.open("a") as writer:
            writer.write("# more")


def test_a_policy_whose_file_is_the_same_is_not_made_again(bench: Bench) -> None:
    first = bench.load(probe=UNAME, other=UNAME)
    second = bench.load(other=UNAME.replace("uname", "ls"))
    assert second.host is first.host
    assert second.policy("probe") is first.policy("probe")
    assert second.agrees(first, "probe")
    assert not second.agrees(first, "other")
    third = bench.load(host='[commands]\ndeny = ["mkfs*"]\n')
    assert not third.agrees(second, "probe")


def test_an_edit_of_the_same_length_within_a_tick_of_the_clock_is_seen(bench: Bench) -> None:
    for name in ("true", "date", "echo", "kill"):
        bench.load(probe=UNAME.replace("uname", name))
        assert bench.decide(name).outcome == "allow"


@pytest.mark.parametrize(
    ("host", "probe"),
    [
        ('[commands]\ndeny = ["uname"]\n', UNAME),
        ('[network]\ndeny = ["example.org:443"]\n', UNAME + '[network]\nallow = ["example.org:443"]\n'),
        ('[paths]\nallow = ["/opt"]\n', UNAME.replace('"{workspace}"', '"{workspace}", "/srv"')),
    ],
)
def test_a_last_good_version_goes_when_the_host_policy_forbids_it(bench: Bench, host: str, probe: str) -> None:
    bench.load(probe=probe)
    bench.problems(probe="[broken")
    assert bench.store.current.files["probe"].state == "last_good"
    bench.problems(host=host)
    assert bench.store.current.policy("probe") is None
    assert bench.store.current.files["probe"].state == "nothing"


def test_a_last_good_version_is_kept_under_a_host_policy_that_permits_it(bench: Bench) -> None:
    before = bench.load(probe=UNAME).digest("probe")
    bench.problems(probe="[broken")
    bench.problems(host='[commands]\ndeny = ["mkfs*"]\n')
    assert bench.decide("uname").outcome == "allow"
    assert bench.store.current.digest("probe") != before


def test_a_host_policy_that_is_taken_away_stays_in_force(bench: Bench) -> None:
    bench.load(host='[commands]\ndeny = ["true"]\n')
    (bench.policies / "host.toml").unlink()
    (missing, denied) = bench.problems(probe='[commands]\nallow = ["true"]\n')
    assert "host_policy_missing" in missing
    assert "host_deny" in denied
