"""What a plugin is, as the lock keeps it: the digest of its code, and what each of its tools says it does.

The texts are kept beside the digests, so that a later difference can be shown to a person and not only detected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from toolhost.model import Tool
from toolhost.pluginhost.record import PluginRecord

__all__ = ["CHECKOUT", "PluginPin", "ToolPin", "pin_of", "pin_text"]

CHECKOUT = "+checkout"
"""What follows the version of a toolhost that runs from its sources, which change under one version."""


@dataclass(frozen=True, kw_only=True)
class ToolPin:
    """One tool as it was declared.

    Attributes:
        name: Without the plugin's name.
        about: What people and models are told it does.
        command: The argv template of a command tool, or an empty string.
        cwd: Where the command runs, or an empty string.
        input: JSON Schema of the arguments, as canonical JSON.
        output: JSON Schema of the result, as canonical JSON, or an empty string.
    """

    name: str
    about: str
    command: str = ""
    cwd: str = ""
    input: str
    output: str = ""

    @cached_property
    def digest(self) -> str:
        """`sha256:` over everything it declares."""
        return _digest((self.name, self.about, self.command, self.cwd, self.input, self.output))


@dataclass(frozen=True, kw_only=True)
class PluginPin:
    """One plugin as it was seen.

    Attributes:
        name: The plugin's name.
        version: As its manifest said.
        code: `sha256:` and the digest of its files.
        host: For a plugin that is part of toolhost, which toolhost it came with; else an empty string.
        tools: Its tools, sorted by name.
        quarantined: Why an administrator took it out of service, or an empty string.
    """

    name: str
    version: str
    code: str
    host: str = ""
    tools: tuple[ToolPin, ...]
    quarantined: str = ""

    @cached_property
    def digest(self) -> str:
        """`sha256:` over everything; an entry of the lock that was edited by hand does not have it."""
        return _digest((self.name, self.version, self.code, self.host, [tool.digest for tool in self.tools]))

    def same(self, other: PluginPin) -> bool:
        """Whether it is the same plugin, whichever toolhost it came with."""
        return (self.version, self.code, self.tools) == (other.version, other.code, other.tools)


def pin_of(record: PluginRecord, host: str) -> PluginPin:
    """What there is to keep of a plugin.

    Args:
        record: A plugin with its tools.
        host: As `PluginPin.host`.
    """
    return PluginPin(
        name=record.name,
        version=record.version,
        code=record.digest,
        host=host,
        tools=tuple(_tool_pin(record.name, tool) for tool in sorted(record.tools, key=lambda tool: tool.name)),
    )


def _tool_pin(plugin: str, tool: Tool) -> ToolPin:
    return ToolPin(
        name=tool.name.removeprefix(plugin + "."),
        about=tool.about,
        command=tool.command.text if tool.command else "",
        cwd=tool.command.cwd if tool.command else "",
        input=_canonical(tool.input_schema),
        output="" if tool.output_schema is None else _canonical(tool.output_schema),
    )


def _canonical(schema: Mapping[str, Any]) -> str:
    # Everything beyond ASCII escaped: what looks alike or changes the direction of a line is told apart by a reviewer.
    return json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _digest(parts: object) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


# -- as TOML -----------------------------------------------------------------------------------------------------------


def pin_text(pin: PluginPin) -> str:
    """The plugin's tables in the lock."""
    return "\n".join(_lines(pin)) + "\n"


def _lines(pin: PluginPin) -> Iterator[str]:
    table = f"plugins.{pin.name}"  # names of plugins and tools are bare keys
    yield f"[{table}]"
    entries = (("version", pin.version), ("host", pin.host), ("code", pin.code), ("digest", pin.digest))
    yield from _entries((*entries, ("quarantined", pin.quarantined)))
    for tool in pin.tools:
        yield ""
        yield f"[{table}.tools.{tool.name}]"
        yield from _entries(
            (
                ("about", tool.about),
                ("command", tool.command),
                ("cwd", tool.cwd),
                ("input", tool.input),
                ("output", tool.output),
                ("digest", tool.digest),
            )
        )


def _entries(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"{key} = {_quoted(value)}" for key, value in entries if value)


def _quoted(text: str) -> str:
    """A TOML string: literal where that is readable, else with everything invisible escaped."""
    if text.isprintable() and "'" not in text and ('"' in text or "\\" in text):
        return f"'{text}'"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"
