"""A call made again from its stored row, when its question is answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from toolhost.errors import ApprovalError
from toolhost.model import Actor, Call, Tool

__all__ = ["restored"]


def restored(tool_of: Callable[[str], Tool | None], row: Mapping[str, Any], actor: Actor) -> Call:
    """The call of a row.

    Args:
        tool_of: Gives a tool by its name, or None.
        row: As it is stored.
        actor: Who answered.

    Raises:
        ApprovalError: `plan_changed`.
    """
    if row["parent_id"] is not None:
        raise ApprovalError("plan_changed", "The call that asked for this has ended.", "Make the call again.")
    tool = tool_of(row["tool"])
    if tool is None:
        raise ApprovalError("plan_changed", f"The tool {row['tool']} is not there any more.", "Make the call again.")
    workspace = json.loads(row["workspace"])
    return Call(
        id=row["id"],
        tool=tool,
        arguments=json.loads(row["arguments"]),
        actor=actor,
        workspace=workspace["path"],
        workspace_writable=workspace["writable"],
        workspace_own=workspace.get("own", False),  # not known of calls from before this was written down
        conversation_id=row["conversation_id"],
    )
