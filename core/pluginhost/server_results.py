"""From what an MCP tool answers to the parts of a result."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolhost.calls.produced import image_type
from toolhost.errors import PluginError
from toolhost.pluginhost.wire import content_parts, error_message, whole_text

if TYPE_CHECKING:
    from mcp.types import CallToolResult

__all__ = ["server_parts", "server_refusal"]

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,100}", re.IGNORECASE)
_SIZE_OF_PART = 64


def server_parts(result: CallToolResult, limit: int) -> tuple[tuple[Mapping[str, Any], ...], Any]:
    """A result's parts as every tool has them, and its structured value, or None.

    Args:
        result: From the SDK's client.
        limit: Bytes of all parts together.

    Raises:
        PluginError: `result_too_large`, or `worker_protocol` for a value that is nested too deeply.
    """
    parts = [part for block in result.content for part in _parts(block.model_dump(by_alias=True, mode="json"))]
    value: Any = None
    if result.structured_content is not None:
        (structured,), value = content_parts([{"type": "json", "value": result.structured_content}])
        parts = [part for part in parts if not _mirrors(part, value, parts)] + [structured]
    if _size(parts) > limit:
        raise PluginError(
            "result_too_large",
            f"The tool's answer is larger than {limit} bytes.",
            "Ask for less at once, or have an administrator raise limits.output.",
            recoverable=True,
        )
    return tuple(parts), value


def server_refusal(parts: Sequence[Mapping[str, Any]]) -> PluginError:
    """The failure that a tool reports in its answer."""
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    return PluginError("tool_failed", error_message(text), recoverable=True)


def _parts(block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    match block:
        case {"type": "text", "text": str(text)}:
            yield _text(text)
        case {"type": "image" | "audio", "data": str(data), "mimeType": str(media_type)}:
            yield _binary(data, media_type)
        case {"type": "resource", "resource": {"uri": str(uri), "text": str(text)}}:
            yield _text(f"{uri}:\n{text}")
        case {"type": "resource", "resource": {"uri": str(uri), "blob": str(data)} as resource}:
            yield {**_binary(data, str(resource.get("mimeType") or "")), "name": whole_text(uri)}
        case {"type": "resource_link", "uri": str(uri), "name": str(name)}:
            yield _text(f"{name}: {uri}")  # named, never fetched
        case _:
            yield _text("(a part of a kind that this host does not know)")


def _text(text: str) -> Mapping[str, Any]:
    return {"type": "text", "text": whole_text(text)}


def _binary(data: str, media_type: str) -> Mapping[str, Any]:
    media_type = media_type.lower()
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return _text("(a part whose data cannot be read)")
    image = image_type(content[:16])
    if image is not None:
        return {"type": "image", "media_type": image, "size": len(content), "data": data}
    known = _MEDIA_TYPE.fullmatch(media_type) and not media_type.startswith("image/")
    kind = media_type if known else "application/octet-stream"
    return {"type": "file", "media_type": kind, "size": len(content), "data": data}


def _mirrors(part: Mapping[str, Any], value: Any, parts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a text only repeats the structured value, as servers do for clients that know no structure."""
    if len(parts) > 1 or part["type"] != "text" or not part["text"].lstrip().startswith(("{", "[")):
        return False
    try:
        return bool(json.loads(part["text"]) == value)
    except (ValueError, RecursionError):
        return False


def _size(parts: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(_told(part).encode()) + _SIZE_OF_PART for part in parts)


def _told(part: Mapping[str, Any]) -> str:
    return json.dumps(part["value"]) if part["type"] == "json" else str(part.get("text") or part.get("data") or "")
