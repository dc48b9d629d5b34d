"""The pool: a worker for each plugin and set of roots, as few as possible and never more than allowed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from toolhost.errors import PluginError
from toolhost.model import Tool
from toolhost.pluginhost.record import WorkerReply
from toolhost.pluginhost.worker import OnProgress, Worker
from toolhost.sandbox import Sandbox, SandboxPlan

__all__ = ["MAX_FAILURES", "MAX_WORKERS", "WorkerPool"]

MAX_WORKERS = 16
"""Workers alive at once, for the whole host."""
MAX_FAILURES = 5
"""Failures in a row after which a plugin is quarantined."""
_IDLE = 60.0
"""Seconds after which an unused worker is retired."""
_START = 20.0
"""Seconds a plugin's module may take to load, whatever the call's own limit."""
_BACK_OFF = 0.1
"""Seconds before the restart after the first failure; doubled with each further one."""
_DESCRIPTION = 4 << 20
"""Bytes of a plugin's description of its tools."""

_BLAMELESS = ("worker_closed", "worker_hung", "worker_limit")


@dataclass(slots=True)
class _Health:
    """How a plugin's workers have fared since the last success."""

    failures: int = 0
    not_before: float = 0.0
    last: PluginError | None = None


class WorkerPool:
    """Keeps workers warm.

    Args:
        sandbox: Where they run.
        on_quarantine: Told the plugin's name, a code and the reason, when its workers keep failing.
    """

    def __init__(self, sandbox: Sandbox, on_quarantine: Callable[[str, str, str], None]) -> None:
        self._sandbox = sandbox
        self._on_quarantine = on_quarantine
        self._workers: dict[str, asyncio.Task[Worker]] = {}
        self._retirements: dict[str, asyncio.TimerHandle] = {}
        self._health: dict[str, _Health] = {}
        self._changed = asyncio.Event()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def describe(self, plan: SandboxPlan) -> dict[str, Any]:
        """Start a worker, ask what the plugin declares, and end it.

        Raises:
            PluginError: Where the plugin cannot be loaded or described.
            SandboxError: Where there is no sandbox for it.
        """
        worker = await Worker.start(self._sandbox, plan, _START)
        try:
            return await worker.describe(_START, _DESCRIPTION)
        except TimeoutError:
            raise PluginError(
                "worker_not_ready", f"The plugin did not describe its tools within {_START:g} s."
            ) from None
        finally:
            await worker.close()

    async def call(
        self, tool: Tool, plan: SandboxPlan, arguments: Mapping[str, Any], on_progress: OnProgress | None
    ) -> WorkerReply:
        """Call a tool in the worker of its plan, started if need be.

        Never raises for what the plugin does: every way it can fail is a reply.

        Raises:
            SandboxError: Where there is no sandbox for it.
        """
        deadline = time.monotonic() + plan.limits.wall
        # Everything the sandbox is made of, and nothing of the call: equal plans share a worker.
        shape = replace(plan, tool=tool.plugin, arguments=None)
        key = shape.digest
        health = self._health.setdefault(tool.plugin, _Health())
        armed = key in self._workers
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + plan.limits.wall):
                worker = await self._worker(key, shape, health)
        except TimeoutError:
            return _timeout(plan, "No worker was free")
        except PluginError as error:
            return self._failed(tool.plugin, health, error)
        self._keep(key)
        try:
            reply = await worker.call(
                tool.name.removeprefix(tool.plugin + "."), arguments, deadline - time.monotonic(), on_progress
            )
        except TimeoutError:
            if worker.dead:
                self._count(tool.plugin, health, "it did not stop when it was told to")
            return _timeout(plan, "The tool did not answer")
        except PluginError as error:
            return self._failed(tool.plugin, health, error)
        finally:
            self._release(key, worker)
        health.failures = 0
        return replace(reply, armed=armed)

    async def close(self) -> None:
        """End every worker."""
        self._closed = True
        for handle in self._retirements.values():
            handle.cancel()
        for key in list(self._workers):
            self._end(key)
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _worker(self, key: str, shape: SandboxPlan, health: _Health) -> Worker:
        while True:
            if self._closed:
                raise PluginError("worker_closed", "The host is shutting down.")
            starting = self._workers.get(key)
            if starting is None:
                await asyncio.sleep(max(0.0, health.not_before - time.monotonic()))
                starting = await self._begin(key, shape)
            try:
                worker = await asyncio.shield(starting)
            except BaseException:
                if starting.done() and self._workers.get(key) is starting:
                    self._forget(key)
                raise
            if not worker.dead:
                return worker
            if self._workers.get(key) is starting:
                self._forget(key)

    async def _begin(self, key: str, shape: SandboxPlan) -> asyncio.Task[Worker]:
        while key not in self._workers and len(self._workers) + len(self._ending) >= MAX_WORKERS:
            idle = next(iter(self._retirements), None)
            if idle is not None:
                self._end(idle)
            self._changed.clear()
            await self._changed.wait()
        if key not in self._workers:
            self._workers[key] = asyncio.create_task(Worker.start(self._sandbox, shape, _START))
        return self._workers[key]

    def _keep(self, key: str) -> None:
        handle = self._retirements.pop(key, None)
        if handle is not None:
            handle.cancel()

    def _release(self, key: str, worker: Worker) -> None:
        """After a call: forget a dead worker, and let an idle one retire in a while."""
        if worker.dead:
            self._forget(key)
        elif worker.calls == 0 and not self._closed:
            self._keep(key)
            # Inserted at the end: the first key is always the worker that has been idle the longest.
            self._retirements[key] = asyncio.get_running_loop().call_later(_IDLE, self._end, key)
        self._changed.set()

    def _forget(self, key: str) -> None:
        self._keep(key)
        self._workers.pop(key, None)
        self._changed.set()

    def _end(self, key: str) -> None:
        """End one worker in the background."""
        self._keep(key)
        starting = self._workers.pop(key, None)
        if starting is not None:
            ending = asyncio.create_task(self._finish(starting))
            self._ending.add(ending)
            ending.add_done_callback(self._ended)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._ending.discard(ending)
        self._changed.set()

    async def _finish(self, starting: asyncio.Task[Worker]) -> None:
        if not starting.done():
            starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            worker = await starting
            await worker.close()

    def _failed(self, plugin: str, health: _Health, error: PluginError) -> WorkerReply:
        if error.code == "worker_limit":
            return WorkerReply(status="limit", error=error)
        # Calls that shared a worker get the same error object: it is one failure.
        if error.code not in _BLAMELESS and error is not health.last:
            health.last = error
            self._count(plugin, health, error.message)
        return WorkerReply(status="error", error=error)

    def _count(self, plugin: str, health: _Health, reason: str) -> None:
        health.failures += 1
        health.not_before = time.monotonic() + _BACK_OFF * 2 ** (health.failures - 1)
        if health.failures >= MAX_FAILURES:
            self._on_quarantine(
                plugin, "worker_failing", f"Its worker failed {health.failures} times in a row; the last time: {reason}"
            )


def _timeout(plan: SandboxPlan, what: str) -> WorkerReply:
    error = PluginError(
        "timeout",
        f"{what} within {plan.limits.wall:g} s.",
        "Ask for less at once, or have an administrator raise limits.wall.",
        recoverable=True,
    )
    return WorkerReply(status="timeout", error=error)
