"""The records of changes that can be undone, as they lie in a workspace: reading one.

The plugin that undoes a change and the host that shows a person what undoing it would do both use this: what is shown
is what happens. Whatever can write the workspace can write such a record, so nothing in it is believed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

__all__ = ["KEPT_CHANGES", "KeptChange", "kept_numbers", "read_kept_change"]

KEPT_CHANGES = ".toolhost/changes"
"""Where they lie: in a folder each, named by a number, the record as `change.json` beside what was kept."""

_FOLDER = ".toolhost"
_KEYS = {
    "content": ("path", "before", "after"),
    "folder": ("path",),
    "moved": ("path", "to"),
    "binned": ("path", "item"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptChange:
    """A record.

    Attributes:
        tool: The tool that made the change.
        made: Seconds since the epoch.
        unkept: Why it cannot be undone, or an empty string.
        steps: What was done, in order. `did` is `content` (`path` was written; `before` names what it held, None where
            it was not there, with its `mode`; `after` is the SHA-256 of what it held then), `folder` (`path` was made),
            `moved` (`path` became `to`) or `binned` (`path` lies in `item`).
    """

    tool: str
    made: float
    unkept: str
    steps: Sequence[dict[str, Any]]


def read_kept_change(data: bytes) -> KeptChange:
    """Read a record.

    Raises:
        ValueError: It is none.
    """
    try:
        record = json.loads(data)
        return KeptChange(
            tool=str(record["tool"]),
            made=float(record["made"]),
            unkept=str(record.get("unkept", "")),
            steps=[_step(step) for step in record["steps"]],
        )
    except (TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError("no record of a change") from error


def kept_numbers(names: Sequence[str]) -> list[int]:
    """The numbers among names of folders, newest first."""
    return sorted({int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 10}, reverse=True)


def _step(step: dict[str, Any]) -> dict[str, Any]:
    """Exactly the keys of its kind, and paths that stay put."""
    clean: dict[str, Any] = {"did": step["did"], **{key: step[key] for key in _KEYS[step["did"]]}}
    for key in ("path", "to"):
        if key in clean:
            _plain(clean[key])
    if clean.get("before") is not None and clean.get("before") != "unkept":
        clean["mode"] = int(step["mode"]) & 0o777
        if not str(clean["before"]).isdigit():
            raise ValueError
    if "item" in clean:
        item = PurePosixPath(clean["item"])
        if len(item.parts) != 2 or ".." in item.parts or item.is_absolute():
            raise ValueError
    return clean


def _plain(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or _FOLDER in parts or "\0" in path:
        raise ValueError
