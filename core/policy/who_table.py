"""Reading `[who]`: whom a policy serves."""

from __future__ import annotations

import re

from toolhost.policy.keys import POLICY
from toolhost.policy.problems import Place, near
from toolhost.policy.table import Table
from toolhost.policy.values import ROLES, RUN_SCOPE, SCOPES, Who

__all__ = ["WHO_KEYS", "read_roles", "read_who"]

WHO_KEYS = tuple(POLICY["who"].keys or ())

_RUN = re.compile(re.escape(RUN_SCOPE) + r"[a-z][a-z0-9_-]*")


def read_who(table: Table, place: Place) -> Who:
    """Roles, users and scopes; every role that may run tools where the table says nothing.

    Args:
        table: The table.
        place: Where it is written.
    """
    users = tuple(item.text for item in table.strings("users"))
    # Whoever lists users and no roles means these users, and an emptied list means nobody.
    default = () if "users" in table else ROLES
    return Who(roles=read_roles(table, "roles", default), users=users, scopes=_scopes(table), place=place)


def read_roles(table: Table, key: str, default: tuple[str, ...] = ROLES) -> tuple[str, ...]:
    """A list of roles that may run tools."""
    if key not in table:
        return default
    items = table.strings(key)
    for item in items:
        if item.text not in ROLES:
            hint = near(item.text, ROLES) or f" Roles: {', '.join(ROLES)}."
            table.problem(item.place, "bad_value", f"`{item.text}` is no role that may run tools.{hint}")
    return tuple(item.text for item in items)


def _scopes(table: Table) -> tuple[str, ...]:
    items = table.strings("scopes")
    for item in items:
        if item.text not in SCOPES and not _RUN.fullmatch(item.text):
            known = (*SCOPES, f"{RUN_SCOPE}PLUGIN")
            hint = near(item.text, SCOPES) or f" Scopes: {', '.join(known)}."
            if item.text.startswith(RUN_SCOPE):
                hint = f" Did you mean `{known[-1]}`?"
            table.problem(item.place, "bad_value", f"`{item.text}` is no scope of an API key.{hint}")
    return tuple(dict.fromkeys(item.text for item in items))
