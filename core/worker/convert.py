"""Values between Python and JSON: arguments on the way in, results on the way out."""

from __future__ import annotations

import dataclasses
import enum
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from toolhost.authoring import ReadPath, ToolError, ToolOutput, WritePath
from toolhost.worker.declared import DeclaredTool

__all__ = ["arguments_for", "parts"]

_PLAIN = (str, int, float, bool, list, dict, type(None), Any, list[str], list[int], list[float], dict[str, Any])


def arguments_for(tool: DeclaredTool, values: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a call; the host has validated `values` against the tool's schema.

    Raises:
        ToolError: `invalid_arguments` where a value does not become its parameter's type.
    """
    return {name: _argument(name, tool.hints.get(name), value) for name, value in values.items()}


def _argument(name: str, hint: Any, value: Any) -> Any:
    if hint in (ReadPath, WritePath) and isinstance(value, str):
        return hint(value)
    if hint in _PLAIN:
        return float(value) if hint is float and isinstance(value, int) else value
    # Anything richer (an enumeration, a model, a date, a union) is pydantic's business, which is slow to import.
    import pydantic

    try:
        return pydantic.TypeAdapter(hint).validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ToolError(f"{name}: {first['msg']}.", "invalid_arguments") from error


def parts(result: Any) -> list[dict[str, Any]]:
    """A tool's result as the parts of a reply: a text for people and models, a JSON value for programs, or both.

    Raises:
        ToolError: `unserialisable_result` for a value JSON cannot express.
    """
    output = result if isinstance(result, ToolOutput) else None
    text = output.text if output else result if isinstance(result, str) else None
    data = output.data if output else None if isinstance(result, str) else result
    if text is not None and not isinstance(text, str):
        raise ToolError(f"ToolOutput.text is a str, not {type(text).__name__}.", "unserialisable_result", False)
    content: list[dict[str, Any]] = []
    if text is not None:
        content.append({"type": "text", "text": text})
    if data is not None:
        content.append({"type": "json", "value": _plain(data)})
    try:
        content += [{"type": "file", "path": os.fsdecode(path)} for path in output.files] if output else []
    except TypeError as error:
        raise ToolError(f"ToolOutput.files are paths: {error}.", "unserialisable_result", False) from error
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(item) for item in value]
    raise ToolError(
        f"The result holds a {type(value).__name__}, which JSON cannot express.", "unserialisable_result", False
    )


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int | float) or key is None:
        return str(key)
    raise ToolError(f"The result has a key of type {type(key).__name__}.", "unserialisable_result", False)
