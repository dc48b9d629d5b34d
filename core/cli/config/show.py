"""`toolhost config show`: each setting, its value and where it is from; secrets masked."""

from __future__ import annotations

import json

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import enter
from toolhost.cli.terminal import safe
from toolhost.settings import SECTIONS, SETTINGS, Setting

__all__ = ["command"]

_MASK = "****"


@click.command("show")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="text or json.")
@reported
def command(output: str) -> None:
    """Show every setting: its value, and whether that is from the environment, the file or the default."""
    settings = enter()
    shown = {one.name: (_shown(one, getattr(settings, one.name)), settings.origins[one.name]) for one in SETTINGS}
    sections = [section.name for section in SECTIONS if settings.file.value(section.name) is not None]
    if output == "json":
        values = {name: {"value": value, "origin": origin} for name, (value, origin) in shown.items()}
        click.echo(json.dumps({"settings": values, "sections": sections}))
        return
    widths = [max(len(one[part]) for one in ((name, value) for name, (value, _) in shown.items())) for part in (0, 1)]
    for name, (value, origin) in shown.items():
        click.echo(safe(f"{name:<{widths[0]}}  {value:<{min(widths[1], 48)}}  {origin}"))
    for name in sections:
        click.echo(safe(f"[{name}]  {settings.file.line(name)}"))


def _shown(setting: Setting, value: object) -> str:
    if value is None:
        return "-"
    return _MASK if setting.secret else setting.kind.show(value)
