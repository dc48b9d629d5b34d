"""A call as a person would type it: what a form sends is shown as the line that does the same."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from toolhost.model import Tool

__all__ = ["spell"]


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
