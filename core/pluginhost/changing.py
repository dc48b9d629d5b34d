"""What a tool must look like whose author says how it changes files: the host reads the change from its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["misdeclared"]

_PATH = {"type": "string", "format": "write-path"}
_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_NUMBER = {"type": "integer"}
_NEEDED: dict[str, dict[str, dict[str, str]]] = {
    "write": {"path": _PATH, "content": _TEXT},
    "edit": {"path": _PATH, "old": _TEXT, "new": _TEXT},
    "patch": {"diff": _TEXT},
    "move": {"source": _PATH, "target": _PATH},
    "delete": {"path": _PATH},
    "undo": {},
}
_OPTIONAL = {"append": _FLAG, "every": _FLAG, "replace": _FLAG, "change": _NUMBER}


def misdeclared(change: str, schema: Mapping[str, Any]) -> str | None:
    """Why a tool cannot change files as it says, as the end of a sentence; None where it can.

    Args:
        change: How, as it says.
        schema: The schema of its arguments.
    """
    if change not in _NEEDED:
        return f"a change is one of {', '.join(f'`{name}`' for name in _NEEDED)}"
    properties = schema.get("properties", {})
    for name, wanted in _NEEDED[change].items():
        if not _has(properties.get(name, {}), wanted) or name not in schema.get("required", ()):
            kind = "WritePath" if wanted is _PATH else "str"
            return f"then it has an argument `{name}: {kind}` that is required"
    for name, wanted in _OPTIONAL.items():
        if name in properties and not _has(properties[name], wanted):
            return f"then its argument `{name}` is {'a bool' if wanted is _FLAG else 'an int'}"
    return None


def _has(schema: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    return all(schema.get(key) == value for key, value in wanted.items())
