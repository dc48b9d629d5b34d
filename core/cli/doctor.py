"""`toolhost doctor`: a verdict for each layer of defence and each box of the checklist, from probes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from toolhost.cli.exits import Exit, reported
from toolhost.cli.session import enter
from toolhost.cli.terminal import safe
from toolhost.data import DataDirectory
from toolhost.layers import examined

__all__ = ["command"]

_LAST = "doctor.json"
"""In the state folder: what was found the last time."""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@reported
def command(as_json: bool) -> None:
    """Probe this machine, layer by layer, go through the deployment checklist, and say what has changed since.

    Exits with 1 if a layer fails. What could not be looked at is a warning or unknown, never a pass.
    """
    settings = enter()
    found = examined(settings)
    last = DataDirectory(settings).state / _LAST
    found["changes"] = list(_changes(_read(last), found))
    _keep(last, found)
    click.echo(json.dumps(found) if as_json else safe("\n".join(_lines(found)), keep="\n"))
    sys.exit(Exit.FAILED if found["status"] == "fail" else Exit.OK)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for layer in found["layers"]:
        yield f"{layer['status']:<5} {layer['name']}"
        for check in layer["checks"]:
            yield f"      {check['status']:<5} {check['name']}: {check['message']}"
            if check["fix"] and check["status"] != "pass":
                yield f"            {check['fix']}"
    statuses = {box["status"] for box in found["checklist"]}
    worst_box = next((one for one in ("fail", "warn", "unknown") if one in statuses), "pass")
    yield f"{worst_box:<5} checklist"
    for box in found["checklist"]:
        yield f"      {box['status']:<7} {box['name']}: {box['message']}"
        if box["fix"] and box["status"] != "pass":
            yield f"              {box['fix']}"
    if found["changes"]:
        yield "since the last time"
        for change in found["changes"]:
            yield f"      {change['name']}: {change['before'] or 'not there'} -> {change['after'] or 'not there'}"


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[dict[str, str | None]]:
    """Each check whose verdict is another than the last time; all of them are new the first time, and none is told."""
    if not before:
        return
    old, new = _verdicts(before), _verdicts(after)
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield {"name": name, "before": old.get(name), "after": new.get(name)}


def _verdicts(found: dict[str, Any]) -> dict[str, str]:
    """The verdict of each check by its layer and name; of several of one name the worst."""
    order = ("pass", "unknown", "warn", "fail")
    verdicts: dict[str, str] = {}
    parts = [(layer["name"], layer["checks"]) for layer in found["layers"]]
    for part, checks in (*parts, ("checklist", found["checklist"])):
        for check in checks:
            name = f"{part}: {check['name']}"
            verdicts[name] = max(verdicts.get(name, "pass"), check["status"], key=order.index)
    return verdicts


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        _verdicts(found)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    assert isinstance(found, dict)
    return found


def _keep(path: Path, found: dict[str, Any]) -> None:
    """Remember what was found, where there is a state folder that takes it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(json.dumps(found))
        draft.replace(path)
