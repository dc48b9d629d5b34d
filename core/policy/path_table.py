"""Reading `[paths]`: which host folders are roots, and what of them is hidden or protected."""

from __future__ import annotations

import os
from collections.abc import Sequence

from toolhost.policy.places import Places, UnfitError
from toolhost.policy.problems import near
from toolhost.policy.table import Located, Table
from toolhost.policy.values import PROTECTED, WORKSPACE, RootGrant
from toolhost.sandbox import PlanRefused, root

__all__ = ["read_hidden", "read_protected", "read_roots", "root_problem"]

_GLOB = frozenset("*?[")


def read_roots(table: Table, places: Places, allowed: Sequence[str] | None) -> tuple[RootGrant, ...]:
    """`read` and `write`; a path that stands in both is writable."""
    grants: dict[str, RootGrant] = {}
    for key in ("read", "write"):
        for item in table.strings(key):
            writable = key == "write"
            found = None if item.text == WORKSPACE else root_problem(item.text, places, allowed, writable=writable)
            if found:
                table.problem(item.place, *found)
            else:
                grants[item.text] = RootGrant(path=item.text, writable=writable, place=item.place)
    return tuple(grants.values())


def root_problem(path: str, places: Places, allowed: Sequence[str] | None, *, writable: bool) -> tuple[str, str] | None:
    """Why a path may not be a root, as code and sentence; None where it may."""
    if not path:
        return "bad_root", "An empty path is no root."
    if WORKSPACE in path:
        return "bad_root", f"`{path}`: {WORKSPACE} stands alone; a rule names what is in it. Write `{WORKSPACE}`."
    if path.startswith("~") or "$" in path:
        return "bad_root", (
            f"`{path}` must be written out, such as /home/ada/project: `~` and variables would be the host's own, "
            "and are not expanded."
        )
    if not path.startswith("/"):
        hint = near(path, (WORKSPACE,)) or f" Did you mean `{_visible(os.path.normpath(f'/{path}'))}`?"
        return (
            "bad_root",
            f"`{_visible(path)}` must be absolute, or {WORKSPACE}: there is no folder it could be relative to.{hint}",
        )
    if _GLOB & set(path):
        folder = path[: min(path.index(char) for char in _GLOB & set(path))].rpartition("/")[0]
        hint = f" Did you mean `{folder}`?" if folder else ""
        return "bad_root", f"`{path}`: a root is one folder with all in it, or one file; globs are not expanded.{hint}"
    if not _is_plain(path):
        hint = f" Did you mean `{os.path.normpath(path)}`?" if path.isprintable() else ""
        return "bad_root", f"`{_visible(path)}` must be plain, without `.`, `..`, `//` or a final `/`.{hint}"
    try:
        places.check(path, writable=writable, allowed=allowed)
        root(path, path, writable=writable)
    except UnfitError as unfit:
        return unfit.code, unfit.message
    except PlanRefused as refused:
        real = f" Did you mean `{os.path.realpath(path)}`?" if refused.code == "root_is_link" else ""
        return refused.code, f"{refused.message} {refused.hint}".strip() + real
    return None


def read_hidden(table: Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`deny`: paths relative to every root, and patterns of such paths."""
    plain, globs = [], []
    for item in table.strings("deny"):
        if not _GLOB & set(item.text):
            if _inner_is_plain(table, "deny", item):
                plain.append(item.text)
        elif _glob_is_good(table, item):
            globs.append(item.text)
    return tuple(plain), tuple(globs)


def _glob_is_good(table: Table, item: Located) -> bool:
    parts = item.text.split("/")
    if item.text.startswith("/") or not _is_plain("/" + item.text):
        wrong = "is relative to the roots, without `.`, `..` and `//`"
    elif any("**" in part and part != "**" for part in parts):
        wrong = "has `**` only as a whole name: it stands for any number of folders"
    else:
        return True
    table.problem(item.place, "bad_value", f"`{_visible(item.text)}`: a pattern of `deny` {wrong}.")
    return False


def read_protected(table: Table) -> tuple[str, ...]:
    """`protect`: what cannot be written inside writable roots; a fixed list where the key is missing."""
    if "protect" not in table:
        return PROTECTED
    return tuple(item.text for item in table.strings("protect") if _inner_is_plain(table, "protect", item))


def _inner_is_plain(table: Table, key: str, item: Located) -> bool:
    plain = not item.text.startswith("/") and _is_plain("/" + item.text) and not _GLOB & set(item.text)
    if not plain:
        inner = os.path.normpath("/" + item.text).strip("/")
        hint = " Patterns are for `deny`." if _GLOB & set(item.text) else f" Did you mean `{_visible(inner)}`?"
        table.problem(
            item.place,
            "bad_value",
            f"`{_visible(item.text)}`: `{key}` holds plain paths relative to the roots, such as `.git/hooks`.{hint}",
        )
    return plain


def _is_plain(path: str) -> bool:
    if path == "/":
        return True  # refused as control plane, by name
    parts = path.split("/")[1:]
    return path.isprintable() and all(part not in ("", ".", "..") for part in parts)


def _visible(path: str) -> str:
    return path if path.isprintable() else ascii(path)[1:-1]
