"""`toolhost policy diff`: what one policy grants that another does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from toolhost.cli.exits import Exit, reported
from toolhost.cli.session import enter, run_with_host
from toolhost.cli.terminal import safe
from toolhost.data import SEEDED
from toolhost.errors import UsageError
from toolhost.host import Host
from toolhost.pluginhost.configuring import declared_settings
from toolhost.policy.difference import Difference, differences
from toolhost.policy.grants import REQUEST, beyond, is_there, proposed
from toolhost.policy.offline import read_files
from toolhost.policy.shipped import news
from toolhost.policy.values import Policy
from toolhost.policy.words import Term
from toolhost.settings import Settings

__all__ = ["command"]

_MARKS = {"wider": "+", "narrower": "-", "changed": "~"}


@click.command("diff")
@click.argument("old", metavar="[OLD|NAME]", required=False)
@click.argument("new", metavar="[NEW]", required=False)
@click.option("--shipped", is_flag=True, help="What the packaged policies gained since they were copied.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def command(old: str | None, new: str | None, shipped: bool, output: str) -> None:
    """Compare two policy files, or two folders of them, in what they grant.

    With the name of a plugin alone: what it asks for beyond what it is granted. With --shipped, of all plugins or of
    one: what the packaged policies gained. Exits with 0 where there is nothing to tell, with 1 where there is.
    """
    if shipped and new is None:
        found = run_with_host(lambda host: _shipped(host, old))
    elif old is not None and new is not None and not shipped:
        found = _between(Path(old).absolute(), Path(new).absolute())
    elif old is not None and new is None:
        found = run_with_host(lambda host: _asked(host, old))
    else:
        raise UsageError("invalid_arguments", "Name two files, two folders, or one plugin; or say --shipped.")
    if output == "json":
        click.echo(json.dumps([_as_json(difference) for difference in found]))
    else:
        for difference in found:
            for line in _lines(difference):
                click.echo(safe(line, keep=""))
    if found:
        sys.exit(Exit.FAILED)


def _between(old: Path, new: Path) -> list[Difference]:
    settings = enter()
    before, after = _policies(old, settings), _policies(new, settings)
    return [
        difference
        for name in sorted(before.keys() | after.keys())
        for difference in differences(before.get(name), after.get(name))
    ]


async def _asked(host: Host, name: str) -> list[Difference]:
    path, policies = Path(host.plugins.record(name).location, REQUEST), host.policies.current
    if not is_there(path):
        raise UsageError("request_missing", f"The plugin {name} ships no {REQUEST}.")
    asked = proposed(path, name, policies)
    for problem in asked.problems:
        raise UsageError("policy_invalid", str(problem))
    assert asked.policy is not None
    return beyond(policies.policy(name), asked.policy)


async def _shipped(host: Host, name: str | None) -> list[Difference]:
    found = news(host.data.state / SEEDED, host.policies.current)
    return [difference for difference in found if name in (None, difference.plugin)]


def _policies(path: Path, settings: Settings) -> dict[str, Policy]:
    """The policies of a file or a folder by plugin.

    Raises:
        UsageError: `policy_invalid` for the first problem of a file.
    """
    declared = declared_settings(settings.plugins)
    reading = read_files(path, data=settings.data, plugins=settings.plugins, declared=declared, copy=True)
    for problem in reading.problems:
        raise UsageError("policy_invalid", str(problem), "`toolhost policy check` lists everything to correct.")
    return {file.policy.plugin: file.policy for file in reading.files if file.policy is not None}


def _lines(difference: Difference) -> list[str]:
    said = [f"{_MARKS[difference.effect]} {difference.effect}: {difference.plugin}: "]
    if difference.new is not None:
        said[0] += f"{difference.new.sentence} ({_where(difference.new)})"
        if difference.old is not None:
            said.append(f"    before: {difference.old.sentence} ({_where(difference.old)})")
    elif difference.old is not None:
        said[0] += f"no more: {difference.old.sentence} ({_where(difference.old)})"
    return said


def _where(term: Term) -> str:
    return str(term.place) if term.place.line else term.place.file


def _as_json(difference: Difference) -> dict[str, Any]:
    return {
        "effect": difference.effect,
        "plugin": difference.plugin,
        "old": None
        if difference.old is None
        else {"sentence": difference.old.sentence, "source": _where(difference.old)},
        "new": None
        if difference.new is None
        else {"sentence": difference.new.sentence, "source": _where(difference.new)},
    }
