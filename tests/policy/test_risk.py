"""How much a person should look at: a level that follows from what a policy grants, and from nothing else."""

from __future__ import annotations

import pytest

from toolhost.policy import explain, plan_view
from toolhost.policy.risk import REASONS, danger_of
from toolhost.policy.taint import TAINTED

BASE = '[commands]\nask = ["ls [-l]"]\n'


@pytest.mark.parametrize(
    ("policy", "level", "reasons"),
    [
        (f'{BASE}[paths]\nread = ["{{workspace}}"]\n', "low", ["reads_only"]),
        (f'{BASE}[paths]\nwrite = ["{{workspace}}"]\n', "medium", ["writes_workspace"]),
        (f'exec = true\n{BASE}[paths]\nwrite = ["{{workspace}}"]\n', "medium", ["executes_files", "writes_workspace"]),
        (f'{BASE}[paths]\nread = ["FOLDER"]\n', "medium", ["reads_private"]),
        (f'{BASE}[paths]\nwrite = ["FOLDER"]\n', "high", ["writes_outside_workspace", "reads_private"]),
        (f'{BASE}[network]\nallow = ["example.org:443"]\n', "high", ["communicates_out"]),
        (f'{BASE}[network]\nallow = ["example.org:443"]\n[paths]\nread = ["FOLDER"]\n', "high", ["sends_private"]),
        ('runs_code = ["sh"]\n[commands]\nask = ["sh -c {text}"]\n', "medium", ["runs_code"]),
    ],
    ids=["read", "write", "execute", "private", "outside", "network", "send", "code"],
)
def test_the_level_is_that_of_what_is_granted(bench, space, policy: str, level: str, reasons: list[str]) -> None:
    folder = space / "private"
    folder.mkdir()
    bench.load(probe=policy.replace("FOLDER", str(folder)))
    line = "sh -c 'ls -l'" if "sh" in reasons or "runs_code" in reasons else "ls -l"
    considered = bench.command(line)
    view = plan_view(considered.plan)
    assert danger_of(view, considered.decision.code).as_json() == {"level": level, "reasons": reasons}
    # What `explain` prints is the same, in words.
    shown = explain(considered, bench.request(line))
    assert f"\nrisk: {level}: {'; '.join(REASONS[reason][1] for reason in reasons)}\n" in shown
    # Content from elsewhere makes any of them the gravest.
    assert danger_of(view, TAINTED).level == "critical"
