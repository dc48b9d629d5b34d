"""The tools of the `http` plugin: each request is a call of its own, to a host that `[network]` of the policy names."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from toolhost import Response, ToolContext, ToolError, ToolOutput, WritePath, hookimpl, tool
from toolhost.plugins.http.text import declared_charset, to_text

__all__ = ["download", "fetch", "register_tools", "request"]

_MOST_SHOWN = 200_000
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@tool
def fetch(
    ctx: ToolContext, url: str, start: int = 0, limit: int = 20_000, links: bool = False, raw: bool = False
) -> ToolOutput:
    """Read a page or a text from the web: HTML comes as readable text, JSON and other text as it is. Only servers that
    an administrator has allowed can be reached. Long texts come in parts; the last line says how to go on.

    Args:
        url: An http or https address.
        start: The first character to show, to read on where an earlier part ended.
        limit: How many characters at most, up to 200000.
        links: Give the addresses of links, as [text](address).
        raw: Give HTML as it is.
    """
    if start < 0 or not 1 <= limit <= _MOST_SHOWN:
        raise ToolError(f"start is at least 0, limit between 1 and {_MOST_SHOWN}.", "invalid_arguments")
    answer = ctx.fetch(url).wait()
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    title = ""
    text = _text(answer)
    if kind in ("text/html", "application/xhtml+xml") and not raw:
        title, text = to_text(text, answer.url, links=links)
    elif not _is_text(kind, answer.body):
        raise ToolError(
            f"{answer.url} is no text but {kind or 'of unknown type'}, {len(answer.body)} bytes. `download` saves it.",
            "not_text",
        )
    elif kind.endswith("json"):
        with suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    part = text[start : start + limit]
    head = [f"{answer.url} ({answer.status})"] if answer.url != url or not answer.ok else []
    head += [title] if title and start == 0 else []
    notes = []
    if start + limit < len(text):
        notes.append(f"more from character {start + limit} of {len(text)}: start={start + limit}")
    if answer.truncated:
        notes.append("the page is longer than the policy's output limit and was cut")
    shown = "\n\n".join([*head, part])
    facts = {"url": answer.url, "status": answer.status, "type": kind, "title": title, "characters": len(text)}
    return ToolOutput(text=shown + (f"\n\n[{'; '.join(notes)}]" if notes else ""), data=facts)


@tool
def download(ctx: ToolContext, url: str, path: WritePath, replace: bool = False) -> ToolOutput:
    """Save what an address gives as a file in the workspace, byte for byte.

    Args:
        url: An http or https address.
        path: The file to write.
        replace: Overwrite the file if it exists.
    """
    if os.path.lexists(path) and not replace:
        raise ToolError(f"{path} exists: choose another name, or replace=true.", "exists_already")
    answer = ctx.fetch(url).wait()
    if not answer.ok:
        raise ToolError(f"{answer.url} answered {answer.status}: nothing was saved.", "http_status")
    if answer.truncated:
        raise ToolError(
            f"{answer.url} is larger than the policy's output limit ({len(answer.body)} bytes): nothing was saved. "
            "An administrator can raise limits.output of http.toml.",
            "too_large",
        )
    try:
        Path(path).write_bytes(answer.body)
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror}.", "io_error") from error
    kind = answer.headers.get("content-type", "")
    facts = {"url": answer.url, "path": path, "bytes": len(answer.body), "type": kind}
    return ToolOutput(text=f"Saved {len(answer.body)} bytes ({kind or 'unknown type'}) as {path}.", data=facts)


@tool
def request(
    ctx: ToolContext,
    url: str,
    method: str = "POST",
    headers: dict[str, Any] = {},  # noqa: B006 - never changed
    body: str = "",
) -> ToolOutput:
    """Make any HTTP request, to use an API: gives status, headers and body. For reading pages use `fetch`.

    Args:
        url: An http or https address.
        method: GET, HEAD, POST, PUT, PATCH or DELETE.
        headers: Request headers by name, such as {"Content-Type": "application/json"}.
        body: What is sent.
    """
    if method.upper() not in _METHODS:
        raise ToolError(f"method is one of {', '.join(_METHODS)}.", "invalid_arguments")
    named = {name: str(value) for name, value in headers.items()}
    answer = ctx.fetch(url, method=method.upper(), headers=named, body=body).wait()
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    text = _text(answer) if _is_text(kind, answer.body) else f"[{len(answer.body)} bytes of {kind or 'unknown type'}]"
    cut = f"\n[{len(text) - _MOST_SHOWN} more characters]" if len(text) > _MOST_SHOWN else ""
    shown = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    facts = {"url": answer.url, "status": answer.status, "headers": dict(answer.headers)}
    return ToolOutput(text=f"{answer.status}\n{shown}\n\n{text[:_MOST_SHOWN]}{cut}", data=facts)


def _text(answer: Response) -> str:
    if "charset=" not in answer.headers.get("content-type", "").lower():
        charset = declared_charset(answer.body)
        if charset is not None:
            return dataclasses.replace(answer, headers={"content-type": f"text/html; charset={charset}"}).text
    return answer.text


def _is_text(kind: str, body: bytes) -> bool:
    known = kind.startswith("text/") or kind.endswith(("json", "xml", "javascript", "yaml", "x-sh", "csv"))
    return known or (b"\0" not in body[:8192] and not kind.startswith(("image/", "audio/", "video/", "font/")))


@hookimpl
def register_tools(register: Callable[[Callable[..., object]], None]) -> None:
    """The three tools."""
    for function in (fetch, download, request):
        register(function)
