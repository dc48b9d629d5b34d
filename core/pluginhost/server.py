"""One MCP server of a plugin: a sandboxed process of any language, spoken to over its standard input and output.

The SDK's client speaks both eras of the protocol; it is given streams instead of a process, and sees only what the
gate lets through (docs/decisions/0018-mcp-servers-behind-a-gate.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from toolhost.errors import PluginError, ToolHostError
from toolhost.model import Status, Tool
from toolhost.pluginhost.contained import CHUNK, Contained
from toolhost.pluginhost.errands import Errands
from toolhost.pluginhost.pending import OnProgress, Pending
from toolhost.pluginhost.record import WorkerReply
from toolhost.pluginhost.schemas import clean_text
from toolhost.pluginhost.served import MAX_TOOLS
from toolhost.pluginhost.server_gate import Answer, Changed, Forward, Gate, Said
from toolhost.pluginhost.server_results import server_parts, server_refusal
from toolhost.pluginhost.server_streams import Incoming, Outgoing
from toolhost.pluginhost.wire import LineSplitter, error_message
from toolhost.redaction import Redaction
from toolhost.sandbox import Connection, Execution, Sandbox, SandboxPlan
from toolhost.sandbox.plan import NO_SECRETS

if TYPE_CHECKING:
    from mcp import Client
    from mcp.shared.message import SessionMessage

__all__ = ["OnServerConnection", "Server"]

_GRACE = 0.5
"""Seconds a server has to settle a call that was given up, before it is ended: the protocol lets it stay silent."""
_PAGES = 20
_QUEUE = 10_000
"""Messages on their way to a server that does not read."""
_SPENT = ("too_many_connections", "too_much_data")
"""Codes of connections after which a process has no network any more."""

OnServerConnection = Callable[[Connection, tuple[str, ...]], None]
"""Gets each connection when it has ended, and the calls that were in flight then."""


@dataclass(slots=True, kw_only=True)
class _Call(Pending):
    """A call in flight.

    Attributes:
        call_id: Of the call, for records; empty for the host's own questions.
        own: Whether it is a question of the host's.
        request: The number of its request, once that is sent.
    """

    call_id: str = ""
    own: bool = False
    request: int | None = None


class Server(Contained):
    """A running server. Made by `start`, ended by `close`.

    Attributes:
        on_changed: Told when the server says that its tools are others now.
    """

    WHAT = "server"

    def __init__(self, plan: SandboxPlan, execution: Execution, redaction: Redaction) -> None:
        super().__init__(plan, execution, redaction)
        self.on_changed: Callable[[], None] = lambda: None
        self._gate = Gate(self._violation, redaction.value)
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE)
        self._incoming = Incoming()
        self._settled: dict[int, asyncio.Event] = {}
        self._client: Client | None = None
        self._over = asyncio.Event()
        self._speaking = asyncio.create_task(self._speak(), name=f"client {plan.tool}")
        self._writing = asyncio.create_task(self._write(), name=f"to {plan.tool}")

    @classmethod
    async def start(
        cls,
        sandbox: Sandbox,
        plan: SandboxPlan,
        within: float,
        secrets: Mapping[str, bytes] = NO_SECRETS,
        on_connection: OnServerConnection | None = None,
    ) -> Self:
        """Launch a server and wait until it has agreed on a protocol.

        Args:
            sandbox: Where.
            plan: Of kind `worker`.
            within: Seconds.
            secrets: What each secret of the plan holds; nothing that the server says shows them.
            on_connection: Told of each connection of a plan with a network.

        Raises:
            PluginError: `worker_not_ready`, `worker_died`, `worker_limit`, `worker_protocol`.
            SandboxError: Where the plan cannot be carried out.
        """
        # In a thread, because it takes a second and everybody else's calls go on meanwhile.
        await asyncio.to_thread(_import_client)
        redaction = Redaction(secrets.values())
        running: list[Server] = []

        def connection(made: Connection) -> None:
            at_work = running[0].calls_in_flight if running else ()
            if running and made.code in _SPENT:
                running[0].spent = True
            if on_connection is not None:
                on_connection(replace(made, host=redaction.text(made.host)), at_work)

        execution = await sandbox.launch(plan, secrets, connection if on_connection is not None else None)
        server = cls(plan, execution, redaction)
        running.append(server)
        return await server.until_ready(within)

    @property
    def calls(self) -> int:
        """How many calls are in flight; the host's own questions keep no server from being retired."""
        return sum(not call.own for call in self._pending.values() if isinstance(call, _Call))

    @property
    def calls_in_flight(self) -> tuple[str, ...]:
        """The calls that it works at."""
        return tuple(call.call_id for call in self._pending.values() if isinstance(call, _Call) and call.call_id)

    async def describe(self, within: float, max_bytes: int) -> dict[str, Any]:
        """See `Contained.describe`; of each tool only what the gate lets through."""
        from mcp.types import PaginatedRequestParams

        tools: list[dict[str, Any]] = []
        cursor: str | None = None
        with self._call("", None, max_bytes, own=True):
            async with asyncio.timeout(within):
                for _ in range(_PAGES):
                    try:
                        listed = await self._session.list_tools(params=PaginatedRequestParams(cursor=cursor))
                    except Exception as error:
                        raise await self._reason(error, "The server could not list its tools") from None
                    for tool in listed.tools:
                        told = {"title": tool.title, "description": tool.description}
                        tools.append({"name": tool.name, **told, "inputSchema": dict(tool.input_schema)})
                    cursor = listed.next_cursor
                    if cursor is None or len(tools) > MAX_TOOLS:
                        break
        if len(json.dumps(tools)) > max_bytes:
            raise PluginError("invalid_tool", f"Its list of tools takes more than {max_bytes} bytes.")
        return {"info": None, "tools": tools}

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
        status: Status = "error"
        error: PluginError | None = None
        content: tuple[Mapping[str, Any], ...] = ()
        value: Any = None
        with self._call(call_id, on_progress, limit) as pending:
            try:
                async with asyncio.timeout(within):
                    status, content, value, error = await self._answer(tool, arguments, pending, limit)
            except TimeoutError:
                await self._stop(pending, PluginError("worker_hung", "The plugin's server did not answer a call."))
                status, error = "timeout", self._too_slow(within)
            except asyncio.CancelledError:
                # No blame on the server: the protocol does not have it say that it has stopped.
                await self._stop(pending, PluginError("worker_closed", "The plugin's server was ended with a call."))
                raise
            except PluginError as failure:
                status = "limit" if failure.code in ("worker_limit", "result_too_large") else "error"
                error = failure
        return self._reply(pending, status, content, value, error)

    async def _answer(
        self, tool: Tool, arguments: Mapping[str, Any], pending: _Call, limit: int
    ) -> tuple[Status, tuple[Mapping[str, Any], ...], Any, PluginError | None]:
        from mcp.types import CallToolResult

        async def progress(done: float, total: float | None, message: str | None) -> None:
            if pending.on_progress is not None:
                pending.on_progress({"done": done, "total": total, "message": clean_text(message or "", 500)})

        try:
            result = await self._session.call_tool(
                tool.original, dict(arguments), progress_callback=progress, allow_input_required=True
            )
        except Exception as error:
            raise await self._reason(error, "The server refused the call") from None
        if not isinstance(result, CallToolResult):
            raise PluginError(
                "server_asks_back",
                "The server asks for something before it answers, and nobody is asked on a server's behalf.",
                "Put what it needs into the arguments, or into the policy of the plugin.",
            )
        content, value = server_parts(result, limit)
        if result.is_error:
            return "error", content, value, server_refusal(content)
        return "ok", content, value, None

    # -- the client ----------------------------------------------------------------------------------------------------

    @property
    def _session(self) -> Any:
        if self.failure is not None:
            raise self.failure
        assert self._client is not None
        return self._client.session

    @contextlib.contextmanager
    def _call(
        self, call_id: str, on_progress: OnProgress | None, max_bytes: int, *, own: bool = False
    ) -> Iterator[_Call]:
        """A call in flight, found again by the task that makes it."""
        task = asyncio.current_task()
        pending = _Call(
            answer=asyncio.get_running_loop().create_future(),
            on_progress=on_progress,
            max_bytes=max_bytes,
            call_id=call_id,
            own=own,
        )
        self._pending[task] = pending
        try:
            yield pending
        finally:
            del self._pending[task]

    async def _speak(self) -> None:
        """Keep the client for as long as the server lives."""
        from mcp import Client

        try:
            async with Client(self._streams(), cache=None, mode="auto") as client:
                self._client = client
                if not self._ready.done():
                    self._ready.set_result(None)
                await self._over.wait()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._fail(await self._reason(error, "The server and the host could not agree on a protocol"))

    @contextlib.asynccontextmanager
    async def _streams(self) -> AsyncIterator[tuple[Incoming, Outgoing]]:
        yield self._incoming, Outgoing(self._send_message)

    def _send_message(self, item: SessionMessage) -> None:
        message = item.message.model_dump(by_alias=True, mode="json", exclude_unset=True)
        self._gate.sent(message)
        pending = self._pending.get(asyncio.current_task())
        if isinstance(pending, _Call) and isinstance(message.get("id"), int) and "method" in message:
            pending.request = message["id"]
        self._send(message)

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._outgoing.put_nowait(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except asyncio.QueueFull:
            self._violation("does not read what it is sent")

    async def _write(self) -> None:
        while True:
            line = await self._outgoing.get()
            try:
                self._execution.stdin.write(line)
                await self._execution.stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                return  # it is gone, or does not listen any more; whoever waits for an answer has a deadline

    async def _read_stdout(self) -> None:
        splitter = LineSplitter(4 * self.plan.limits.output + (1 << 20))
        try:
            while chunk := await self._execution.stdout.read(CHUNK):
                for line in splitter.feed(chunk):
                    self._take(self._gate.receive(line))
        finally:
            self._incoming.end()

    def _take(self, judged: Forward | Answer | Said | Changed | None) -> None:
        match judged:
            case Forward(message, answers):
                if answers is not None:
                    self._stderr_flow = 0
                    if answers in self._settled:
                        self._settled[answers].set()
                if message:
                    self._incoming.put(message)
            case Answer(message, said):
                self._send(message)
                self._keep_stderr(said.encode())
            case Said(text):
                self._keep_stderr(text.encode(errors="replace"))
            case Changed():
                self.on_changed()

    async def _stop(self, pending: _Call, error: PluginError) -> None:
        """See that a call that was given up has stopped: the client has told the server; if it says nothing, end it."""
        if pending.request is None:
            return
        settled = self._settled[pending.request] = asyncio.Event()
        try:
            async with asyncio.timeout(_GRACE):
                await settled.wait()
        except TimeoutError:
            self._fail(error)
            await self.wait()
        except asyncio.CancelledError:
            self._fail(error)
            raise
        finally:
            del self._settled[pending.request]

    async def _reason(self, error: Exception, what: str) -> PluginError:
        """Why something failed, as it may be shown; the server's own death before all."""
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED

        if isinstance(error, ToolHostError):
            return error if isinstance(error, PluginError) else PluginError(error.code, error.message)
        if isinstance(error, MCPError):
            if error.code == CONNECTION_CLOSED:
                await asyncio.wait((self._ended,), timeout=2)
                if self.failure is not None:
                    return self.failure
            return PluginError("server_error", f"{what}: {error_message(error.message)}", recoverable=True)
        if isinstance(error, ExceptionGroup):
            return await self._reason(error.exceptions[0], what)
        # What the client says of malformed answers quotes them: only its kind is repeated.
        return self._violation(f"gave an answer that is none of the protocol ({type(error).__name__})")

    def _not_ready(self, within: float) -> PluginError:
        said = clean_text(self._stderr).rsplit("\n", 1)[-1]
        more = f" It said: {said}" if said else ""
        return PluginError("worker_not_ready", f"The plugin's server did not answer within {within:g} s.{more}")

    def _waiting(self) -> Iterable[asyncio.Future[Any]]:
        return (self._ready,)

    async def _supervise(self) -> None:
        await super()._supervise()
        self._over.set()
        self._incoming.end()
        self._writing.cancel()
        await asyncio.wait((self._writing, self._speaking), timeout=5)
        self._speaking.cancel()


def _import_client() -> None:
    import mcp  # noqa: F401
