"""The host's side of a plugin: hooks answered from what it declared, so that none of its code is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toolhost.errors import PluginError
from toolhost.hookspecs import hookimpl
from toolhost.model import Tool
from toolhost.pluginhost.changing import misdeclared
from toolhost.pluginhost.manifest import Manifest, is_tool_name
from toolhost.pluginhost.schemas import check_schema, clean_text
from toolhost.policy.annotations import HINTS

__all__ = ["PluginProxy", "command_tools", "declared_tools"]

_MAX_TOOLS = 200


class PluginProxy:
    """What the host's plugin manager registers for one plugin."""

    def __init__(self, manifest: Manifest, tools: tuple[Tool, ...]) -> None:
        self._manifest = manifest
        self._tools = tools

    @hookimpl
    def plugin_info(self) -> Mapping[str, str]:
        """Name and version, from the manifest."""
        return {"name": self._manifest.name, "version": self._manifest.version}

    @hookimpl
    def register_tools(self, register: Callable[[Tool], None]) -> None:
        """Every declared tool."""
        for tool in self._tools:
            register(tool)


def command_tools(manifest: Manifest, digest: str) -> tuple[Tool, ...]:
    """The tools of a plugin that is TOML alone."""
    return tuple(
        Tool(
            name=f"{manifest.name}.{tool.name}",
            plugin=manifest.name,
            about=tool.about,
            input_schema=tool.input_schema,
            command=tool.command,
            plugin_digest=digest,
        )
        for tool in manifest.tools
    )


def declared_tools(manifest: Manifest, digest: str, described: Mapping[str, Any]) -> tuple[Tool, ...]:
    """The tools of a Python plugin, from what its worker says: none of it is believed unchecked.

    Raises:
        PluginError: `plugin_info_differs`, `duplicate_tool`, `invalid_tool`.
    """
    info = described["info"] or {}
    for key, expected in (("name", manifest.name), ("version", manifest.version)):
        if key in info and info[key] != expected:
            raise PluginError(
                "plugin_info_differs",
                f"Its code says its {key} is {clean_text(str(info[key]), 60)!r}; its manifest says {expected!r}.",
            )
    tools: dict[str, Tool] = {}
    for declared in described["tools"][: _MAX_TOOLS + 1]:
        tool = _declared_tool(manifest, digest, declared)
        if tool.name in tools:
            raise PluginError("duplicate_tool", f"Two of its tools are named {tool.name!r}.")
        tools[tool.name] = tool
    if not 0 < len(tools) <= _MAX_TOOLS:
        raise PluginError("invalid_tool", f"It declares no tool, or more than {_MAX_TOOLS}.")
    return tuple(tools[name] for name in sorted(tools))


def _declared_tool(manifest: Manifest, digest: str, declared: Any) -> Tool:
    match declared:
        case {
            "name": str(name),
            "about": str(about),
            "input_schema": dict(input_schema),
            "output_schema": (dict() | None) as output_schema,
            "hints": dict(hints),
            "change": (str() | None) as change,
        } if len(declared) == 6 and all(key in HINTS and isinstance(value, bool) for key, value in hints.items()):
            pass
        case _:
            raise PluginError("invalid_tool", "It describes a tool in a form the host does not know.")
    shown = clean_text(name, 64)
    if not is_tool_name(name):
        raise PluginError("invalid_tool", f"{shown!r} cannot be a tool's name: use letters, digits, `_` and `-`.")
    about = clean_text(about)
    if not about:
        raise PluginError("invalid_tool", f"The tool {shown} says nothing about itself: give it a docstring.")
    for what, schema in (("input", input_schema), ("output", output_schema)):
        problem = None if schema is None else check_schema(schema)
        if problem is not None:
            raise PluginError("invalid_tool", f"The {what} schema of the tool {shown} {problem}.")
    if input_schema.get("type") != "object" or input_schema.get("additionalProperties") is not False:
        raise PluginError("invalid_tool", f"The input schema of the tool {shown} is not a closed object.")
    if change is not None and (wrong := misdeclared(change, input_schema)) is not None:
        raise PluginError(
            "invalid_tool", f"The tool {shown} says that its change is {clean_text(change, 20)!r}: {wrong}."
        )
    return Tool(
        name=f"{manifest.name}.{name}",
        plugin=manifest.name,
        about=about,
        input_schema=input_schema,
        output_schema=output_schema,
        hints=hints,
        change=change or "",
        plugin_digest=digest,
    )
