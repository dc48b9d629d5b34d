"""One worker: a sandboxed process that holds a plugin's code, seen from the host."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import Any

from toolhost.errors import PluginError, ToolHostError
from toolhost.model import Status, Tool
from toolhost.pluginhost.contained import CHUNK, Contained
from toolhost.pluginhost.errands import CallErrands, Clock, Errands
from toolhost.pluginhost.pending import OnProgress, Pending
from toolhost.pluginhost.record import WorkerReply
from toolhost.pluginhost.schemas import clean_text
from toolhost.pluginhost.wire import LineSplitter, content_parts, error_code, error_message, read_message, whole_text
from toolhost.redaction import Redaction
from toolhost.sandbox import Execution, Sandbox, SandboxPlan
from toolhost.sandbox.plan import NO_SECRETS

__all__ = ["Worker"]

_GRACE = 0.5
"""Seconds a tool has to stop after its cancellation, before its whole worker is killed."""
_MESSAGES = 10_000
"""Progress and log messages of one call."""
_LIMITS = ("memory_limit", "result_too_large")
"""Codes by which an honest worker says that a call was over a limit."""
_MEANWHILE = ("progress", "log", "errand", "drop")
"""Messages about a call before its answer."""

_PEACE = 1.5
"""Seconds an idle worker has to end by itself."""


class Worker(Contained):
    """A running worker. Made by `start`, ended by `close`."""

    def __init__(self, plan: SandboxPlan, execution: Execution, redaction: Redaction) -> None:
        super().__init__(plan, execution, redaction)
        self._config = {} if plan.config is None else json.loads(plan.config)

    @classmethod
    async def start(
        cls, sandbox: Sandbox, plan: SandboxPlan, within: float, secrets: Mapping[str, bytes] = NO_SECRETS
    ) -> Worker:
        """Launch a worker and wait until it has loaded its plugin.

        Args:
            sandbox: Where.
            plan: Of kind `worker`.
            within: Seconds.
            secrets: What each secret of the plan holds; nothing that the worker says shows them.

        Raises:
            PluginError: `plugin_error` or another code of the worker, `worker_not_ready`, `worker_died`,
                `worker_protocol`.
            SandboxError: Where the plan cannot be carried out.
        """
        worker = cls(plan, await sandbox.launch(plan, secrets), Redaction(secrets.values()))
        return await worker.until_ready(within)

    async def close(self) -> None:
        """End it, in peace where nothing runs in it, so that its toolboxes can close; returns when it is gone."""
        if self.failure is None and not self._pending and self._ready.done():
            self.failure = PluginError("worker_closed", f"The plugin's {self.WHAT} was ended by the host.")
            self._execution.stdin.close()
            try:
                async with asyncio.timeout(_PEACE):
                    await asyncio.shield(self._ended)
            except TimeoutError:
                self._execution.kill()
            except BaseException:
                self._execution.kill()
                raise
        await super().close()

    async def describe(self, within: float, max_bytes: int) -> dict[str, Any]:
        """See `Contained.describe`; the worker itself says what is wrong with a tool."""
        pending = Pending(asyncio.get_running_loop().create_future(), None, max_bytes)
        reply = await self._ask({"op": "describe"}, within, pending)
        if reply["op"] != "described":
            raise _reported(reply)
        return reply

    async def call(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        within: float,
        on_progress: OnProgress | None,
        errands: Errands | None = None,
        call_id: str = "",
    ) -> WorkerReply:
        """See `Contained.call`."""
        limit = self.plan.limits.output
        name = tool.name.removeprefix(f"{tool.plugin}.")
        request = {"op": "call", "tool": name, "arguments": arguments, "config": self._config, "max_bytes": limit}
        pending = Pending(asyncio.get_running_loop().create_future(), on_progress, limit)
        status: Status = "error"
        error: PluginError | None = None
        content: tuple[Mapping[str, Any], ...] = ()
        value: Any = None
        try:
            reply = await self._ask(request, within, pending, errands)
            if reply["op"] == "error":
                error = _reported(reply)
                status = "limit" if error.code in _LIMITS else "error"
            elif reply["op"] == "result":
                status, (content, value) = "ok", reply["content"]
            else:
                error = self._violation(f"answered a call with {reply['op']!r}")
        except TimeoutError:
            status, error = "timeout", self._too_slow(within)
        except PluginError as failure:
            status = "limit" if failure.code == "worker_limit" else "error"
            error = failure
        return self._reply(pending, status, content, value, error)

    async def _ask(
        self, request: Mapping[str, Any], within: float, pending: Pending, errands: Errands | None = None
    ) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        # Random, so that a plugin can answer only calls it was given.
        call_id = secrets.token_hex(8)
        self._pending[call_id] = pending
        try:
            async with asyncio.timeout(within) as deadline:
                pending.errands = CallErrands(errands, lambda said: self._tell(call_id, said), Clock(deadline))
                await self._send({**request, "id": call_id})
                return await asyncio.shield(pending.answer)
        except (TimeoutError, asyncio.CancelledError):
            await self._stop(call_id, pending)
            raise
        finally:
            try:
                if pending.errands is not None:
                    await pending.errands.end()
            finally:
                del self._pending[call_id]

    def _tell(self, call_id: str, said: Mapping[str, Any]) -> None:
        """Send a message about a call, unless the worker is gone: whoever waits for it hears of that elsewhere.

        What is sent so is bounded by what a call may ask for, so nobody waits until it is read.
        """
        if self.failure is None and not self._execution.stdin.is_closing():
            self._execution.stdin.write(json.dumps({**said, "id": call_id}, separators=(",", ":")).encode() + b"\n")

    async def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._execution.stdin.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
            await self._execution.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            await self.wait()
            raise self.failure or PluginError("worker_died", "The plugin's worker ended.") from None

    async def _stop(self, call_id: str, pending: Pending) -> None:
        """See that the call has stopped: by asking, then by killing everything."""
        hung = PluginError("worker_hung", "The plugin's worker was ended because a call in it did not stop.")
        try:
            async with asyncio.timeout(_GRACE):
                await self._send({"op": "cancel", "id": call_id})
                await asyncio.shield(pending.answer)
        except (TimeoutError, ToolHostError):
            self._fail(hung)
            await self.wait()
        except asyncio.CancelledError:
            self._fail(hung)
            raise

    def _not_ready(self, within: float) -> PluginError:
        return PluginError("worker_not_ready", f"The plugin's module did not finish loading within {within:g} s.")

    async def _read_stdout(self) -> None:
        splitter = LineSplitter(4 * self.plan.limits.output + (1 << 20))
        while chunk := await self._execution.stdout.read(CHUNK):
            for line in splitter.feed(chunk):
                self._receive(self._without_secrets(read_message(line)))

    def _without_secrets(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message before anything is cut from it: half a secret could not be found.

        What an errand sends out may hold one, as a header of a request does; whoever runs it sees to the rest.
        """
        if message["op"] == "errand":
            return message
        kept = {name: message[name] for name in ("op", "id") if name in message}
        return {**self._redaction.value(message), **kept}

    def _receive(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "ready" if not self._ready.done():
                self._ready.set_result(message["tools"])
                return
            case "failed" if not self._ready.done():
                self._ready.set_exception(_reported(message))
                return
            case "ready" | "failed":
                raise self._violation("said twice that it is ready")
        pending = self._pending.get(message["id"])
        if pending is None or pending.answer.done():
            raise self._violation("answered a call that it was not given")
        if message["op"] not in _MEANWHILE:
            self._stderr_flow = 0
            if message["op"] == "result":
                message["content"] = content_parts(message["content"])
            pending.answer.set_result(message)
            return
        pending.messages += 1
        if pending.messages > _MESSAGES:
            raise self._violation(f"sent more than {_MESSAGES} messages in one call")
        if message["op"] == "errand":
            if pending.errands is None or not pending.errands.begin(message):
                raise self._violation("asked for an errand that it had asked for")
        elif message["op"] == "drop":
            if pending.errands is not None:
                pending.errands.drop(message["errand"])
        elif message["op"] == "log":
            pending.add_log(whole_text(message["text"]) + "\n")
        elif pending.on_progress is not None:
            text = clean_text(message["message"], 500)
            told = {"done": message["done"], "total": message["total"], "message": text}
            asyncio.get_running_loop().call_soon(pending.on_progress, told)


def _reported(message: Mapping[str, Any]) -> PluginError:
    return PluginError(
        error_code(message["code"]), error_message(message["message"]), recoverable=message["recoverable"]
    )
