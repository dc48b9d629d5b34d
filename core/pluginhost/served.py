"""The tools of an MCP server, from what it says of them: named for this host, with schemas that are safe to use."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from toolhost.errors import PluginError
from toolhost.model import Tool
from toolhost.pluginhost.manifest import Manifest, is_tool_name
from toolhost.pluginhost.schemas import check_schema, clean_text

__all__ = ["MAX_TOOLS", "local_name", "served_tools"]

MAX_TOOLS = 200

_LONGEST = 64
_LONGEST_ORIGINAL = 128
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_COMPOSED = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties", "additionalProperties",
             "unevaluatedProperties")  # fmt: skip


def local_name(original: str) -> str:
    """What a tool of a server is called here (after the plugin's name and a dot), from its own name alone.

    Characters that names have nowhere else become `_`; a name that is too long keeps its beginning and is told from
    others by a digest.
    """
    name = _OTHER.sub("_", original)
    if not name[:1].isalpha():
        name = f"t{name}"
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 9]}_{hashlib.sha256(original.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return name


def served_tools(manifest: Manifest, digest: str, described: Mapping[str, Any]) -> tuple[Tool, ...]:
    """The tools of a plugin that is a server, from the server's list: none of it is believed unchecked.

    Its annotations and output schemas are not in the list any more: what a tool can do follows from the policy, and no
    schema of a result is evaluated here.

    Raises:
        PluginError: `duplicate_tool`, `invalid_tool`.
    """
    tools: dict[str, Tool] = {}
    for listed in described["tools"][: MAX_TOOLS + 1]:
        tool = _served(manifest, digest, listed)
        taken = tools.get(tool.name)
        if taken is not None:
            raise PluginError(
                "duplicate_tool",
                f"Two of its tools are named {tool.name!r} here: "
                f"{clean_text(taken.original, 64)!r} and {clean_text(tool.original, 64)!r}.",
            )
        tools[tool.name] = tool
    if not 0 < len(tools) <= MAX_TOOLS:
        raise PluginError("invalid_tool", f"It declares no tool, or more than {MAX_TOOLS}.")
    return tuple(tools[name] for name in sorted(tools))


def _served(manifest: Manifest, digest: str, listed: Any) -> Tool:
    match listed:
        case {"name": str(original), "inputSchema": dict(schema)} if 0 < len(original) <= _LONGEST_ORIGINAL:
            pass
        case _:
            raise PluginError("invalid_tool", "It describes a tool in a form the host does not know.")
    name, shown = local_name(original), clean_text(original, 64)
    if not is_tool_name(name):
        raise PluginError("invalid_tool", f"{shown!r} cannot be a tool's name.")
    about = next((text for key in ("description", "title") if (text := _told(listed.get(key)))), "")
    problem = check_schema(schema)
    if problem is not None:
        raise PluginError("invalid_tool", f"The input schema of the tool {shown} {problem}.")
    if schema.get("type", "object") != "object":
        raise PluginError("invalid_tool", f"The input schema of the tool {shown} is not of an object.")
    return Tool(
        name=f"{manifest.name}.{name}",
        plugin=manifest.name,
        about=about or f"The tool {shown}; its server says nothing about it.",
        input_schema=_closed(schema),
        server=manifest.mcp,
        original=original,
        plugin_digest=digest,
    )


def _told(text: object) -> str:
    return clean_text(text) if isinstance(text, str) else ""


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, and nothing besides what it names where it says nothing about that."""
    whole = {"type": "object", "properties": {}, **schema}
    return whole if any(key in schema for key in _COMPOSED) else {**whole, "additionalProperties": False}
