"""`toolhost doctor`: one verdict for each layer of defence, each from a probe of this machine."""

from __future__ import annotations

import json
import sys

import click

from toolhost.cli.exits import Exit, reported
from toolhost.cli.probes import LAYERS, worst
from toolhost.cli.session import enter
from toolhost.cli.terminal import safe

__all__ = ["command"]


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@reported
def command(as_json: bool) -> None:
    """Probe this machine, layer by layer: network, transport, application, execution, audit.

    Exits with 1 if a layer fails. What could not be looked at is a warning, never a pass.
    """
    settings = enter()
    found = {name: probe_layer(settings) for name, probe_layer in LAYERS.items()}
    layers = [
        {
            "name": name,
            "status": worst(checks),
            "checks": [
                {"name": check.layer, "status": check.status, "message": check.message, "fix": check.fix}
                for check in checks
            ],
        }
        for name, checks in found.items()
    ]
    status = worst([check for checks in found.values() for check in checks])
    if as_json:
        click.echo(json.dumps({"status": status, "layers": layers}))
    else:
        for name, checks in found.items():
            click.echo(f"{worst(checks):<5} {name}")
            for check in checks:
                click.echo(safe(f"      {check.status:<5} {check.layer}: {check.message}"))
                if check.fix and check.status != "pass":
                    click.echo(safe(f"            {check.fix}"))
    sys.exit(Exit.FAILED if status == "fail" else Exit.OK)
