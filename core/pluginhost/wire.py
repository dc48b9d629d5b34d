"""The host's end of the worker protocol: bytes a worker wrote become messages, or a violation.

A plugin owns its worker, so every line may be a lie. What is not a well-formed message of a known kind ends the worker.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from toolhost.errors import PluginError
from toolhost.pluginhost.schemas import clean_text

__all__ = [
    "LineSplitter",
    "content_parts",
    "error_code",
    "error_message",
    "finite",
    "is_crowded",
    "read_message",
    "whole_text",
]

_MAX_DEPTH = 64
_MOST_VALUES = 300_000
"""Values of one message: reading them is a matter of tenths of a second, in which nothing else is done."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')

_FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "ready": {"tools": list},
    "failed": {"code": str, "message": str, "recoverable": bool},
    "described": {"id": str, "info": (dict, type(None)), "tools": list},
    "result": {"id": str, "content": list},
    "error": {"id": str, "code": str, "message": str, "recoverable": bool},
    "cancelled": {"id": str},
    "progress": {"id": str, "done": (int, float), "total": (int, float, type(None)), "message": str},
    "errand": {"id": str, "errand": int, "kind": str, "wanted": dict, "pieces": bool},
    "drop": {"id": str, "errand": int},
    "log": {"id": str, "level": str, "text": str},
}


class LineSplitter:
    """Cuts a stream of bytes into lines and holds no more than one line's limit.

    Args:
        limit: Bytes of the longest line.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes.

        Raises:
            PluginError: `worker_protocol` for a line over the limit.
        """
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._keep(end)
            line = b"".join(self._parts)
            self._parts, self._size = [], 0
            yield line
        self._keep(rest)

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise PluginError("worker_protocol", f"The plugin's worker wrote a line of more than {self._limit} bytes.")
        if part:
            self._parts.append(part)


def read_message(line: bytes) -> dict[str, Any]:
    """One message of a worker.

    Raises:
        PluginError: `worker_protocol` for anything else than a message with exactly the fields of its kind.
    """
    if is_crowded(line):
        raise PluginError("worker_protocol", f"The plugin's worker sent a message of more than {_MOST_VALUES} values.")
    try:
        message = json.loads(line.decode(), parse_constant=_no_constant, parse_float=finite)
    except (ValueError, RecursionError):
        raise PluginError("worker_protocol", "The plugin's worker wrote a line that is no message.") from None
    match message:
        case {"op": str(kind)} if kind in _FIELDS and message.keys() == {"op", *_FIELDS[kind]}:
            for name, types in _FIELDS[kind].items():
                if not isinstance(message[name], types):
                    raise PluginError("worker_protocol", f"The plugin's worker sent a {kind} with a wrong {name}.")
            return dict(message)
    raise PluginError("worker_protocol", "The plugin's worker sent a message of no known kind.")


def is_crowded(line: bytes) -> bool:
    """Whether a line of JSON has more values than may be read at once, known without reading it."""
    if line.count(b'"') > 2 * _MOST_VALUES:
        return True
    if _values(line) <= _MOST_VALUES:
        return False
    return _values(_STRING.sub(b"", line)) > _MOST_VALUES  # what stands in a string is none


def _values(line: bytes) -> int:
    return line.count(b",") + line.count(b"[") + line.count(b"{")


def finite(text: str) -> float:
    """A number of a JSON document: one that is too large for a float would be written as what no JSON is."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number that JSON can express")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def content_parts(content: list[Any]) -> tuple[tuple[Mapping[str, Any], ...], Any]:
    """A result's parts with only known fields, and the value of its JSON part, or None.

    Half a surrogate pair becomes U+FFFD.

    Raises:
        PluginError: `worker_protocol` for a part of no known kind, or a value that is nested too deeply.
    """
    parts: list[Mapping[str, Any]] = []
    value: Any = None
    for part in content:
        match part:
            case {"type": "text", "text": str(text)}:
                parts.append({"type": "text", "text": whole_text(text)})
            case {"type": "file", "path": str(path)}:
                parts.append({"type": "file", "path": whole_text(path)})
            case {"type": "json", "value": item}:
                value = _whole(item, 0)
                parts.append({"type": "json", "value": value})
            case _:
                raise PluginError("worker_protocol", "The plugin's worker sent a result with a part of no known kind.")
    return tuple(parts), value


def whole_text(text: str) -> str:
    """The text with every half of a surrogate pair replaced, so that it can be written anywhere."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _whole(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise PluginError("worker_protocol", f"The plugin's worker sent a value of more than {_MAX_DEPTH} levels.")
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [_whole(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {whole_text(key): _whole(item, depth + 1) for key, item in value.items()}
    return value


def error_code(code: str) -> str:
    """A code a worker sent, or `tool_failed` where it is no code."""
    return (
        code if code.isascii() and code.isidentifier() and code == code.lower() and len(code) <= 64 else "tool_failed"
    )


def error_message(message: str) -> str:
    """A message a worker sent, as it may be shown."""
    return clean_text(message, 1000) or "The tool failed."
