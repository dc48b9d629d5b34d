"""Every key of a policy file and of host.toml, once: what may stand where, of which type, and what it is for.

The readers take from here which keys a table may have, and the JSON Schema that editors use is made of the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from toolhost.policy.units import DURATION_PATTERN, SIZE_PATTERN
from toolhost.policy.values import ROLES

__all__ = [
    "ASK",
    "ASK_TOOL",
    "DENY",
    "EXAMPLE",
    "HOST",
    "LIMIT_KINDS",
    "NAMED_WORKSPACE",
    "POLICY",
    "RULE",
    "SECRET",
    "Key",
    "shape",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key.

    Attributes:
        about: What it is for.
        schema: JSON Schema of its value.
        keys: The keys of its value, where that is a table of fixed keys.
        required: Whether it must be there.
    """

    about: str
    schema: Mapping[str, Any]
    keys: Mapping[str, Key] | None = None
    required: bool = False


def shape(keys: Mapping[str, Key]) -> dict[str, Any]:
    """JSON Schema of a table of these keys and no other."""
    required = [name for name, key in keys.items() if key.required]
    properties = {name: {"description": key.about, **key.schema} for name, key in keys.items()}
    found: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return found | ({"required": required} if required else {})


def _text(about: str, *, required: bool = False) -> Key:
    return Key(about=about, schema={"type": "string"}, required=required)


def _texts(about: str) -> Key:
    return Key(about=about, schema=_list({"type": "string"}))


def _choice(about: str, words: Iterable[str], *, required: bool = False) -> Key:
    return Key(about=about, schema={"type": "string", "enum": list(words)}, required=required)


def _flag(about: str) -> Key:
    return Key(about=about, schema={"type": "boolean"})


def _table(about: str, keys: Mapping[str, Key]) -> Key:
    return Key(about=about, schema=shape(keys), keys=keys)


def _named(about: str, value: Mapping[str, Any]) -> Key:
    return Key(about=about, schema={"type": "object", "additionalProperties": value})


def _list(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


_DURATION = {"type": "string", "pattern": f"^{DURATION_PATTERN}$"}
_SIZE = {"type": "string", "pattern": f"^{SIZE_PATTERN}$"}
_COUNT = {"type": "integer", "minimum": 1, "maximum": (1 << 31) - 1}
_FORMS: Mapping[str, Mapping[str, Any]] = {"duration": _DURATION, "size": _SIZE, "count": _COUNT}

LIMIT_KINDS: Mapping[str, tuple[str, str]] = {
    "wall": ("duration", "Time a call may take."),
    "cpu": ("duration", "Processor time."),
    "memory": ("size", "Memory of the whole sandbox."),
    "processes": ("count", "Processes of the whole sandbox."),
    "open_files": ("count", "Open files of each process."),
    "file_size": ("size", "Size of one file."),
    "output": ("size", "Standard output and standard error, each."),
    "scratch": ("size", "The private /tmp."),
    "workspace": ("size", "How much a call may make its folders grow."),
    "calls": ("count", "Calls of the plugin at once."),
}
"""Every limit, the unit it is written in, and what it bounds."""

_LIMITS = {name: Key(about=about, schema=_FORMS[kind]) for name, (kind, about) in LIMIT_KINDS.items()}

RULE: Mapping[str, Key] = {
    "run": _text("The command as an argv template.", required=True),
    "network": _texts("Hosts in place of the policy's, as host:port."),
    "limits": _table("Limits of this rule.", _LIMITS),
    "because": _text("Why the rule is there."),
}
_STANDING = _flag("Whether a person who is asked may say yes for thirty days.")
ASK: Mapping[str, Key] = {**RULE, "standing": _STANDING}
ASK_TOOL: Mapping[str, Key] = {"tool": _text("The tool's name.", required=True), "standing": _STANDING}
DENY: Mapping[str, Key] = {"run": RULE["run"], "because": RULE["because"]}
EXAMPLE: Mapping[str, Key] = {
    "run": _text("A command line, split into words as a shell does."),
    "tool": _text("A tool's name, in place of `run`."),
    "arguments": _named("The tool's arguments.", {}),
    "expect": _choice("What is to be decided.", ("allow", "ask", "deny"), required=True),
    "because": _text("Why."),
}
NAMED_WORKSPACE: Mapping[str, Key] = {
    "path": _text("The folder.", required=True),
    "write": _flag("Whether it may be written."),
    "who": Key(about="Roles that may choose it.", schema=_list({"type": "string", "enum": list(ROLES)})),
}


def _rules(about: str, keys: Mapping[str, Key]) -> Key:
    return Key(about=about, schema=_list({"anyOf": [{"type": "string"}, shape(keys)]}))


_DENIES = _rules("Commands that are never run; `...` may stand anywhere, the program may be a glob.", DENY)
SECRET: Mapping[str, Key] = {
    "env": _text("A variable of the host's own environment."),
    "file": _text("A file that nobody but the host's user and root can read and change."),
    "credential": _text("A credential that systemd hands to the host."),
}

POLICY: Mapping[str, Key] = {
    "plugin": Key(
        about="The plugin; the file has its name.",
        schema={"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$"},
        required=True,
    ),
    "about": _text("One sentence for people."),
    "runs_code": _texts("Programs of the closed table that this policy may name."),
    "exec": _flag("Whether files in writable roots may be executed."),
    "isolation": _choice("Whether calls of a conversation share a sandbox.", ("call", "conversation")),
    "require": _texts("Limits that must hold for the whole process tree."),
    "support": _texts("Further host files or folders that programs need, read-only."),
    "tools": _table(
        "Decides tools by name.",
        {
            "allow": _texts("Tools that run without a question."),
            "ask": _rules("Tools that a person is asked about.", ASK_TOOL),
            "deny": _texts("Tools that never run."),
        },
    ),
    "commands": _table(
        "Decides commands by their arguments.",
        {
            "allow": _rules("Commands that run without a question.", RULE),
            "ask": _rules("Commands that a person is asked about.", ASK),
            "deny": _DENIES,
            "inside": _texts("Programs that are there for others to start."),
        },
    ),
    "paths": _table(
        "Which folders are there.",
        {
            "read": _texts("Folders or files that may be read: absolute, or {workspace}."),
            "write": _texts("Folders or files that may be written: absolute, or {workspace}."),
            "deny": _texts("What of them is hidden: relative to every root."),
            "protect": _texts("What of them is not written: relative to every root."),
        },
    ),
    "network": _table(
        "Which hosts commands may reach.",
        {"allow": _texts("Hosts as host:port."), "any": _flag("Whether `*`, every host, may stand in a list.")},
    ),
    "limits": _table("What a call may use.", _LIMITS),
    "env": _table(
        "Variables of a call.",
        {"set": _named("Names and values.", {"type": "string"}), "pass": _texts("Names taken from the host's own.")},
    ),
    "secrets": _named(
        "Secrets by name, and where each comes from: from one place.",
        shape(SECRET) | {"minProperties": 1, "maxProperties": 1},
    ),
    "who": _table(
        "Whom it serves.",
        {
            "roles": Key(about="Roles.", schema=_list({"type": "string", "enum": list(ROLES)})),
            "users": _texts("User names."),
            "scopes": _texts("Scopes an API key must have."),
        },
    ),
    "config": _named("The plugin's own settings.", {}),
    "tests": Key(about="Examples, tried when the file is loaded.", schema=_list(shape(EXAMPLE))),
}
"""The keys of `<plugin>.toml`."""

HOST: Mapping[str, Key] = {
    "about": _text("One sentence for people."),
    "commands": _table("What no plugin may run.", {"deny": _DENIES}),
    "limits": _table("The most that a policy may grant.", _LIMITS),
    "paths": _table("Where roots may lie.", {"allow": _texts("Places under which they may.")}),
    "workspaces": _named("Folders that people may choose, by name.", shape(NAMED_WORKSPACE)),
    "network": _table("What no plugin may reach.", {"deny": _texts("Hosts, with or without a port.")}),
}
"""The keys of `host.toml`."""
