"""What every long-lived sandbox of a plugin shares, whatever is spoken with it: how it ends, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Self

from toolhost.errors import PluginError
from toolhost.model import Status, Tool
from toolhost.pluginhost.errands import Errands
from toolhost.pluginhost.pending import OnProgress, Pending
from toolhost.pluginhost.record import WorkerReply
from toolhost.pluginhost.schemas import clean_text
from toolhost.pluginhost.wire import whole_text
from toolhost.redaction import Redaction
from toolhost.sandbox import Execution, LimitReport, Outcome, SandboxError, SandboxPlan

__all__ = ["CHUNK", "Contained", "owned_limits"]

CHUNK = 64 << 10
"""Bytes that are read at once."""

_STDERR_FLOOD = 64 << 20
"""Bytes of standard error between two calls' ends that no plugin needs."""
_TAIL = 2_000
"""Characters of standard error that explain a death."""


def owned_limits(plan: SandboxPlan) -> Mapping[str, LimitReport]:
    """The limits of a worker that the sandbox leaves to its owner: time and output of each call."""
    return {
        "wall": LimitReport(value=plan.limits.wall, enforced_by="wallclock"),
        "output": LimitReport(value=plan.limits.output, enforced_by="host"),
    }


class Contained(ABC):
    """A running process of a plugin, usable until it has a `failure`.

    Attributes:
        plan: What its sandbox was made from.
        failure: Why it can take no more calls, or None.
        spent: Whether it has used up what it had for all its calls, so that the next one needs another.
    """

    WHAT = "worker"
    """What it is called in sentences."""

    def __init__(self, plan: SandboxPlan, execution: Execution, redaction: Redaction) -> None:
        self.plan = plan
        self.failure: PluginError | None = None
        self.spent = False
        self._redaction = redaction
        self._execution = execution
        self._pending: dict[Any, Pending] = {}
        self._ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._stderr = ""
        self._stderr_flow = 0
        self._ended: asyncio.Task[None] = asyncio.create_task(self._supervise(), name=f"{self.WHAT} {plan.tool}")

    async def until_ready(self, within: float) -> Self:
        """Wait until it can take calls.

        Args:
            within: Seconds.

        Raises:
            PluginError: `worker_not_ready`, or why it never will be; it is gone then.
        """
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(self._ready)
        except TimeoutError:
            await self.close()
            raise self._not_ready(within) from None
        except BaseException:
            await self.close()
            raise
        return self

    @property
    def calls(self) -> int:
        """How many calls are in flight."""
        return len(self._pending)

    @property
    def memory(self) -> int:
        """Bytes that all of its processes hold now."""
        return self._execution.memory

    async def close(self) -> None:
        """Kill it; returns when it is gone."""
        self._fail(PluginError("worker_closed", f"The plugin's {self.WHAT} was ended by the host."))
        await asyncio.shield(self._ended)

    async def wait(self) -> None:
        """Return when it is gone."""
        await asyncio.shield(self._ended)

    @abstractmethod
    async def describe(self, within: float, max_bytes: int) -> dict[str, Any]:
        """What the plugin declares: `info` and `tools`, unchecked.

        Raises:
            PluginError: Where it does not say so properly.
            TimeoutError: Where it takes longer than so many seconds.
        """

    @abstractmethod
    async def call(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        within: float,
        on_progress: OnProgress | None,
        errands: Errands | None = None,
        call_id: str = "",
    ) -> WorkerReply:
        """Call one tool.

        Args:
            tool: One of the plugin's.
            arguments: Validated, paths as they stand inside.
            within: Seconds.
            on_progress: Told how far the tool says it is.
            errands: Runs what the tool asks the host for.
            call_id: Of the call.

        Returns:
            The reply, whatever happened. `failure` says whether it lives on.

        Raises:
            asyncio.CancelledError: When the tool has stopped, or everything is dead.
        """

    @abstractmethod
    async def _read_stdout(self) -> None:
        """Take all that it writes, until it writes no more.

        Raises:
            PluginError: Why it has to go.
        """

    @abstractmethod
    def _not_ready(self, within: float) -> PluginError:
        """Why it is given up after so many seconds."""

    def _waiting(self) -> Iterable[asyncio.Future[Any]]:
        """Everything that somebody waits for, and that never comes once it is gone."""
        return (self._ready, *(pending.answer for pending in self._pending.values()))

    def _reply(
        self,
        pending: Pending,
        status: Status,
        content: tuple[Mapping[str, Any], ...],
        value: Any,
        error: PluginError | None,
    ) -> WorkerReply:
        """What came of a call, with what was said of it meanwhile."""
        return WorkerReply(
            status=status,
            content=content,
            value=value,
            error=error,
            stderr=whole_text("".join(pending.log)),
            truncated=pending.truncated,
            limits={**self._execution.limits, **owned_limits(self.plan)},
        )

    @staticmethod
    def _too_slow(within: float) -> PluginError:
        return PluginError(
            "timeout",
            f"The tool did not answer within {within:g} s.",
            "Ask for less at once, or have an administrator raise limits.wall.",
            recoverable=True,
        )

    async def _supervise(self) -> None:
        """Read everything it writes, until it is gone; then fail what it has not answered."""
        stdout = asyncio.create_task(self._take_stdout())
        stderr = asyncio.create_task(self._read_stderr())
        try:
            end = self._death(await self._execution.wait())
        except SandboxError as error:  # the working folder is gone, or the system refused a limit
            end = PluginError(error.code, error.message, error.hint)
        for reader in (stdout, stderr):
            # Its pipes close with the sandbox; a reader that has not seen that by now will not.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await reader
        self._fail(end)
        assert self.failure is not None
        for future in self._waiting():
            if not future.done():
                future.set_exception(self.failure)
                future.exception()  # whoever waits gets it; nobody waiting is no mistake

    def _death(self, outcome: Outcome) -> PluginError:
        if outcome.status == "limit":
            return PluginError("worker_limit", f"The plugin's {self.WHAT} was over its limit of {outcome.limit}.")
        how = f"with signal {outcome.signal}" if outcome.signal is not None else f"with status {outcome.exit_code}"
        said = clean_text(self._stderr).rsplit("\n", 1)[-1]
        return PluginError(
            "worker_died", f"The plugin's {self.WHAT} ended {how}." + (f" It said: {said}" if said else "")
        )

    def _fail(self, error: PluginError) -> None:
        """The first failure is the reason; it ends everything."""
        if self.failure is None:
            self.failure = error
            self._execution.kill()

    def _violation(self, what: str) -> PluginError:
        error = PluginError("worker_protocol", f"The plugin's {self.WHAT} {what}.")
        self._fail(error)
        return error

    async def _take_stdout(self) -> None:
        try:
            await self._read_stdout()
        except PluginError as error:
            self._fail(error)
        except (RecursionError, ValueError):  # what JSON's reader still took and others do not
            self._violation("sent a message that is nested too deeply, or none of its kind")

    async def _read_stderr(self) -> None:
        told = self._redaction.stream()
        while chunk := await self._execution.stderr.read(CHUNK):
            self._stderr_flow += len(chunk)
            if self._stderr_flow > _STDERR_FLOOD:
                self._violation("flooded its standard error")
                return
            self._keep_stderr(told.feed(chunk))
        self._keep_stderr(told.end())

    def _keep_stderr(self, data: bytes) -> None:
        text = data.decode(errors="replace")
        self._stderr = (self._stderr + text)[-_TAIL:]
        # With several calls in flight nobody knows whose it is, and one person's output is not another's.
        if len(self._pending) == 1:
            next(iter(self._pending.values())).add_log(text)
