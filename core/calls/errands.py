"""Errands: what a running call's worker asks for becomes a call of its own, on the same way as every other call."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolhost.errors import ToolHostError
from toolhost.identifiers import new_id
from toolhost.model import Call, CallResult, Errand
from toolhost.policy.resolve import INSIDE_WORKSPACE
from toolhost.policy.values import WORKSPACE

if TYPE_CHECKING:
    from toolhost.calls.telling import OnEvent
    from toolhost.pluginhost.errands import Clock, OnPiece
    from toolhost.redaction import Redaction

__all__ = ["Ask", "Carry", "PluginErrands", "errand_arguments", "errand_from", "stdin_of"]

Carry = Callable[[Call, "OnEvent", "Redaction", Callable[[], AbstractContextManager[None]]], Awaitable[CallResult]]
"""Carries an errand's call to its end: the call, who listens, the secrets to keep, what stops the parent's clock."""

Ask = Callable[[Mapping[str, Any], Callable[[], AbstractContextManager[None]]], Awaitable[str]]
"""Asks a person: what the worker wants to know, unchecked, and what stops the call's clock."""

_OUTPUTS = 16
"""How often the policy's `output` limit all errands of a call may bring back together."""
_SHOWN = 4096  # characters of standard input that a person who is asked sees
_METHOD = re.compile(r"[A-Z]{1,20}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WORDS = 4096
_LONGEST = 1e9  # seconds
_MARGIN = 80 << 10
"""Bytes of a fetch's output that are not the body: its headers."""


class PluginErrands:
    """Runs the errands of one call.

    Args:
        call: The call.
        output: Its policy's `output` limit, bytes.
        redaction: Its secrets.
        carry: Carries each through.
        ask: Asks the call's person what its tool wants to know.
    """

    def __init__(self, call: Call, output: int, redaction: Redaction, carry: Carry, ask: Ask) -> None:
        self._call = call
        self._ask = ask
        self._asking = asyncio.Lock()
        self._output = output
        self._redaction = redaction
        self._carry = carry
        self._room = _OUTPUTS * output

    async def run(
        self, kind: str, wanted: Mapping[str, Any], on_piece: OnPiece | None, clock: Clock
    ) -> Mapping[str, Any]:
        """See `toolhost.pluginhost.errands.Errands`."""
        match kind:
            case "run":
                return await self._run(_command(wanted, max(self._output, 1 << 20)), on_piece, clock)
            case "fetch":
                return await self._fetch(wanted, clock)
            case "ask":
                async with self._asking:  # a person reads one question after the other
                    return {"text": await self._ask(wanted, clock.standing)}
        raise _malformed(f"there is no errand {kind!r}")

    async def _run(self, errand: Errand, on_piece: OnPiece | None, clock: Clock) -> Mapping[str, Any]:
        result, output = await self._carried(errand, on_piece, clock)
        return {
            "exit_code": result.exit_code,
            "signal": result.signal,
            "stdout": b64encode(output["stdout"]).decode(),
            "stderr": b64encode(output["stderr"]).decode(),
            "duration_ms": result.duration_ms,
        }

    async def _fetch(self, wanted: Mapping[str, Any], clock: Clock) -> Mapping[str, Any]:
        room = max(self._output - _MARGIN, 0)
        result, output = await self._carried(_request(wanted, max(self._output, 1 << 20), room), None, clock)
        head, _, body = bytes(output["stdout"]).partition(b"\n")
        try:
            said = json.loads(head)
        except ValueError:
            raise ToolHostError(
                "fetch_failed", f"The request ended with exit code {result.exit_code}.", recoverable=True
            ) from None
        if "error" in said:
            raise ToolHostError(said["error"]["code"], said["error"]["message"], recoverable=True)
        return {**said, "body": b64encode(body).decode()}

    async def _carried(
        self, errand: Errand, on_piece: OnPiece | None, clock: Clock
    ) -> tuple[CallResult, dict[str, bytearray]]:
        if self._room <= 0:
            raise ToolHostError(
                "too_much_output",
                f"What this call asked for has brought back {_OUTPUTS} times the policy's `output` limit.",
                "Ask for less at once, or have an administrator raise limits.output.",
                recoverable=True,
            )
        self._refuse_secrets(errand)
        output = {"stdout": bytearray(), "stderr": bytearray()}

        def listen(event: dict[str, Any]) -> None:
            if event["type"] == "tool.output":
                self._room -= len(event["data"])
                if on_piece is not None:
                    on_piece(event["stream"], event["data"])
                else:
                    output[event["stream"]] += event["data"]

        call = replace(
            self._call,
            id=new_id("c"),
            arguments=errand_arguments(errand, self._redaction),
            parent_id=self._call.id,
            errand=errand,
        )
        result = await self._carry(call, listen, self._redaction, clock.standing)
        if result.status not in ("ok", "error") or result.sandbox is None:
            said = result.error or {}
            raise ToolHostError(
                said.get("code", "tool_failed"),
                said.get("message", "The command could not be run."),
                said.get("hint", ""),
                recoverable=said.get("recoverable", False),
            )
        return result, output

    def _refuse_secrets(self, errand: Errand) -> None:
        if any(self._redaction.text(word) != word for word in (*errand.argv, errand.cwd)):
            raise ToolHostError(
                "secret_in_command",
                "A secret must not be an argument of a command, its folder or a part of a URL: those are shown and "
                "recorded.",
                "Write it to the command's standard input, let it read /run/secrets, or send it in a header.",
            )


def errand_arguments(errand: Errand, redaction: Redaction) -> dict[str, Any]:
    """An errand as the record of its call has it, and as the person who is asked sees it."""
    shown: dict[str, Any] = {errand.kind: list(errand.argv)}
    if errand.cwd != WORKSPACE:
        shown["cwd"] = errand.cwd
    if errand.wall is not None:
        shown["timeout"] = errand.wall
    if errand.kind == "run" and errand.stdin:
        text = redaction.text(errand.stdin.decode("utf-8", "replace"))
        shown["stdin"] = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return shown


def errand_from(arguments: Mapping[str, Any]) -> Errand:
    """An errand from the record of its call, without what it was given on standard input."""
    kind = "fetch" if "fetch" in arguments else "run"
    return Errand(
        kind="fetch" if kind == "fetch" else "run",
        argv=tuple(arguments[kind]),
        cwd=arguments.get("cwd", WORKSPACE),
        wall=arguments.get("timeout"),
    )


def stdin_of(errand: Errand, arguments: Mapping[str, Any]) -> str:
    """What a plan says of an errand's standard input: its beginning, as whoever is asked sees it, and what it is.

    Args:
        errand: The errand.
        arguments: Its call's: without secrets.
    """
    if not errand.stdin:
        return ""
    shown = arguments.get("stdin", "")
    return f"{shown}\n" * bool(shown) + f"sha256:{hashlib.sha256(errand.stdin).hexdigest()} ({len(errand.stdin)} bytes)"


def _command(wanted: Mapping[str, Any], longest: int) -> Errand:
    argv, cwd = wanted.get("argv"), wanted.get("cwd")
    if not isinstance(argv, list) or not argv or len(argv) > _WORDS or not all(map(_is_text, argv)):
        raise _malformed("a command is a program and its arguments, each a text without NUL")
    if not isinstance(cwd, str):
        raise _malformed("`cwd` is a path")
    if cwd and not cwd.startswith("/"):
        cwd = f"{INSIDE_WORKSPACE}/{cwd}"
    stdin = _bytes(wanted, "stdin", longest)
    return Errand(kind="run", argv=tuple(argv), stdin=stdin, cwd=cwd or WORKSPACE, wall=_seconds(wanted))


def _request(wanted: Mapping[str, Any], longest: int, room: int) -> Errand:
    url, method, headers = wanted.get("url"), wanted.get("method"), wanted.get("headers")
    if not isinstance(url, str) or not _is_text(url):
        raise _malformed("a URL is a text")
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise _malformed("a method is a word in capitals")
    if not isinstance(headers, dict) or not all(
        _HEADER.fullmatch(name) and isinstance(value, str) and value.isprintable() and value.isascii()
        for name, value in headers.items()
    ):
        raise _malformed("headers are names and printable ASCII texts")
    told = {
        "headers": headers,
        "body": b64encode(_bytes(wanted, "body", longest)).decode(),
        "max_bytes": room,
    }
    stdin = json.dumps(told, sort_keys=True).encode()
    return Errand(kind="fetch", argv=(method, url), stdin=stdin, wall=_seconds(wanted))


def _bytes(wanted: Mapping[str, Any], name: str, longest: int) -> bytes:
    try:
        data = b64decode(wanted.get(name, ""), validate=True)
    except (TypeError, ValueError):
        raise _malformed(f"`{name}` is base64") from None
    if len(data) > longest:
        raise ToolHostError(
            "stdin_too_large",
            f"`{name}` takes {len(data)} bytes; at most {longest} are accepted.",
            "Put it into a file of the workspace.",
            recoverable=True,
        )
    return data


def _seconds(wanted: Mapping[str, Any]) -> float | None:
    value = wanted.get("timeout")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LONGEST:
        raise _malformed("`timeout` is a number of seconds")
    return float(value)


def _is_text(word: object) -> bool:
    if not isinstance(word, str) or "\0" in word:
        return False
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _malformed(what: str) -> ToolHostError:
    return ToolHostError("invalid_errand", f"The tool asked the host for something malformed: {what}.")
