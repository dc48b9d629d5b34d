"""What an MCP server writes, before the SDK's client sees any of it.

The client is made for servers that mean well: it keeps one task for each notification, drops what it did not ask for,
answers requests, and evaluates the schemas that a server sends with an engine that a pattern can stop for minutes. A
plugin's server is as untrusted as any plugin. So here every line is read with bounds, and only this goes on: an answer
to a request that was sent, and progress of one. Output schemas, annotations and everything else that a list of tools
has and the host does not use are taken out of it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolhost.errors import PluginError
from toolhost.pluginhost.schemas import clean_text
from toolhost.pluginhost.wire import finite, is_crowded, whole_text

__all__ = ["Answer", "Changed", "Forward", "Gate", "Said"]

_MESSAGES = 10_000
"""Messages between two answers, and progress of one call."""
_STRAY = 20
"""Lines beside the protocol, over the server's life: a greeting is common, a stream of them is none."""
_CHANGES = 20
"""Times that a server may say that its tools changed, over its life: each has it asked for them."""
_PARTS = 1_000
"""Parts of one answer, and tools of one list: the client takes its time with each."""
_LONGEST_NUMBER = 200
_LONGEST_PROGRESS = 2_000
_GIVEN_UP = 256
"""Requests nobody waits for any more, whose answers may still come."""
_TOOL = ("name", "title", "description", "inputSchema")
"""What the host reads of a tool."""
_METHOD_NOT_FOUND = -32601


@dataclass(frozen=True, slots=True)
class Forward:
    """A message for the client; `answers` is the request it settles, or None."""

    message: dict[str, Any]
    answers: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply to a request of the server's, and what is said of it."""

    message: dict[str, Any]
    said: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """Something the server wants people to read."""

    text: str


@dataclass(frozen=True, slots=True)
class Changed:
    """The server says that its tools are others now."""


class Gate:
    """Knows what was asked of one server, and judges what comes back.

    Args:
        violation: Makes the error for a server that breaks the protocol, from the end of a sentence.
        redact: Takes secrets out of a message before anything is cut from it.
    """

    def __init__(self, violation: Callable[[str], PluginError], redact: Callable[[Any], Any]) -> None:
        self._violation = violation
        self._redact = redact
        self._asked: dict[int, str] = {}
        self._given_up: OrderedDict[int, None] = OrderedDict()
        self._progress: dict[int, int] = {}
        self._flow = 0
        self._stray = 0
        self._changes = 0

    def sent(self, message: Mapping[str, Any]) -> None:
        """Take note of a message that the client sends."""
        match message:
            case {"method": str(method), "id": int(number)}:
                self._asked[number] = method
            case {"method": "notifications/cancelled", "params": {"requestId": int(number)}}:
                if self._asked.pop(number, None) is not None:
                    self._given_up[number] = None
                    if len(self._given_up) > _GIVEN_UP:
                        self._given_up.popitem(last=False)

    def receive(self, line: bytes) -> Forward | Answer | Said | Changed | None:
        """Judge one line.

        Raises:
            PluginError: `worker_protocol` where the server has to go.
        """
        if not line.strip():
            self._flow += 1
            if self._flow > _MESSAGES:
                raise self._violation(f"wrote more than {_MESSAGES} empty lines")
            return None
        if is_crowded(line):
            raise self._violation("sent a message of too many values")
        try:
            message = json.loads(line.decode(), parse_constant=_no_constant, parse_float=finite)
        except (ValueError, RecursionError):
            return self._beside(line)
        if not isinstance(message, dict):
            return self._beside(line)
        method, number = message.get("method"), message.get("id")
        if isinstance(method, str):
            self._flow += 1
            if self._flow > _MESSAGES:
                raise self._violation(f"sent more than {_MESSAGES} messages and no answer")
            params = message.get("params")
            return (
                self._notified(method, params if isinstance(params, dict) else {})
                if number is None
                else self._refused(method, number)
            )
        if ("result" in message) == ("error" in message) or method is not None:
            raise self._violation("sent a message that is no request, answer or notification")
        return self._answered(number, message)

    def _refused(self, method: str, number: object) -> Answer:
        """The answer to a request of the server's: it may ask whether anybody is there, and nothing else."""
        # The number is sent back, and waits in memory until the server reads it.
        if isinstance(number, bool) or not isinstance(number, str | int) or len(str(number)) > _LONGEST_NUMBER:
            raise self._violation("sent a request with a number that is none")
        if method == "ping":
            return Answer({"jsonrpc": "2.0", "id": number, "result": {}})
        shown = clean_text(method, 60)
        error = {"code": _METHOD_NOT_FOUND, "message": f"This host does not offer {shown}."}
        return Answer(
            {"jsonrpc": "2.0", "id": number, "error": error},
            f"The server asked for {shown}, which no server of a plugin is given.\n",
        )

    def _answered(self, number: object, message: dict[str, Any]) -> Forward | None:
        if isinstance(number, bool) or not isinstance(number, int):
            if number is None and "error" in message:
                return None  # to a message that it could not read; whoever waits for an answer has a deadline
            raise self._violation("answered a request that it was not given")
        if number in self._given_up:
            del self._given_up[number]
            return Forward({}, number)
        method = self._asked.pop(number, None)
        self._progress.pop(number, None)
        if method is None:
            raise self._violation("answered a request that it was not given")
        self._flow = 0
        body = self._redact(message.get("result")) if "result" in message else None
        if "error" in message:
            return Forward({"jsonrpc": "2.0", "id": number, "error": _error(self._redact(message["error"]))}, number)
        if not isinstance(body, dict):
            raise self._violation("answered with something that is no object")
        for many in (body.get("content"), body.get("tools")):
            if isinstance(many, list) and len(many) > _PARTS:
                raise self._violation(f"sent an answer of more than {_PARTS} parts")
        if method == "tools/list":
            body = _listing(body)
        return Forward({"jsonrpc": "2.0", "id": number, "result": body}, number)

    def _notified(self, method: str, params: dict[str, Any]) -> Forward | Said | Changed | None:
        if method == "notifications/progress":
            token = params.get("progressToken")
            if isinstance(token, bool) or not isinstance(token, int) or token not in self._asked:
                return None
            self._progress[token] = self._progress.get(token, 0) + 1
            if self._progress[token] > _MESSAGES:
                raise self._violation(f"sent more than {_MESSAGES} messages in one call")
            told = {key: self._redact(params[key]) for key in ("progress", "total", "message") if key in params}
            if isinstance(told.get("message"), str):
                told["message"] = told["message"][:_LONGEST_PROGRESS]
            return Forward({"jsonrpc": "2.0", "method": method, "params": {"progressToken": token, **told}})
        if method == "notifications/tools/list_changed":
            self._changes += 1
            if self._changes > _CHANGES:
                raise self._violation(f"said more than {_CHANGES} times that its tools changed")
            return Changed()
        if method == "notifications/message":
            data = self._redact(params.get("data"))
            text = data if isinstance(data, str) else json.dumps(data)
            return Said(whole_text(text) + "\n")
        return None

    def _beside(self, line: bytes) -> Said:
        self._stray += 1
        shown = clean_text(line[:2000].decode(errors="replace"), 200)
        if self._stray > _STRAY:
            raise self._violation(f"wrote {self._stray} lines that are no messages; the last: {shown}")
        return Said(str(self._redact(whole_text(line.decode(errors="replace")))) + "\n")


def _listing(result: dict[str, Any]) -> dict[str, Any]:
    """A list of tools with what the host reads of them, and with no schema that a client would evaluate."""
    tools = result.get("tools")
    if isinstance(tools, list):
        result = {**result, "tools": [_tool(tool) for tool in tools]}
    return {key: result[key] for key in ("tools", "nextCursor", "resultType", "ttlMs", "cacheScope") if key in result}


def _tool(tool: Any) -> Any:
    return {key: tool[key] for key in _TOOL if key in tool} if isinstance(tool, dict) else tool


def _error(error: Any) -> dict[str, Any]:
    match error:
        case {"code": int(code), "message": str(message)} if not isinstance(code, bool):
            more = {"data": error["data"]} if "data" in error else {}
            return {"code": code, "message": whole_text(message), **more}
    return {"code": -32603, "message": "The server failed, and did not say why."}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
