"""What a running server has in force, written where `toolhost doctor` finds it: the files alone do not tell."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from toolhost.policy.policy_set import PolicySet

__all__ = ["IN_FORCE", "InForce", "keep", "kept"]

IN_FORCE = "policies.json"
"""Name of the file in the state folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What a server has of one file.

    Attributes:
        state: As of `PolicyFile`.
        since: Milliseconds since the epoch; 0 where nothing of it is in force.
    """

    state: Literal["current", "last_good", "nothing"]
    since: int


def keep(path: Path, policies: PolicySet) -> None:
    """Write down what is in force, in one step.

    Raises:
        OSError: Where it cannot be written.
    """
    files = (policies.host_file, *policies.files.values())
    said = {file.name: {"state": file.state, "since": file.since} for file in files}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(said))
    temporary.replace(path)


def kept(path: Path) -> Mapping[str, InForce]:
    """What was written down last, by the files' names; empty where that cannot be read."""
    try:
        said = json.loads(path.read_bytes())
        return {
            name: InForce(state=cast("Literal['current', 'last_good', 'nothing']", one["state"]), since=one["since"])
            for name, one in said.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
