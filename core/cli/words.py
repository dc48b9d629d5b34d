"""What `call` and `policy explain` share: a tool's arguments and its workspace, as given on the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolhost.calls.words import parse_words
from toolhost.errors import UsageError
from toolhost.host import Host

__all__ = ["arguments_from", "workspace_from"]


def workspace_from(given: str | None) -> Path:
    """The absolute path of the workspace: what was given, else the current folder. No link is resolved.

    Raises:
        UsageError: `workspace_missing` where the current folder was removed.
    """
    try:
        # Not Path.resolve(): a workspace that is a link is refused, not silently another folder.
        return Path(os.path.normpath(Path.cwd() / (given or ".")))
    except FileNotFoundError:
        raise UsageError(
            "workspace_missing", "The current folder no longer exists.", "Name one with --workspace."
        ) from None


def arguments_from(host: Host, name: str, words: Sequence[str], json_object: str | None) -> dict[str, Any]:
    """The arguments of a tool from `key=value` words or from one JSON object.

    Raises:
        UsageError: `unknown_tool`, `invalid_arguments`.
    """
    tool = host.tool(name)
    if json_object is None:
        return parse_words(tool, list(words))
    if words:
        raise UsageError(
            "invalid_arguments",
            "--json takes all arguments; key=value cannot stand beside it.",
            "Use one or the other.",
        )
    try:
        arguments = json.loads(json_object)
    except (ValueError, RecursionError) as error:
        raise UsageError("invalid_arguments", f"The value of --json is not JSON: {error}.") from None
    if not isinstance(arguments, dict):
        raise UsageError("invalid_arguments", 'The value of --json must be a JSON object, such as \'{"path": "."}\'.')
    return arguments
