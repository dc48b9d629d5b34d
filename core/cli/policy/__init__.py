"""`toolhost policy`: whether the files are right, and what they decide."""

from __future__ import annotations

import click

from toolhost.cli.lazy import LazyGroup

__all__ = ["command"]

# name -> (module, line in the help)
_COMMANDS = {
    "check": ("toolhost.cli.policy.check", "Check policy files."),
    "diff": ("toolhost.cli.policy.diff", "Compare what two policies grant."),
    "replay": ("toolhost.cli.policy.replay", "List recorded calls that would be decided otherwise now."),
    "why": ("toolhost.cli.policy.why", "Say why a recorded call was decided as it was."),
    "explain": ("toolhost.cli.policy.explain", "Explain what would be decided for a call."),
    "learn": ("toolhost.cli.policy.learn", "Propose what a policy lacked, from calls that did not work."),
    "lint": ("toolhost.cli.policy.lint", "Look for what is valid and likely not meant."),
    "schema": ("toolhost.cli.policy.schema", "Print the JSON Schema of policy files."),
    "test": ("toolhost.cli.policy.test", "Try the examples of policy files."),
}


@click.group("policy", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """Check policies and explain their decisions."""
