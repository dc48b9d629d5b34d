"""`plugin.toml`: what a plugin says of itself, read without running any of it."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs

from toolhost.argv_syntax import TemplateSyntaxError
from toolhost.errors import PluginError
from toolhost.model import CommandTemplate
from toolhost.pluginhost.command import check_template, optional_inputs
from toolhost.pluginhost.schemas import check_schema, clean_text
from toolhost.policy.document import Document, DocumentError, KeyPath, parse_document

__all__ = ["MANIFEST", "CommandTool", "Manifest", "is_plugin_name", "is_tool_name", "read_manifest"]

MANIFEST = "plugin.toml"
"""Name of the file."""

_MAX_BYTES = 256 << 10
_MAX_TOOLS = 200
_PLUGIN_NAME = re.compile(r"[a-z][a-z0-9_-]{0,47}")
_TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MAX_WORDS = 64
_MAX_WORD = 4096
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_RESERVED = ("host", "lock")  # policies/host.toml and policies/lock.toml are not a plugin's
_KEYS = ("name", "version", "about", "requires_host", "module", "mcp", "tools", "config")
_TOOL_KEYS = ("name", "about", "command", "cwd", "input")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTool:
    """One `[[tools]]` entry.

    Attributes:
        name: Without the plugin's name.
        about: One sentence.
        command: The argv template and where it runs.
        input_schema: JSON Schema of all inputs together; no additional properties.
    """

    name: str
    about: str
    command: CommandTemplate
    input_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A plugin's manifest.

    Attributes:
        name: The plugin's name: lower-case letters, digits, `_` and `-`.
        version: The plugin's own version.
        about: One sentence, or an empty string.
        requires_host: Version specifier for the host, such as `>=0.1,<1`, or an empty string.
        module: The Python module with the plugin's hooks, or None.
        mcp: The command of its MCP server, or empty.
        tools: Its command tools; empty for every other kind of plugin.
        config: JSON Schema of each setting that a policy may give it, by name; with a `default` where it has one.
    """

    name: str
    version: str
    about: str
    requires_host: str
    module: str | None
    mcp: tuple[str, ...] = ()
    tools: tuple[CommandTool, ...]
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def is_plugin_name(name: str) -> bool:
    """Whether a plugin may be called this."""
    return _PLUGIN_NAME.fullmatch(name) is not None and name not in _RESERVED


def is_tool_name(name: str) -> bool:
    """Whether a tool may be called this (without its plugin's name)."""
    return _TOOL_NAME.fullmatch(name) is not None


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        PluginError: `manifest_missing` or `invalid_manifest`; where a place in the file is known, the message starts
            with `plugin.toml:LINE`.
    """
    try:
        raw = _read(path)
        return _Reader(parse_document(raw, MANIFEST)).manifest()
    except FileNotFoundError:
        raise PluginError("manifest_missing", f"The folder {path.parent} has no {MANIFEST}.") from None
    except OSError as error:
        raise PluginError("manifest_missing", f"{path} cannot be read: {error.strerror}.") from error
    except DocumentError as error:
        problem = error.problem
        raise PluginError("invalid_manifest", f"{problem.file}:{problem.line}: {problem.message}") from None


def _read(path: Path) -> bytes:
    # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123  # a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PluginError("invalid_manifest", f"{path} is not a regular file.")
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise PluginError("invalid_manifest", f"{MANIFEST}: the file is larger than {_MAX_BYTES} bytes.")
    return raw


class _Reader:
    """Reads one document; every complaint is a PluginError with the line it is about."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def _wrong(self, where: KeyPath, message: str, hint: str = "") -> PluginError:
        return PluginError("invalid_manifest", f"{self._document.key(where)}: {message}.", hint)

    def manifest(self) -> Manifest:
        document = self._document.data
        self._known_keys(document, _KEYS, ())
        name = self._text(document, "name", ())
        if not is_plugin_name(name):
            raise self._wrong(
                ("name",),
                f"{name!r} cannot be a plugin's name",
                f"Use lower-case letters, digits, `_` and `-`, and none of {', '.join(_RESERVED)}.",
            )
        version = self._text(document, "version", ())
        kinds = [key for key in ("module", "mcp", "tools") if key in document]
        if len(kinds) != 1:
            raise self._wrong(
                (kinds[0],) if kinds else (),
                "a plugin has either a `module`, or an `mcp` server, or [[tools]]",
                "Tools of a Python plugin are declared in its code, those of a server by the server.",
            )
        module = self._text(document, "module", ()) if "module" in document else None
        if module is not None and not _MODULE.fullmatch(module):
            raise self._wrong(("module",), f"{module!r} is not the dotted name of a Python module")
        return Manifest(
            name=name,
            version=version,
            about=clean_text(self._text(document, "about", (), default="")),
            requires_host=self._text(document, "requires_host", (), default=""),
            module=module,
            mcp=self._server(document["mcp"]) if "mcp" in document else (),
            tools=self._tools(document.get("tools", [])),
            config=self._config(document, module),
        )

    def _config(self, document: Mapping[str, Any], module: str | None) -> Mapping[str, Mapping[str, Any]]:
        settings = document.get("config", {})
        if settings and module is None:
            raise self._wrong(
                ("config",),
                "settings are handed to the code of a Python plugin, and this plugin has none",
                "What a command needs stands in its template, or in [env] of the policy.",
            )
        settings = self._schemas(settings, ("config",), "setting")
        for name, schema in settings.items():
            if "default" not in schema:
                continue
            errors = jsonschema_rs.validator_for(
                dict(schema), pattern_options=jsonschema_rs.RegexOptions()
            ).iter_errors(schema["default"])
            for error in errors:
                raise self._wrong(("config", name, "default"), f"the default of {name!r}: {error.message}")
        return settings

    def _server(self, words: object) -> tuple[str, ...]:
        if isinstance(words, str):
            raise self._wrong(("mcp",), f'`mcp` is a list of words, as in ["{words.split(" ")[0]}", "--flag"]')
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise self._wrong(("mcp",), "`mcp` is the command of a server: a list of words, its program first")
        if len(words) > _MAX_WORDS or any(len(word) > _MAX_WORD or not word.isprintable() for word in words):
            raise self._wrong(("mcp",), f"`mcp` has at most {_MAX_WORDS} words, printable and of a line's length")
        program = words[0]
        if not program or " " in program or program.startswith("-") or ("/" in program and not program.startswith("/")):
            raise self._wrong(("mcp", 0), f"a program is a name or an absolute path, not {program!r}")
        return tuple(words)

    def _tools(self, tables: object) -> tuple[CommandTool, ...]:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._wrong(("tools",), "`tools` is a list of tables, each written [[tools]]")
        if len(tables) > _MAX_TOOLS:
            raise self._wrong(("tools",), f"a plugin has at most {_MAX_TOOLS} tools")
        tools: dict[str, CommandTool] = {}
        for index, table in enumerate(tables):
            tool = self._tool(table, ("tools", index))
            if tool.name in tools:
                raise self._wrong(("tools", index, "name"), f"there are two tools named {tool.name!r}")
            tools[tool.name] = tool
        return tuple(tools[name] for name in sorted(tools))

    def _tool(self, table: Mapping[str, Any], where: KeyPath) -> CommandTool:
        self._known_keys(table, _TOOL_KEYS, where)
        name = self._text(table, "name", where)
        if not is_tool_name(name):
            raise self._wrong(
                (*where, "name"),
                f"{name!r} cannot be a tool's name",
                "Use a letter, then letters, digits, `_` and `-`.",
            )
        command = self._text(table, "command", where)
        inputs = self._schemas(table.get("input", {}), (*where, "input"), "input")
        try:
            check_template(command, inputs)
        except TemplateSyntaxError as error:
            raise self._wrong((*where, "command"), f"in {command!r}, character {error.offset + 1}: {error}") from None
        cwd = self._text(table, "cwd", where, default="{workspace}")
        if cwd != "{workspace}" and (not cwd.startswith("/") or ".." in cwd.split("/")):
            raise self._wrong((*where, "cwd"), f"`cwd` is {{workspace}} or an absolute folder, not {cwd!r}")
        free = optional_inputs(command)
        required = [name for name, schema in inputs.items() if "default" not in schema and name not in free]
        return CommandTool(
            name=name,
            about=clean_text(self._text(table, "about", where)),
            command=CommandTemplate(text=command, cwd=cwd),
            input_schema={
                "type": "object",
                "properties": dict(inputs),
                "required": required,
                "additionalProperties": False,
            },
        )

    def _schemas(self, tables: object, where: KeyPath, what: str) -> Mapping[str, Mapping[str, Any]]:
        """JSON Schemas by name: inputs, or settings."""
        if not isinstance(tables, dict):
            key = where[-1]
            raise self._wrong(where, f'`{key}` is a table: {key}.name = {{ type = "string" }}')
        for name, schema in tables.items():
            here = (*where, name)
            if not _INPUT_NAME.fullmatch(name):
                raise self._wrong(here, f"{name!r} can be the name of no {what}", "Use letters, digits and `_`.")
            if not isinstance(schema, dict):
                raise self._wrong(here, f'the {what} {name!r} is a JSON Schema: {name} = {{ type = "string" }}')
            problem = check_schema(schema)
            if problem is not None:
                raise self._wrong(here, f"the schema of {name!r} {problem}")
            if not isinstance(schema.get("type"), str):
                raise self._wrong(here, f"the schema of {name!r} says no `type`, such as `string` or `integer`")
        return tables

    def _known_keys(self, table: Mapping[str, Any], known: tuple[str, ...], where: KeyPath) -> None:
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"The keys here are: {', '.join(known)}."
                raise self._wrong((*where, key), f"unknown key {key!r}", hint)

    def _text(self, table: Mapping[str, Any], key: str, where: KeyPath, *, default: str | None = None) -> str:
        value = table.get(key, default)
        if value is None:
            raise self._wrong(where, f"`{key}` is missing")
        if not isinstance(value, str):
            raise self._wrong((*where, key), f"`{key}` is a text in quotes, not {type(value).__name__}")
        if default is None and not value.strip():
            raise self._wrong((*where, key), f"`{key}` is empty")
        return value
