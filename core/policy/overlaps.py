"""Roots of one call that share host folders: what one of them keeps, the other keeps too.

A workspace may lie inside a folder that the policy grants as well, at another place inside. What the policy denies or
protects is then the same files under two names, and a read-only root must not be writable through the other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from toolhost.sandbox import PlanRefused
from toolhost.sandbox.plan import Root

__all__ = ["apart"]

_GLOB = frozenset("*?[")
_OWN_CODE = sys.prefix
"""The environment the host itself runs from: a workspace may hold it (`.venv`), but no tool may change it."""


def apart(roots: Sequence[Root], support: Sequence[str]) -> tuple[Root, ...]:
    """The roots, each with what the others deny, protect or keep from writing in it.

    Args:
        roots: The roots of one call.
        support: Host data the policy puts into the sandbox, where files may be executed.

    Raises:
        PlanRefused: `path_denied` where a root lies in what another denies; `support_writable`.
    """
    for root in roots:
        denied = (f"{other.source}/{path}" for other in roots for path in other.hidden if not _GLOB & set(path))
        if place := next((path for path in denied if _within(root.source, path)), None):
            raise PlanRefused("path_denied", f"{root.source} lies in {place}, which the policy denies.")
        loaded = next((path for path in support if _within(root.source, path) or _within(path, root.source)), None)
        if root.writable and loaded is not None:
            raise PlanRefused(
                "support_writable",
                f"With {root.source} a tool could write {loaded}, from which programs are loaded.",
                "Take one of them out of the policy.",
            )
    return tuple(_with_foreign(root, [other for other in roots if not _mounted_in(other, root)]) for root in roots)


def _with_foreign(root: Root, others: Sequence[Root]) -> Root:
    hidden = {f"{other.source}/{path}" for other in others for path in other.hidden if not _GLOB & set(path)}
    if not root.writable:
        return replace(root, hidden=_all(root, root.hidden, hidden))
    kept = {f"{other.source}/{path}" for other in others for path in other.protected if not _GLOB & set(path)}
    kept |= {_OWN_CODE} | {other.source for other in others if not other.writable}
    return replace(root, hidden=_all(root, root.hidden, hidden), protected=_all(root, root.protected, kept))


def _mounted_in(inner: Root, outer: Root) -> bool:
    """Whether a root stands over its own folder in another: what holds for it, its own mount brings along."""
    below = inner.source.removeprefix(outer.source)
    return below.startswith("/") and inner.target == outer.target + below


def _all(root: Root, own: tuple[str, ...], paths: set[str]) -> tuple[str, ...]:
    inside = {path.removeprefix(root.source + "/") for path in paths if path.startswith(root.source + "/")}
    return (*own, *sorted(inside - set(own)))


def _within(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it, by whole components."""
    return path == folder or path.startswith(folder + "/")
