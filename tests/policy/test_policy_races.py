"""A policy that is rewritten again and again: what is in force is always one whole version of it."""

from __future__ import annotations

import threading
from pathlib import Path

from policy_bench import Bench

COMMANDS = ("uname", "date", "ls")
# Cut off anywhere before its last line, a version would allow `ls`, which no version does.
FILLING = "".join(f"# {number}\n" for number in range(200))
VERSIONS = tuple(
    f'plugin = "probe"\n[commands]\nallow = ["{word}", "ls"]\n{FILLING}deny = ["ls ..."]\n' for word in COMMANDS[:2]
)
WHOLE = {("allow", "deny", "deny"), ("deny", "allow", "deny")}
ROUNDS = 30


def rewrite(file: Path, looked: threading.Event) -> None:
    """Write the versions by turns, with a look in the middle: in place, and beside the file to be renamed."""
    for number in range(ROUNDS):
        text = VERSIONS[number % 2]
        target = file if number % 3 else file.with_suffix(".new")
        with target.open("w") as writing:
            writing.write(text[: len(text) // 2])
            writing.flush()
            looked.clear()
            assert looked.wait(20)
            writing.write(text[len(text) // 2 :])
        target.replace(file)
        looked.clear()
        assert looked.wait(20)


def test_every_decision_is_that_of_one_whole_version(bench: Bench) -> None:
    bench.load(probe=VERSIONS[0])
    looked = threading.Event()
    writer = threading.Thread(target=rewrite, args=(bench.policies / "probe.toml", looked))
    seen: set[tuple[str, ...]] = set()
    writer.start()
    while writer.is_alive():
        bench.store.current = bench.store.read()
        seen.add(tuple(bench.decide(command).outcome for command in COMMANDS))
        looked.set()
    writer.join()
    assert seen <= WHOLE
    assert seen == WHOLE, "the race was not run: only one version was ever seen"
    bench.load()
    assert bench.decide(COMMANDS[(ROUNDS - 1) % 2]).outcome == "allow"
