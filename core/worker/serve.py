"""Serving: requests in, replies out, many calls at once.

Each sync tool runs in a thread of its own; async tools share one event loop, started with the first of them. The main
thread only reads requests, so a cancellation is seen however busy the tools are.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from toolhost.authoring import ToolContext, ToolError
from toolhost.worker.channel import Channel, encode
from toolhost.worker.convert import arguments_for, parts
from toolhost.worker.declared import DeclaredTool, Plugin, load
from toolhost.worker.errands import CallErrands

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from toolhost.worker.toolboxes import Toolboxes

__all__ = ["serve"]

_SECRETS = "/run/secrets"
_OURS = ("<frozen ", *(os.path.dirname(file) + "/" for file in (__file__, os.__file__, pluggy.__file__)))  # noqa: PTH120
"""How the names of the files begin whose code calls a plugin's."""
_LONGEST = 100_000
"""Characters of an error's message. The host shows fewer, and cuts them after it has looked for secrets."""


def serve(plugin: str, module: str, incoming: int, outgoing: int) -> int:
    """Load the plugin's module and serve it until the host closes the pipe.

    Args:
        plugin: The plugin's name.
        module: Its module.
        incoming: Descriptor to read requests from.
        outgoing: Descriptor to write replies to.

    Returns:
        The exit status.
    """
    channel = Channel(incoming, outgoing)
    secrets = _secrets()
    try:
        loaded = load(module)
    except BaseException as error:  # SystemExit too: whatever a module does at import is its failure, not ours
        failure = _failure(error, f"The plugin {plugin} cannot be loaded")
        channel.send({"op": "failed", **failure, "message": failure["message"] + _place(error)})
        return 1
    channel.send({"op": "ready", "tools": sorted(loaded.tools)})
    server = _Server(channel, loaded, secrets)
    for request in channel.requests():
        server.handle(request)
    server.close()
    # The host is gone or has had enough; threads of running tools must not keep the process.
    os._exit(0)


def _secrets() -> dict[str, str]:
    """What each secret of the policy holds; there is no such folder where it names none."""
    found: dict[str, str] = {}
    for name in os.listdir(_SECRETS) if os.path.isdir(_SECRETS) else ():  # noqa: PTH112, PTH208 - pathlib costs a start
        with open(f"{_SECRETS}/{name}", encoding="utf-8", errors="surrogateescape", newline="") as file:  # noqa: PTH123
            found[name] = file.read().rstrip("\r\n")
    return found


class _Server:
    def __init__(self, channel: Channel, plugin: Plugin, secrets: Mapping[str, str]) -> None:
        self._channel = channel
        self._secrets = secrets
        self._plugin = plugin
        self._running: dict[str, _Running] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._toolboxes: Toolboxes | None = None
        if any(tool.toolbox is not None for tool in plugin.tools.values()):
            from toolhost.worker.toolboxes import Toolboxes  # imports asyncio, which most plugins can do without

            self._toolboxes = Toolboxes(self._event_loop)

    def close(self) -> None:
        """The host wants nothing more: let toolboxes put their things away."""
        if self._toolboxes is not None:
            self._toolboxes.close()

    def handle(self, request: Mapping[str, Any]) -> None:
        match request["op"]:
            case "call":
                self._call(request)
            case "cancel":
                self._cancel(request["id"])
            case "describe":
                self._describe(request["id"])
            case "piece" | "done":
                running = self._running.get(request["id"])
                if running is not None:
                    running.errands.take(request)

    def _describe(self, call_id: str) -> None:
        from toolhost.worker.schema import describe

        try:
            tools = [describe(tool) for tool in self._plugin.tools.values()]
            info = (
                None
                if self._plugin.info is None
                else {str(key): str(value) for key, value in self._plugin.info.items()}
            )
            self._channel.send({"op": "described", "id": call_id, "info": info, "tools": tools})
        except Exception as error:
            traceback.print_exc()
            self._channel.send(
                {"op": "error", "id": call_id, **_failure(error, "The plugin's tools cannot be described")}
            )

    def _call(self, request: Mapping[str, Any]) -> None:
        tool = self._plugin.tools.get(request["tool"])
        call_id = request["id"]
        if tool is None:
            error = {"code": "unknown_tool", "message": "The plugin has no such tool any more.", "recoverable": False}
            self._channel.send({"op": "error", "id": call_id, **error})
            return
        running = _Running(self._channel, call_id, request["max_bytes"], request["config"])
        self._running[call_id] = running
        if tool.is_async:
            self._event_loop().call_soon_threadsafe(self._start, tool, request["arguments"], running)
        else:
            threading.Thread(
                target=lambda: self._answer(running, lambda: self._invoke_here(tool, request["arguments"], running)),
                name=tool.name,
                daemon=True,
            ).start()

    def _start(self, tool: DeclaredTool, arguments: Mapping[str, Any], running: _Running) -> None:
        async def invoke() -> object:
            try:
                if tool.toolbox is not None and self._toolboxes is not None:
                    await self._toolboxes.ready_async(tool.toolbox)
                return await self._invoke(tool, arguments, running)
            except (SystemExit, KeyboardInterrupt) as error:  # asyncio would end the loop, and every other call with it
                raise ToolError(_said(error, "The tool failed"), "tool_raised", False) from error

        running.task = self._event_loop().create_task(invoke())
        running.task.add_done_callback(lambda task: self._answer(running, task.result))

    def _invoke_here(self, tool: DeclaredTool, arguments: Mapping[str, Any], running: _Running) -> Any:
        if tool.toolbox is not None and self._toolboxes is not None:
            self._toolboxes.ready(tool.toolbox)
        return self._invoke(tool, arguments, running)

    def _invoke(self, tool: DeclaredTool, arguments: Mapping[str, Any], running: _Running) -> Any:
        keywords = arguments_for(tool, arguments)
        if tool.context is not None:
            keywords[tool.context] = ToolContext(
                tool.name,
                send=running.send,
                is_cancelled=running.cancelled.is_set,
                secrets=self._secrets,
                errands=running.errands,
                config=running.config,
            )
        return tool.function(**keywords)

    def _answer(self, running: _Running, result: Callable[[], object]) -> None:
        try:
            running.finish(result())
        except BaseException as error:
            running.fail(error)
        finally:
            del self._running[running.call_id]

    def _cancel(self, call_id: str) -> None:
        running = self._running.get(call_id)
        if running is None:
            return
        running.cancelled.set()
        running.errands.end()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(running.cancel_task)

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            import asyncio

            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="event loop", daemon=True).start()
        return self._loop


class _Running:
    """One call that has not been answered."""

    def __init__(self, channel: Channel, call_id: str, max_bytes: int, config: Mapping[str, Any]) -> None:
        self.call_id = call_id
        self.config = config
        self.cancelled = threading.Event()
        self.task: asyncio.Task[object] | None = None
        self.errands = CallErrands(self.send)
        self._channel = channel
        self._max_bytes = max_bytes

    def cancel_task(self) -> None:
        """Cancel an async tool; runs in the event loop."""
        if self.task is not None:
            self.task.cancel()

    def send(self, message: Mapping[str, Any]) -> None:
        self._channel.send({**message, "id": self.call_id})

    def finish(self, result: object) -> None:
        try:
            line = encode({"op": "result", "id": self.call_id, "content": parts(result)})
        except (TypeError, ValueError, RecursionError) as error:
            raise ToolError(f"The result is not JSON: {error}.", "unserialisable_result", False) from error
        if len(line) > self._max_bytes:
            raise ToolError(
                f"The result takes {len(line)} bytes; at most {self._max_bytes} are accepted. Ask for less at once.",
                "result_too_large",
            )
        self.errands.end()
        self._channel.send_line(line)

    def fail(self, error: BaseException) -> None:
        self.errands.end()
        if self.cancelled.is_set():
            self.send({"op": "cancelled"})
            return
        if not isinstance(error, ToolError):
            traceback.print_exception(error.with_traceback(_beyond_ours(error.__traceback__)))
        self.send({"op": "error", **_failure(error, "The tool failed")})


def _failure(error: BaseException, what: str) -> dict[str, Any]:
    if isinstance(error, ToolError):
        message = str(error.message)[:_LONGEST]
        return {"code": str(error.code), "message": message, "recoverable": bool(error.recoverable)}
    if isinstance(error, MemoryError):
        return {"code": "memory_limit", "message": f"{what}: there is not enough memory.", "recoverable": True}
    code = "plugin_error" if isinstance(error, ImportError | SyntaxError) else "tool_raised"
    return {"code": code, "message": _said(error, what), "recoverable": False}


def _said(error: BaseException, what: str) -> str:
    return f"{what}: {type(error).__name__}: {error}"[:_LONGEST]


def _place(error: BaseException) -> str:
    """Where the plugin's own code was when it failed, as ` (file:line)`; nothing where none of it ran.

    Nothing of what a module prints or raises while it is loaded is kept but the message.
    """
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(_beyond_ours(error.__traceback__))]
    folder = os.path.dirname(places[0][0]) + "/" if places else ""  # noqa: PTH120 - pathlib costs a start
    own = [f" ({name.removeprefix(folder)}:{line})" for name, line in places if name.startswith(folder)]
    return own[-1] if own else ""


def _beyond_ours(trace: TracebackType | None) -> TracebackType | None:
    """What of a traceback is the plugin's: the rest of it, past what called it."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace
