"""`toolhost plugin accept`: a person looks at what changed in a plugin and lets it in."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import click

from toolhost.cli.consent import consent
from toolhost.cli.exits import Exit, report, reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, run_with_host
from toolhost.cli.terminal import safe
from toolhost.errors import AccessError
from toolhost.host import Host
from toolhost.pluginhost.drift import Change, changes

__all__ = ["command"]

_MARKS = {"added": "+", "removed": "-", "changed": "~"}
_WIDEST = 2000  # characters of one text that are shown


@click.command("accept")
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Answer the question with yes, without a terminal.")
@reported
def command(name: str, yes: bool) -> None:
    """Show what changed in a plugin since it was pinned, and pin it as it is now on a yes."""

    async def run(host: Host) -> Exit:
        record = host.plugins.record(name)
        pin = host.plugins.pins.get(name)
        if record.state == "active":
            click.echo(f"{safe(name)} is what was pinned: there is nothing to accept.")
            return Exit.OK
        if pin is None:  # its own fault, which accepting would not mend
            raise AccessError(record.code, f"{name} cannot be accepted: {record.reason}")
        before = host.plugins.pinned(name)
        if before is None:
            report(record.reason, record.code)
            click.echo(f"{safe(name)} as it is:")
        else:
            click.echo(f"{safe(name)} since it was pinned:")
        if before is not None and before.quarantined:
            click.echo(safe(f"  it was taken out of service: {before.quarantined}", keep=""))
        for line in change_lines(changes(before, pin)):
            click.echo(safe(line, keep=""))
        if not await consent(f"Let {name} in as it is now?", yes):
            return Exit.APPROVAL
        host.plugins.accept(pin)
        host.audit.write(
            "security",
            "plugin.accepted",
            {"plugin": name, "before": before.digest if before else None, "after": pin.digest},
            actor=LOCAL_ADMINISTRATOR,
        )
        click.echo(f"{safe(name)} is pinned as it is now.")
        return Exit.OK

    sys.exit(run_with_host(run))


def change_lines(found: Iterable[Change]) -> Iterator[str]:
    """Each change as lines, what was there above what is."""
    for change in found:
        subject = f"tool {change.tool}" if change.tool else change.what
        if change.tool and change.what != "tool":
            subject += f": {change.what}"
        yield f"{_MARKS[change.kind]} {subject}{f' {change.path}' if change.path else ''}"
        if change.before is not None:
            yield f"    - {_shortened(change.before)}"
        if change.after is not None:
            yield f"    + {_shortened(change.after)}"


def _shortened(text: str) -> str:
    if len(text) <= _WIDEST:
        return text
    return f"{text[:_WIDEST]} ... ({len(text) - _WIDEST} more characters; all of them are in `toolhost plugin lock`)"
