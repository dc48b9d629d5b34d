"""`toolhost policy test`: the examples of the files, each with the rule that decided it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from toolhost.cli.exits import Exit, reported
from toolhost.cli.policy.files import read
from toolhost.cli.terminal import safe
from toolhost.policy.examples import Trial, participle
from toolhost.policy.problems import Problem
from toolhost.policy.values import ToolRule

__all__ = ["command"]


@click.command("test")
@click.argument("path", metavar="[FILE|FOLDER]", required=False)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(path: str | None, output: str) -> None:
    """Try the examples, [[tests]], of a policy file or a folder of them. Default: the policies in force.

    Prints one line for each example, with the rule that decided it, and one for each rule that no example meets. Exits
    with 1 where an example comes out otherwise than expected, or a file cannot be used.
    """
    reading = read(path)
    trials = [trial for file in reading.files for trial in file.trials]
    failed = [trial for trial in trials if trial.problem is not None]
    others = [problem for problem in reading.problems if problem not in [trial.problem for trial in failed]]
    rules = [rule for file in reading.files for rule in file.uncovered]
    unmet = [
        Problem.at(
            rule.place, "uncovered", f"No example meets `{rule.name if isinstance(rule, ToolRule) else rule.text}`."
        )
        for rule in rules
    ]
    if output == "json":
        found = {
            "examples": [_as_json(trial) for trial in trials],
            "uncovered": [problem.as_json() for problem in unmet],
            "problems": [problem.as_json() for problem in others],
        }
        click.echo(json.dumps(found))
    else:
        for line in _lines(trials, others, unmet):
            click.echo(safe(line))
    if reading.problems:
        sys.exit(Exit.FAILED)


def _lines(trials: list[Trial], others: list[Problem], unmet: list[Problem]) -> Iterator[str]:
    yield from map(str, others)
    for trial in trials:
        yield str(trial.problem or _passed(trial))
    yield from map(str, unmet)
    failed = sum(trial.problem is not None for trial in trials)
    yield (
        f"{len(trials)} examples: {len(trials) - failed} as expected, {failed} not. "
        f"{len(unmet)} rules that no example meets."
    )


def _passed(trial: Trial) -> Problem:
    assert trial.decision is not None
    example, decision = trial.example, trial.decision
    by_rule = decision.source and decision.code.startswith(("rule_", "tool_", "host_"))
    by = f"by {decision.source}" if by_rule else f"({decision.code})"
    message = f"`{example.run or example.tool}` is {participle(decision.outcome)} {by}."
    return Problem.at(example.place, "as_expected", message)


def _as_json(trial: Trial) -> dict[str, Any]:
    example, decision = trial.example, trial.decision
    return {
        "file": example.place.file,
        "line": example.place.line,
        "run": example.run,
        "tool": example.tool,
        "expect": example.expect,
        "passed": trial.problem is None,
        "outcome": decision.outcome if decision else None,
        "code": decision.code if decision else None,
        "source": decision.source if decision else None,
        "message": trial.problem.message if trial.problem else None,
    }
