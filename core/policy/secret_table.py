"""Reading `[secrets]`: the names of secrets, and where the host finds each when a call begins.

What a secret holds is never read here: a policy, its digest and its plans know names only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from toolhost.policy.keys import SECRET
from toolhost.policy.places import within
from toolhost.policy.table import Located, Table
from toolhost.policy.values import WORKSPACE, RootGrant, SecretSource, SourceKind
from toolhost.sandbox.plan import MOST_SECRETS, is_secret_name

__all__ = ["read_secrets"]

_KINDS: tuple[SourceKind, ...] = ("env", "file", "credential")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,254}")


def read_secrets(
    table: Table, roots: Iterable[RootGrant], workspaces: str, passed: Iterable[str]
) -> tuple[SecretSource, ...]:
    """The secrets of a policy, sorted by name.

    Args:
        table: The table.
        roots: The policy's roots: a secret's file lies in none of them.
        workspaces: The host's folder of workspaces, likewise.
        passed: Names of the variables that calls see.
    """
    folders = [root.path for root in roots if root.path != WORKSPACE] + [workspaces]
    found = list(_sources(table, folders, frozenset(passed)))
    if len(found) > MOST_SECRETS:
        table.problem(found[MOST_SECRETS].place, "too_many_secrets", f"A policy can name {MOST_SECRETS} secrets.")
    return tuple(sorted(found, key=lambda source: source.name))


def _sources(table: Table, folders: Iterable[str], passed: frozenset[str]) -> Iterator[SecretSource]:
    for name in table.names():
        place = table.key_place(name)
        if not isinstance(table.raw(name), dict):
            message = f'A secret is never written here: `{name}` says where it is, such as {{ env = "NAME" }}.'
            table.problem(table.place(name), "wrong_type", message)
            continue
        if not is_secret_name(name):
            table.problem(
                place,
                "bad_value",
                f"`{name}` is no name of a secret: one is of a-z, 0-9, `-` and `_`, a letter first, and names its file "
                "in /run/secrets.",
            )
        entry = table.table(name, SECRET)
        named = [(kind, text) for kind in _KINDS if (text := entry.text(kind)) is not None]
        if len(named) != 1:
            if len(entry.names()) != 1:
                table.problem(
                    place,
                    "bad_value",
                    f'The secret `{name}` comes from one place: write {{ env = "NAME" }}, {{ file = "/path" }} or '
                    '{ credential = "name" }.',
                )
            continue
        kind, text = named[0]
        wrong = _wrong(kind, text, folders, passed)
        if wrong:
            table.problem(text.place, *wrong)
        yield SecretSource(name=name, kind=kind, where=text.text, place=place)


def _wrong(kind: SourceKind, text: Located, folders: Iterable[str], passed: frozenset[str]) -> tuple[str, str] | None:
    where = text.text
    if kind == "env":
        if not _VARIABLE.fullmatch(where):
            return "bad_value", f"`{where}` is no name of a variable: letters, digits and `_`, no digit first."
        if where in passed:
            return "secret_exposed", f"[env] shows every call the variable {where}: take it out there."
        return None
    if kind == "credential":
        if not _CREDENTIAL.fullmatch(where):
            return "bad_value", f"`{where}` is no name of a credential: it is one file of $CREDENTIALS_DIRECTORY."
        return None
    if not where.startswith("/") or os.path.normpath(where) != where or not where.isprintable():
        return "bad_value", f"`{ascii(where)[1:-1]}` must be an absolute path, without `.`, `..`, `//` and a final `/`."
    folder = next((folder for folder in folders if within(where, folder)), None)
    if folder is not None:
        return "secret_exposed", f"{where} lies in {folder}, which tools can reach: keep it where no tool does."
    return None
