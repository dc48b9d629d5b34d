"""What is remembered of a request, and what makes it be considered anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from policy_bench import Bench, actor, tool

from toolhost.policy import Recall, Request

POLICY = '[commands]\nallow = ["cat {read}", "uname [--all]"]\n[paths]\nread = ["{workspace}"]\n'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.load(probe=POLICY)
    return made


def request(bench: Bench, *argv: str, **changes: Any) -> Request:
    return replace(bench.request(argv), tool=TOOL, **changes)


TOOL = tool("probe.run")


def test_the_same_request_has_the_very_same_plan(bench: Bench) -> None:
    recall = Recall()
    first = recall.consider(request(bench, "uname"), bench.store.current)
    later = recall.consider(request(bench, "uname", actor=replace(actor(), request_id="r_2")), bench.store.current)
    assert first.plan is not None
    assert later.plan is first.plan


def test_everything_else_that_is_asked_makes_another_plan(bench: Bench) -> None:
    recall = Recall()
    first = recall.consider(request(bench, "uname"), bench.store.current).plan
    others = [
        request(bench, "uname", "--all"),
        request(bench, "uname", actor=actor(username="eve")),
        request(bench, "uname", arguments={"x": 1}),
        request(bench, "uname", arguments={"x": True}),
        request(bench, "uname", cwd="/tmp"),
        replace(request(bench, "uname"), tool=tool("probe.run")),
    ]
    plans = [recall.consider(other, bench.store.current).plan for other in others]
    assert len({id(plan) for plan in (first, *plans)}) == len(others) + 1


def test_a_policy_that_was_read_again_is_asked_again(bench: Bench) -> None:
    recall = Recall()
    assert recall.consider(request(bench, "uname"), bench.store.current).plan is not None
    bench.load(probe='[commands]\nallow = ["true"]\n')
    assert recall.consider(request(bench, "uname"), bench.store.current).decision.outcome == "deny"


def test_a_host_policy_that_was_read_again_is_asked_again(bench: Bench) -> None:
    recall = Recall()
    assert recall.consider(request(bench, "uname", "--all"), bench.store.current).plan is not None
    bench.load(host='[commands]\ndeny = ["uname --all"]\n')
    assert recall.consider(request(bench, "uname", "--all"), bench.store.current).decision.code == "host_deny"


def test_another_folder_in_the_place_of_the_workspace_makes_another_plan(bench: Bench) -> None:
    recall = Recall()
    first = recall.consider(request(bench, "uname"), bench.store.current).plan
    bench.workspace.rename(bench.folder / "old")
    bench.workspace.mkdir()
    later = recall.consider(request(bench, "uname"), bench.store.current).plan
    assert first is not None
    assert later is not None
    assert later.roots[0].inode == bench.workspace.stat().st_ino != first.roots[0].inode


def test_a_path_is_looked_up_for_every_call(bench: Bench) -> None:
    recall = Recall()
    (bench.workspace / "note").write_text("mine")
    assert recall.consider(request(bench, "cat", "note"), bench.store.current).plan is not None
    (bench.workspace / "note").unlink()
    (bench.workspace / "note").symlink_to("/etc/passwd")
    assert recall.consider(request(bench, "cat", "note"), bench.store.current).decision.code == "path_escapes_root"
