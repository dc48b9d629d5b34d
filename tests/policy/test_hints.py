"""What stands beside a script to help its reader: bounded, never raising, and no part of any decision."""

import json
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from policy_bench import Bench

from toolhost.hints import RISKS, Risk, Unclear, risks, script_of
from toolhost.web.cards import card_of_record

ROOT = Path(__file__).parents[2]
BASH = st.text(st.sampled_from("ab ;|&<>(){}[]$`'\"\\\n#!=*~-/01"), max_size=400) | st.text(max_size=200)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("hints").resolve())
    bench.load(probe='runs_code = ["bash"]\n[commands]\nask = ["bash -c {text}"]\n')
    return bench


def read(script: str):
    found = script_of(("/usr/bin/bash", "-c", script))
    assert found is not None
    return found


def test_a_script_is_taken_apart() -> None:
    found = read("make && sort < in | uniq > out; x=$(date) cat <(ls); while true; do sleep 1; done")
    assert set(found.commands) == {
        "make", "sort", "uniq", "date", "cat", "ls", "true", "sleep",
    }  # fmt: skip
    assert {"< in", "> out"} == set(found.redirections)
    assert (found.pipes, found.substitutions, found.unclear) == (1, 2, ())


@pytest.mark.parametrize(
    ("script", "unclear"),
    [
        ("$X y", "computed_command"),
        ("r\\m x", "computed_command"),
        ("'rm' x", "computed_command"),
        ("$(echo rm) x", "computed_command"),
        ("eval x", "runs_text"),
        (". ./other", "runs_text"),
        ("echo rm | sh", "runs_text"),
        ("if true; then (", "not_understood"),
        ("#" * 9000, "too_long"),
        ("a|" * 600 + "a", "too_long"),
    ],
)
def test_what_cannot_be_told_is_said(script: str, unclear: str) -> None:
    assert unclear in read(script).unclear


@given(BASH)
@example("$(" * 250)
@example("((" * 250)
@example("{" * 512)
@example("<<A " * 250)
@example("if " * 2700)
@example("'" * 8192)
@example("\ud800\x00")
def test_any_text_is_read_within_bounds(script: str) -> None:
    found = read(script)
    assert all(len(name) <= 80 for name in (*found.commands, *found.redirections))
    assert len(found.commands) <= 40
    risks(("bash", "-c", script))


def test_only_a_script_handed_to_a_shell_is_taken_apart() -> None:
    assert script_of(("/usr/bin/git", "-c", "x")) is None
    assert script_of(("/usr/bin/bash", "build.sh")) is None


@pytest.mark.parametrize(
    ("script", "hint"),
    [
        ("rm -rf /", "removes_from_the_root"),
        ("echo > /dev/sda", "writes_to_a_disk"),
        ("mkfs.ext4 x", "makes_a_file_system"),
        (":(){ :|:& };:", "forks_without_end"),
        ("cat </dev/tcp/1.1.1.1/80", "opens_a_connection_by_name"),
        ("bash -i", "starts_an_interactive_shell"),
        ("nc -l 80", "listens_or_runs_for_a_peer"),
        ("eval $(x | base64 -d)", "runs_what_it_decodes"),
    ],
)
def test_each_hint_is_given_for_what_it_names(script: str, hint: str) -> None:
    assert risks(("bash", "-c", script)) == (hint,)
    assert hint in dict(RISKS)


def test_a_hint_is_no_boundary_and_is_known_to_err() -> None:
    assert risks(("bash", "-c", "rm -fr /")) == ()
    assert risks(("bash", "-c", "rm -rf /tmp/build")) == ("removes_from_the_root",)


def test_nothing_that_decides_or_runs_knows_of_it() -> None:
    rooms = [ROOT / name for name in ("core", "sandbox", "plugins")]
    users = [path for room in rooms for path in room.rglob("*.py") if "toolhost.hints" in path.read_text()]
    assert users == []


@given(BASH)
def test_the_decision_and_the_plan_are_the_same_with_and_without_it(shell: Bench, script: str) -> None:
    before = shell.command(("bash", "-c", script))
    if before.plan is not None:
        script_of(before.plan.argv)
        risks(before.plan.argv)
    after = shell.command(("bash", "-c", script))
    assert before == after
    assert (before.plan and before.plan.canonical()) == (after.plan and after.plan.canonical())


@pytest.mark.parametrize("code", ["en", "fr"])
def test_every_hint_has_a_sentence(code: str) -> None:
    texts = tomllib.loads((ROOT / "web" / "locale" / f"{code}.toml").read_text())
    assert texts["risk"].keys() - {"title", "only"} == set(dict(RISKS)) == set(get_args(Risk))
    assert texts["unclear"].keys() == set(get_args(Unclear))


def test_the_card_has_both_and_changes_nothing_of_the_record() -> None:
    plan = {"kind": "command", "argv": ["/usr/bin/bash", "-c", "rm -rf / | cat"], "limits": {}}
    record = {"call_id": "c_1", "tool": "shell.run", "status": "approval_required", "arguments": {}, "plan": plan,
              "parent_id": None, "result": None}  # fmt: skip
    before = json.dumps(record)
    card = card_of_record(record, None, ())
    assert card.script is not None
    assert card.script.commands == ("rm", "cat")
    assert card.risks == ("removes_from_the_root",)
    assert json.dumps(record) == before
