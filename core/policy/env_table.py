"""Reading `[env]`: variables a policy sets or passes on, none that makes programs load code."""

from __future__ import annotations

import os
import re

from toolhost.policy.environment import loads_code
from toolhost.policy.keys import POLICY
from toolhost.policy.problems import Place
from toolhost.policy.table import Table

__all__ = ["ENV_KEYS", "read_env"]

ENV_KEYS = tuple(POLICY["env"].keys or ())

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_env(table: Table) -> tuple[tuple[str, str], ...]:
    """The variables and their values, sorted. One to be passed that the host does not have is left out."""
    variables: dict[str, str] = {}
    for item in table.strings("pass"):
        value = os.environ.get(item.text)
        if _check(table, item.text, item.place) and value is not None and value.isprintable():
            variables[item.text] = value
    values = table.table("set", None)
    for name in values.names():
        text = values.text(name)
        if text is None or not _check(table, name, values.key_place(name)):
            continue
        if not text.text.isprintable():
            table.problem(text.place, "bad_value", f"The value of {name} holds a control character.")
        variables[name] = text.text
    return tuple(sorted(variables.items()))


def _check(table: Table, name: str, place: Place) -> bool:
    if not _NAME.fullmatch(name):
        table.problem(
            place, "bad_value", f"`{name}` is no name of a variable: letters, digits and `_`, no digit first."
        )
        return False
    if loads_code(name):
        table.problem(place, "env_loads_code", f"{name} can make programs load code or run others: leave it out.")
        return False
    return True
