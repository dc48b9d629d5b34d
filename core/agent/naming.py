"""Tools as a model sees them: a name it can write, one sentence, and the schema as its plugin wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

from toolhost.model import Tool

if TYPE_CHECKING:
    from pydantic_ai.tools import ToolDefinition

__all__ = ["definition", "model_name", "named"]

_LONGEST = 64  # characters that providers accept
_OTHER = re.compile(r"[^a-zA-Z0-9_-]")


def model_name(tool: str) -> str:
    """`fs.read` as `fs__read`: providers take letters, digits, `_` and `-`, and 64 of them."""
    name = _OTHER.sub("_", tool.replace(".", "__"))
    if len(name) <= _LONGEST:
        return name
    return name[: _LONGEST - 9] + "_" + sha256(tool.encode()).hexdigest()[:8]


def named(tools: Iterable[Tool]) -> dict[str, Tool]:
    """Tools by the name a model calls them. Of two with the same one, the first alone can be called."""
    found: dict[str, Tool] = {}
    for tool in tools:
        found.setdefault(model_name(tool.name), tool)
    return found


def definition(name: str, tool: Tool) -> ToolDefinition:
    """The tool for the library."""
    from pydantic_ai.tools import ToolDefinition

    # Not strict: a plugin's schema is what it is, and `strict` asks for one of the provider's own dialect.
    return ToolDefinition(
        name=name, description=tool.about, parameters_json_schema=dict(tool.input_schema), strict=False
    )
