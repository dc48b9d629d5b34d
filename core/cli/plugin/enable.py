"""`toolhost plugin enable`: a person reads what a plugin asks for, and grants it."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import click

from toolhost.cli.consent import consent
from toolhost.cli.exits import Exit, reported
from toolhost.cli.session import LOCAL_ADMINISTRATOR, run_with_host
from toolhost.cli.terminal import safe
from toolhost.errors import UsageError
from toolhost.host import Host
from toolhost.policy.grants import DISABLED, REQUEST, grant_text, is_there, proposed, put
from toolhost.policy.load import Loaded
from toolhost.policy.words import sentences

__all__ = ["command"]


@click.command("enable")
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Answer the question with yes, without a terminal.")
@reported
def command(name: str, yes: bool) -> None:
    """Show what a plugin asks for, in words and in TOML, and grant it on a yes.

    A policy that `plugin disable` took out of force is shown and put back in place of the request.
    """

    async def run(host: Host) -> Exit:
        record = host.plugins.record(name)
        if record.code != "server_not_granted":  # a server is asked for its tools only when it is granted
            host.plugins.check_in_service(name)
        target = host.data.policies / f"{name}.toml"
        aside, request = target.with_name(target.name + DISABLED), Path(record.location, REQUEST)
        back = is_there(aside)
        if is_there(target):
            return _enabled_already(host, name, target, request)
        if not back and not is_there(request):
            raise UsageError(
                "request_missing",
                f"The plugin {name} ships no {REQUEST}, and there is no {aside.name}.",
                f"Write {target} by hand.",
            )
        loaded = _usable(proposed(aside if back else request, name, host.policies.current))
        assert loaded.policy is not None
        assert loaded.content is not None
        content = loaded.content if back else grant_text(loaded.content)
        click.echo(f"{safe(name)} {'was granted' if back else 'asks for'}, the riskiest first:")
        for sentence in sentences(loaded.policy):
            click.echo(safe(f"  {sentence}", keep=""))
        click.echo(f"\n{safe(str(target))}:\n")
        click.echo(safe(content.decode()), nl=not content.endswith(b"\n"))
        if not await consent(f"Grant this to {name}?", yes):
            return Exit.APPROVAL
        put(target, content)
        if back:
            aside.unlink()
        host.audit.write(
            "security",
            "plugin.enabled",
            {"plugin": name, "file": target.name, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}"},
            actor=LOCAL_ADMINISTRATOR,
        )
        click.echo(f"{safe(name)} is granted what {safe(target.name)} says.")
        return Exit.OK

    sys.exit(run_with_host(run))


def _enabled_already(host: Host, name: str, target: Path, request: Path) -> Exit:
    """A policy that is there is never overwritten, whatever the request says now."""
    granted = proposed(target, name, host.policies.current)
    if is_there(request):
        asked = _usable(proposed(request, name, host.policies.current))
        assert asked.content is not None
        if granted.content != grant_text(asked.content):
            raise UsageError(
                "grant_exists",
                f"{target} is there and does not say what the plugin asks for; nothing was changed.",
                f"`toolhost policy diff {name}` shows what it asks beyond that: write into the file what you agree to.",
            )
    _usable(granted)
    click.echo(f"{safe(name)} is enabled: {safe(target.name)} says what it is granted.")
    return Exit.OK


def _usable(loaded: Loaded) -> Loaded:
    """The same, where it is a policy.

    Raises:
        UsageError: `policy_invalid` with the first problem.
    """
    for problem in loaded.problems:
        raise UsageError("policy_invalid", str(problem), "Nothing was changed.")
    return loaded
