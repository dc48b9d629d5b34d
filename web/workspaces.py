"""The named workspaces a person may choose for a conversation."""

from __future__ import annotations

from toolhost.errors import UsageError
from toolhost.host import Host
from toolhost.model import Actor

__all__ = ["check_workspace", "named_workspaces"]


def named_workspaces(host: Host, actor: Actor) -> dict[str, bool]:
    """The named workspaces the actor may choose, and whether each may be written."""
    return {
        name: named.write
        for name, named in sorted(host.policies.current.host.workspaces.items())
        if actor.role in named.who
    }


def check_workspace(host: Host, actor: Actor, name: object) -> str | None:
    """The name of a workspace the actor may choose, or None for the conversation's own.

    Raises:
        UsageError: `unknown_workspace`.
    """
    if name is None or name == "":
        return None
    if not isinstance(name, str) or name not in named_workspaces(host, actor):
        raise UsageError(
            "unknown_workspace",
            f"There is no workspace {name!r} for you.",
            "Leave it out for a new empty folder; an administrator can add one in host.toml.",
        )
    return name
