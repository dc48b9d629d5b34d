"""Who may do what: the roles of people, the scopes of API keys, and the one table that both are read from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, cast, get_args

from toolhost.errors import AccessError, UsageError
from toolhost.model import Actor
from toolhost.policy.values import RUN_SCOPE, SCOPES

__all__ = ["RIGHTS", "ROLES", "Right", "allowed", "check", "check_role", "read_scopes", "right_of_scope", "scope_of"]

Right = Literal["look", "chat", "tools:read", "tools:run", "approve", "keys", "audit:read", "policies:read", "admin"]
"""What somebody may do. `look` is one's own account and what one has done; `approve` answers one's own questions;
`keys` makes API keys. The others are scopes of API keys as well."""

ROLES: tuple[str, ...] = ("admin", "operator", "user", "viewer")

RIGHTS: dict[str, frozenset[Right]] = {
    "admin": frozenset(get_args(Right)),
    "operator": frozenset(
        {"look", "chat", "tools:read", "tools:run", "approve", "keys", "audit:read", "policies:read"}
    ),
    "user": frozenset({"look", "chat", "tools:read", "tools:run", "approve", "keys"}),
    "viewer": frozenset({"look", "tools:read"}),
}
"""The table. Whoever is not in it may do nothing."""

_NEVER_BY_KEY: frozenset[Right] = frozenset({"approve", "keys"})
"""What a key cannot do whatever its scopes: a person answers, and a person hands out keys."""

_PLUGIN = re.compile(re.escape(RUN_SCOPE) + r"[a-z][a-z0-9_-]{0,63}")
_MOST_SCOPES = 64


def allowed(actor: Actor, right: Right, plugin: str | None = None) -> bool:
    """Whether an actor may do something: its role says so and, for an API key, its scopes do too.

    Args:
        actor: Who asks, with the role that its user has now.
        right: What for.
        plugin: The plugin whose tools would run; only for `tools:run`.
    """
    if right not in RIGHTS.get(actor.role, ()):
        return False
    if actor.scopes is None:
        return True
    if right in _NEVER_BY_KEY:
        return False
    if right == "look":
        return True
    return not _missing(actor.scopes, right, plugin)


def check(actor: Actor, right: Right, plugin: str | None = None) -> None:
    """Refuse what `allowed` denies.

    Raises:
        AccessError: `role_not_allowed`, `key_not_allowed`, `scope_missing`.
    """
    if allowed(actor, right, plugin):
        return
    check_role(actor.role, right)
    if right in _NEVER_BY_KEY:
        raise AccessError("key_not_allowed", "An API key cannot do this; a person can.", "Sign in and do it there.")
    raise AccessError(
        "scope_missing",
        f"This API key lacks the scope `{scope_of(right, plugin)}`.",
        "Make a key that has it, under Settings or with `toolhost key create`.",
    )


def check_role(role: str, right: Right) -> None:
    """Refuse what a role may not do, before any scope is looked at.

    Raises:
        AccessError: `role_not_allowed`.
    """
    if right not in RIGHTS.get(role, ()):
        raise AccessError(
            "role_not_allowed",
            f"The role `{role}` may not do this; it needs `{right}`.",
            "An administrator can change a person's role: `toolhost user role NAME ROLE`.",
        )


def scope_of(right: Right, plugin: str | None = None) -> str:
    """The scope that a key needs for a right, as people write it."""
    return f"{RUN_SCOPE}{plugin}" if right == "tools:run" and plugin else right


def right_of_scope(scope: str) -> Right:
    """What a scope lets a key do."""
    return "tools:run" if scope.startswith(RUN_SCOPE) else cast(Right, scope)


def read_scopes(scopes: object) -> frozenset[str]:
    """The scopes of a new key, if each is one.

    Raises:
        UsageError: `scopes_invalid`.
    """
    items: Iterable[object] = scopes if isinstance(scopes, list | tuple | frozenset) else ()
    found = [item for item in items if isinstance(item, str) and (item in SCOPES or _PLUGIN.fullmatch(item))]
    if not found or len(found) != len(tuple(items)) or len(found) > _MOST_SCOPES:
        raise UsageError(
            "scopes_invalid",
            "An API key has one or more of the scopes that there are, and no other.",
            f"Scopes: {', '.join((*SCOPES, RUN_SCOPE + 'PLUGIN'))}.",
        )
    return frozenset(found)


def _missing(scopes: frozenset[str], right: Right, plugin: str | None) -> bool:
    if right == "tools:run" and plugin is None:
        return "tools:run" not in scopes and not any(scope.startswith(RUN_SCOPE) for scope in scopes)
    if right == "tools:run":
        return "tools:run" not in scopes and f"{RUN_SCOPE}{plugin}" not in scopes
    return scope_of(right) not in scopes
