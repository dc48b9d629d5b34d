"""A conversation is a tree: what is edited or tried again grows beside what was there. Functions over its parents."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["leaf", "path", "siblings"]


def path(parents: Mapping[int, int | None], head: int | None) -> list[int]:
    """The entries from the first one to `head`, in order."""
    found: list[int] = []
    while head is not None and head in parents:
        found.append(head)
        head = parents[head]
    return found[::-1]


def siblings(parents: Mapping[int, int | None]) -> dict[int, tuple[int, ...]]:
    """For each entry that is not alone in following its parent, all that do, the oldest first."""
    groups: dict[int | None, list[int]] = {}
    for entry in sorted(parents):
        groups.setdefault(parents[entry], []).append(entry)
    return {entry: tuple(group) for group in groups.values() if len(group) > 1 for entry in group}


def leaf(parents: Mapping[int, int | None], entry: int) -> int:
    """The last entry of the branch that goes through `entry`, as it was last continued."""
    newest: dict[int | None, int] = {}
    for child in sorted(parents):
        newest[parents[child]] = child
    while entry in newest:
        entry = newest[entry]
    return entry
