"""A model server of the tests' own, over real HTTP: OpenAI's protocol and Anthropic's, streaming, faults on demand.

What it answers is written in the last message of a person: `script: [step, ...]`, one step for each time it is asked
since. A step may have `say` (text), `think`, `calls` (`{"tool", "args"}`, or `raw` where the arguments are no JSON),
`words` (so many numbered words), `delay` (seconds before each piece), `fault` (an HTTP status, `cut` or `stall`),
`times` (how often the fault happens before the step goes well), `retry_after`, `used` (tokens it says it wrote). Any
other message is echoed.

Run alone it serves until its input ends: `python modelserver.py PORT`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self

KEY = "sk-test-0123456789abcdef"
_ERRORS = {
    400: ("context_length_exceeded", "This model's maximum context length is 4096 tokens."),
    401: ("invalid_api_key", "Incorrect API key provided."),
    404: ("model_not_found", "The model does not exist."),
    429: ("rate_limit_exceeded", "Rate limit reached."),
    500: ("server_error", "The server had an error."),
    529: ("overloaded_error", "Overloaded"),
}


class ModelServer:
    """Serves in a thread of its own.

    Attributes:
        requests: The bodies of all requests for an answer, with their headers under `headers`.
        open: How many answers are being streamed now.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.requests: list[dict[str, Any]] = []
        self.open = 0
        self._faults: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *raised: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if not await self._answer(first.split()[1], headers, body, writer):
                    break
        writer.close()

    async def _answer(self, path: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        if path.endswith("/api/tags"):
            return _plain(writer, 200, {"models": [{"name": "tiny:latest"}, {"name": "other:1b"}]})
        if path.endswith("/models"):
            return _plain(writer, 200, {"object": "list", "data": [{"id": "tiny", "object": "model"}]})
        request = json.loads(body)
        self.requests.append({**request, "headers": headers})
        open_to_all = ":" in request["model"]  # as those of Ollama are
        keys = (headers.get("authorization", f"Bearer {KEY}"), headers.get("x-api-key", KEY))
        if not open_to_all and keys != (f"Bearer {KEY}", KEY):
            return _fault(writer, 401, None)
        if request["model"] == "missing":
            return _fault(writer, 404, None)
        step = self._step(request)
        fault = step.get("fault")
        if fault is not None and self._happens(request, step):
            if isinstance(fault, int):
                return _fault(writer, fault, step.get("retry_after"))
        else:
            fault = None
        pieces = _anthropic(step, request) if path.endswith("/messages") else _openai(step, request)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.open += 1
        try:
            for number in itertools.count():
                if step.get("delay"):
                    await asyncio.sleep(step["delay"])
                piece = next(pieces, None)  # made now: it may be stamped
                if piece is None:
                    break
                if fault == "cut" and number == 3:
                    return False
                while fault == "stall" and number == 3:
                    await asyncio.sleep(0.05)
                    writer.write(b"d\r\n: still here\n\r\n")
                    await writer.drain()
                data = piece.encode()
                writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        finally:
            self.open -= 1
        return True

    def _happens(self, request: dict[str, Any], step: dict[str, Any]) -> bool:
        key = json.dumps([_script(request)[0], step])
        self._faults[key] = self._faults.get(key, 0) + 1
        return self._faults[key] <= step.get("times", 1 << 30)

    def _step(self, request: dict[str, Any]) -> dict[str, Any]:
        script, asked = _script(request)
        if not script.startswith("script:"):
            return {"say": f"You said: {script}"}
        steps = json.loads(script.removeprefix("script:"))
        return steps[min(asked, len(steps) - 1)]


def _script(request: dict[str, Any]) -> tuple[str, int]:
    """The last message of a person, and how often the model has answered since."""
    asked = 0
    for message in reversed(request["messages"]):
        content = message["content"]
        parts = [content] if isinstance(content, str) else [p["text"] for p in content or () if p["type"] == "text"]
        if message["role"] == "user" and parts:
            return parts[-1], asked
        asked += message["role"] == "assistant"
    return "", asked


def _words(step: dict[str, Any]) -> Iterator[str]:
    for number in range(step.get("words", 0)):
        yield f"{number}:{time.time():.4f} " if step.get("stamped") else f"word{number} "
    text = step.get("say", "")
    yield from (text[at : at + 8] for at in range(0, len(text), 8))


def _arguments(call: dict[str, Any]) -> str:
    return call["raw"] if "raw" in call else json.dumps(call.get("args", {}))


def _openai(step: dict[str, Any], request: dict[str, Any]) -> Iterator[str]:
    base = {"id": "cmpl-1", "object": "chat.completion.chunk", "created": 1, "model": request["model"]}

    def piece(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f"data: {json.dumps({**base, 'choices': [choice], **more})}\n\n"

    yield piece({"role": "assistant", "content": ""})
    if "think" in step:
        yield piece({"reasoning_content": step["think"]})
    for word in _words(step):
        yield piece({"content": word})
    calls = step.get("calls", ())
    for index, call in enumerate(calls):
        name = {"name": call["tool"], "arguments": ""}
        identifier = call.get("id", f"call_{len(request['messages'])}_{index}")
        yield piece({"tool_calls": [{"index": index, "id": identifier, "type": "function", "function": name}]})
        text = _arguments(call)
        for at in range(0, len(text), 16):
            yield piece({"tool_calls": [{"index": index, "function": {"arguments": text[at : at + 16]}}]})
    yield piece({}, "tool_calls" if calls else "stop")
    written = step.get("used", 7)
    usage = {
        "prompt_tokens": len(json.dumps(request["messages"])) // 4,
        "completion_tokens": written,
        "total_tokens": 0,
    }
    yield f"data: {json.dumps({**base, 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def _anthropic(step: dict[str, Any], request: dict[str, Any]) -> Iterator[str]:
    def event(kind: str, **fields: Any) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"

    usage = {"input_tokens": len(json.dumps(request["messages"])) // 4, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": request["model"], "content": []}
    yield event("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": usage})
    index = 0
    if "say" in step or "words" in step:
        yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for word in _words(step):
            yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
        yield event("content_block_stop", index=0)
        index = 1
    calls = step.get("calls", ())
    for number, call in enumerate(calls, index):
        block = {"type": "tool_use", "id": f"toolu_{len(request['messages'])}_{number}", "name": call["tool"]}
        yield event("content_block_start", index=number, content_block={**block, "input": {}})
        delta = {"type": "input_json_delta", "partial_json": _arguments(call)}
        yield event("content_block_delta", index=number, delta=delta)
        yield event("content_block_stop", index=number)
    reason = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    yield event("message_delta", delta=reason, usage={"output_tokens": 7})
    yield event("message_stop")


def _plain(writer: asyncio.StreamWriter, status: int, value: dict[str, Any], *more: str) -> bool:
    data = json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status} Status", "Content-Type: application/json", f"Content-Length: {len(data)}", *more]
    writer.write("\r\n".join([*lines, "", ""]).encode() + data)
    return True


def _fault(writer: asyncio.StreamWriter, status: int, retry_after: object) -> bool:
    code, message = _ERRORS[status]
    more = () if retry_after is None else (f"Retry-After: {retry_after}",)
    error = {"message": message, "type": code, "code": code, "param": None}
    return _plain(writer, status, {"type": "error", "error": error}, *more)


if __name__ == "__main__":
    with ModelServer(int(sys.argv[1])) as server:
        print(server.url, flush=True)
        sys.stdin.read()
