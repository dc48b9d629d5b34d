"""What a client gets: the tools as the protocol describes tools, and results as text for a model.

The object that every other way to the host gives goes beside it under `_meta`, where programs find it. It is not
`structuredContent`: clients show a model that one instead of the text, and it is not written for models.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

from mcp.types import (
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
    ToolAnnotations,
)
from mcp.types import Tool as DescribedTool

from toolhost.downloads import read_own
from toolhost.errors import ToolHostError
from toolhost.host import Host
from toolhost.model import Actor, CallResult, Tool
from toolhost.policy.annotations import hints_of
from toolhost.sandbox.collect import CollectRefused

__all__ = ["RESULT", "SHOWN", "described", "refused", "result_of", "waiting"]

SHOWN = 60_000
"""Characters of output in the text of a result; the object beside it has all that the policy let through."""

RESULT = "toolhost/result"
"""Under this name of `_meta` is the result object; `docs/reference/result.md` says what it means."""

_LARGEST_IMAGE = 1 << 20  # bytes


def described(host: Host, tool: Tool) -> DescribedTool:
    """A tool as the protocol describes one. What it can do is said by its policy, not by its author."""
    hints = hints_of(host.policies.current.policy(tool.plugin), tool)
    return DescribedTool(
        name=tool.name,
        description=tool.about,
        input_schema=dict(tool.input_schema),
        annotations=ToolAnnotations.model_validate(dict(hints)),
    )


async def result_of(host: Host, actor: Actor, result: CallResult, origin: str) -> CallToolResult:
    """A call's result."""
    told: list[ContentBlock] = []
    if result.error is not None:
        told.append(_text(_sentence(result.error, result.decision.source)))
    room = SHOWN
    for part in _parts(result):
        text = part.get("text")
        if isinstance(text, str):
            shown = _cut(text, room)
            room -= len(shown)
            told.append(_text(shown))
        else:
            told.append(await _file(host, actor, result.call_id, part))
    if result.truncated:
        told.append(_text("The output was cut off at the limit `output` of the policy."))
    if sum(len(part.get("text", "")) for part in _parts(result)) > SHOWN:
        everything = f"{origin}/api/calls/{result.call_id}/output"
        told.append(_text(f"Only {SHOWN} characters are shown. All of it: {everything}; or ask for a part at a time."))
    if not told:
        told.append(_text("It worked, and printed nothing."))
    return _answer(told, result)


def waiting(result: CallResult, address: str) -> CallToolResult:
    """That a person must answer first, for a client that cannot be sent to them."""
    text = (
        f"approval_required: {result.decision.reason} A person must approve this call first, at {address} "
        "(within ten minutes; no API key can). Then make the same call again, with the same arguments: it gives the "
        "result of the approved call and runs nothing twice."
    )
    return _answer([_text(text)], result)


def refused(error: ToolHostError) -> CallToolResult:
    """Why a call could not be made at all."""
    return CallToolResult(content=[_text(_sentence(error.as_json(), None))], is_error=True)


def _answer(told: list[ContentBlock], result: CallResult) -> CallToolResult:
    return CallToolResult(content=told, is_error=result.status != "ok", _meta={RESULT: result.as_json()})


def _sentence(error: Mapping[str, Any], source: str | None) -> str:
    rule = f" (rule: {source})" if source is not None else ""
    return " ".join(filter(None, (f"{error['code']}: {error['message']}{rule}", error["hint"])))


def _parts(result: CallResult) -> list[Mapping[str, Any]]:
    """The answer's parts in order, what is no file as text; then what went to standard error."""
    parts: list[Mapping[str, Any]] = []
    for part in result.content:
        if part.get("type") == "json":
            parts.append({"text": json.dumps(part["value"], ensure_ascii=False)})
        else:
            parts.append({"text": str(part["text"])} if part.get("type") == "text" else part)
    if not parts and result.stdout:
        parts.append({"text": result.stdout})
    if result.stderr:
        parts.append({"text": f"[standard error]\n{result.stderr}"})
    return parts


async def _file(host: Host, actor: Actor, call_id: str, part: Mapping[str, Any]) -> ContentBlock:
    """A file that came whole, or a picture of the workspace that is small enough to be sent; of any other the name."""
    data, kind = part.get("data"), str(part.get("media_type"))
    if data is None and part.get("type") == "image":
        try:
            content = await asyncio.to_thread(read_own, host, actor, part["path"], _LARGEST_IMAGE)
        except CollectRefused:  # too large, or gone since
            return _text(_named(part))
        data = base64.b64encode(content).decode()
    if data is None:
        return _text(_named(part))
    if part.get("type") == "image":
        return ImageContent(data=data, mime_type=kind)
    return EmbeddedResource(resource=BlobResourceContents(uri=f"toolhost:{call_id}", blob=data, mime_type=kind))


def _named(part: Mapping[str, Any]) -> str:
    return f"[{part.get('type')}: {part.get('path')}, {part.get('size')} bytes, in the workspace of your calls]"


def _cut(text: str, room: int) -> str:
    """The beginning and the end of what does not fit."""
    if len(text) <= room:
        return text
    tail = max(room, 0) // 4
    return f"{text[: max(room, 0) - tail]}\n[…]\n{text[len(text) - tail :]}"


def _text(text: str) -> TextContent:
    return TextContent(text=text.encode("utf-8", "replace").decode())
