"""JSON Schemas of a tool, from its signature. Only describing needs pydantic; most calls never import it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import pydantic
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticUndefined

from toolhost.authoring import ToolError, ToolOutput
from toolhost.worker.declared import DeclaredTool

__all__ = ["describe"]


class _Untitled(GenerateJsonSchema):
    """Without the titles that pydantic makes from names: they say nothing the names do not."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def describe(tool: DeclaredTool) -> dict[str, Any]:
    """A tool as the host is told of it: name, about, input and output schema, what its author says of it.

    Raises:
        ToolError: `invalid_tool` where a parameter has no annotation, no name, or a type JSON cannot express.
    """
    try:
        return {
            "name": tool.name,
            "about": tool.about,
            "input_schema": _input_schema(tool),
            "output_schema": _output_schema(tool),
            "hints": dict(tool.said),
            "change": tool.change,
        }
    except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticUndefinedAnnotation) as error:
        raise ToolError(f"The tool {tool.name} cannot be described: {error.message}", "invalid_tool") from error


def _input_schema(tool: DeclaredTool) -> dict[str, Any]:
    texts = _parameter_texts(inspect.getdoc(tool.function) or "")
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(tool.function).parameters.items():
        if name == tool.context:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolError(f"The tool {tool.name} takes *{name}; every argument of a tool has a name.", "invalid_tool")
        if name not in tool.hints:
            raise ToolError(f"The parameter {name!r} of the tool {tool.name} has no type.", "invalid_tool")
        default = PydanticUndefined if parameter.default is parameter.empty else parameter.default
        fields[name] = (tool.hints[name], pydantic.Field(default=default, description=texts.get(name)))
    # The leading underscore keeps a parameter of any name from meeting a field of the model.
    model = pydantic.create_model(
        "_Arguments", __config__=pydantic.ConfigDict(extra="forbid", protected_namespaces=()), **fields
    )
    schema: dict[str, Any] = model.model_json_schema(schema_generator=_Untitled)
    schema.pop("title", None)
    schema.setdefault("properties", {})
    schema.setdefault("required", [])
    required = schema["required"]
    schema["properties"] = {
        name: _without_null(value) if name not in required else value for name, value in schema["properties"].items()
    }
    return schema


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`X | None = None` is an optional X: leaving it out is how a caller says None."""
    if "default" not in schema or schema["default"] is not None:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("default", "anyOf")}
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        return {**options[0], **rest}
    return {**rest, "anyOf": options} if options else rest


def _output_schema(tool: DeclaredTool) -> dict[str, Any] | None:
    result = tool.hints.get("return", Any)
    if result in (Any, str, type(None), ToolOutput, inspect.Signature.empty):
        return None
    schema: dict[str, Any] = pydantic.TypeAdapter(result).json_schema(mode="serialization", schema_generator=_Untitled)
    return schema


def _parameter_texts(doc: str) -> Mapping[str, str]:
    """The descriptions in a docstring's `Args:` section."""
    section = re.search(r"^(?:Args|Arguments|Parameters):[ \t]*\n((?:[ \t]+.*\n?|[ \t]*\n)+)", doc, re.MULTILINE)
    if section is None:
        return {}
    texts: dict[str, str] = {}
    name, indent = "", None
    for line in section[1].splitlines():
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        indent = depth if indent is None else indent
        found = re.match(r"\s*\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)", line) if depth == indent else None
        if found:
            name = found[1]
            texts[name] = found[2].strip()
        elif name:
            texts[name] = f"{texts[name]} {line.strip()}".strip()
    return texts
