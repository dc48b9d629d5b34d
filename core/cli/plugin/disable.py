"""`toolhost plugin disable`: everything a plugin is granted is taken back, and kept for later."""

from __future__ import annotations

import click

from toolhost.cli.exits import reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, run_with_host
from toolhost.cli.terminal import safe
from toolhost.errors import UsageError
from toolhost.host import Host
from toolhost.pluginhost.manifest import is_plugin_name
from toolhost.policy.grants import set_aside

__all__ = ["command"]


@click.command("disable")
@click.argument("name", metavar="NAME")
@reported
def command(name: str) -> None:
    """Take a plugin's policy out of force, as NAME.toml.disabled; `plugin enable` shows it and puts it back."""

    async def run(host: Host) -> None:
        if not is_plugin_name(name):
            raise UsageError("unknown_plugin", f"There is no plugin {name!r}.", "`toolhost plugin list` lists them.")
        aside = set_aside(host.data.policies / f"{name}.toml")
        details = {"plugin": name, "file": aside.name}
        host.audit.write("security", "plugin.disabled", details, actor=LOCAL_ADMINISTRATOR)
        click.echo(f"{safe(name)} is granted nothing; what it was granted is kept in {safe(aside.name)}.")

    run_with_host(run)
