"""A call in words: the line a person would type for it, and the command it stands for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from toolhost.errors import ToolHostError
from toolhost.host import Host
from toolhost.model import Tool

__all__ = ["attempted_argv", "spell"]


def spell(tool: Tool, arguments: Mapping[str, Any]) -> str:
    """The slash command that makes this call: what `parse_line` and `parse_words` read back."""
    properties = tool.input_schema.get("properties", {})
    words = [f"/{tool.name}"]
    for key, value in arguments.items():
        kind = properties.get(key, {}).get("type")
        if kind == "array" and isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            words.extend(f"{key}={shlex.quote(item)}" for item in value)
        elif kind == "string" and isinstance(value, str):
            words.append(f"{key}={shlex.quote(value)}")
        elif kind in ("integer", "number", "boolean") and isinstance(value, bool | int | float):
            words.append(f"{key}={json.dumps(value)}")
        else:
            words.append(f"{key}:={shlex.quote(json.dumps(value, ensure_ascii=False))}")
    return " ".join(words)


def attempted_argv(host: Host, name: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The command a call stands for, also where it was denied and so never planned; empty for a tool in a worker."""
    tool = host.plugins.tool(name)
    if tool is None or tool.command is None:
        return ()
    try:
        return tuple(host.plugins.argv(tool, arguments))
    except ToolHostError:
        return ()  # the tool has changed since: its arguments are what is left to show
