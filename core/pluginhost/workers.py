"""The pool: a worker for each plugin and set of roots, as few as possible and never more than allowed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from toolhost.errors import PluginError
from toolhost.model import Actor, Call
from toolhost.pluginhost.contained import Contained
from toolhost.pluginhost.errands import Errands
from toolhost.pluginhost.pending import OnProgress
from toolhost.pluginhost.record import WorkerReply
from toolhost.sandbox import SandboxPlan
from toolhost.sandbox.masks import masked_facts
from toolhost.sandbox.mounted import mounted_in
from toolhost.sandbox.plan import NO_SECRETS

__all__ = ["DESCRIPTION_BYTES", "MAX_FAILURES", "MAX_WORKERS", "START_SECONDS", "Idle", "Start", "WorkerPool"]

Start = Callable[[SandboxPlan, Mapping[str, bytes]], Awaitable[Contained]]
"""Starts what a plan is of, with what each of its secrets holds."""


MAX_WORKERS = 16
"""Workers alive at once, for the whole host."""
MAX_FAILURES = 5
"""Failures in a row after which a plugin is quarantined."""
_FIRST_LOOK, _LOOK = 0.5, 5.0
"""Seconds until what an idle worker holds is looked at, and between two further looks: not while a call waits."""
START_SECONDS = 20.0
"""Seconds a plugin's module may take to load, whatever the call's own limit."""
_BACK_OFF = 0.1
"""Seconds before the restart after the first failure; doubled with each further one."""
DESCRIPTION_BYTES = 4 << 20
"""Bytes of a plugin's description of its tools."""

# Ends that say nothing against a plugin: the host's own, and what one call asked too much of.
_BLAMELESS = ("worker_closed", "worker_limit", "worker_hung", "plugin_drifted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """How long and how large a worker may be that nobody uses.

    Attributes:
        seconds: After so many it is retired.
        memory: Bytes that it may hold meanwhile; one that holds more is retired at once.
    """

    seconds: float = 60.0
    memory: int = 128 << 20


@dataclass(slots=True)
class _Health:
    """How a plugin's workers have fared since the last success."""

    failures: int = 0
    not_before: float = 0.0
    last: PluginError | None = None


class WorkerPool:
    """Keeps workers warm.

    Args:
        start: Starts a plugin's worker or server.
        on_quarantine: Told the plugin's name, a code and the reason, when its workers keep failing.
        idle: What workers may be that nobody uses.
    """

    def __init__(self, start: Start, on_quarantine: Callable[[str, str, str], None], idle: Idle) -> None:
        self._start_one = start
        self._idle = idle
        self._on_quarantine = on_quarantine
        self._workers: dict[str, asyncio.Task[Contained]] = {}
        self._served: WeakKeyDictionary[asyncio.Task[Contained], Actor] = WeakKeyDictionary()
        self._retirements: dict[str, asyncio.TimerHandle] = {}
        self._health: dict[str, _Health] = {}
        self._changed = asyncio.Event()
        self._ending: set[asyncio.Task[None]] = set()
        self._outdated: WeakSet[asyncio.Task[Contained]] = WeakSet()
        self._closed = False
        self._salt = os.urandom(32)

    async def describe(self, starting: Awaitable[Contained]) -> dict[str, Any]:
        """Wait for a worker, ask what the plugin declares, and end it.

        Args:
            starting: Starts it.

        Raises:
            PluginError: Where the plugin cannot be loaded or described.
            SandboxError: Where there is no sandbox for it.
        """
        worker = await starting
        try:
            return await worker.describe(START_SECONDS, DESCRIPTION_BYTES)
        except TimeoutError:
            raise PluginError(
                "worker_not_ready", f"The plugin did not describe its tools within {START_SECONDS:g} s."
            ) from None
        finally:
            await worker.close()

    async def call(
        self,
        call: Call,
        plan: SandboxPlan,
        arguments: Mapping[str, Any],
        before_start: Callable[[], None] | None,
        on_progress: OnProgress | None,
        secrets: Mapping[str, bytes] = NO_SECRETS,
        errands: Errands | None = None,
    ) -> WorkerReply:
        """Call a tool in the worker of its plan, started if need be.

        Never raises for what the plugin does: every way it can fail is a reply. What `before_start` raises, when the
        worker stands, is raised here.

        Raises:
            SandboxError: Where there is no sandbox for it.
        """
        tool = call.tool
        # Everything the sandbox is made of, and nothing of the call: equal plans share a worker, as long as what is
        # masked in it is still what was masked, and what is mounted in its roots what was mounted.
        shape = replace(plan, tool=tool.plugin, arguments=None)
        mounted = mounted_in(*((root.source, root.writable) for root in shape.roots))
        key = f"{shape.digest} {masked_facts(shape.roots)} {mounted} {self._version(secrets)}"
        health = self._health.setdefault(tool.plugin, _Health())
        armed = key in self._workers
        try:
            # The call's own time begins when its worker stands.
            async with asyncio.timeout(plan.limits.wall + START_SECONDS):
                worker = await self._worker(key, shape, health, secrets)
        except TimeoutError:
            busy = "All workers of the host are busy."
            error = PluginError("workers_busy", busy, "Try again in a while.", recoverable=True)
            return WorkerReply(status="error", error=error)
        except PluginError as error:
            self._blame(tool.plugin, health, error)
            return WorkerReply(status="limit" if error.code == "worker_limit" else "error", error=error)
        self._keep(key)
        if (starting := self._workers.get(key)) is not None:
            self._served[starting] = call.actor
        try:
            if before_start is not None:
                before_start()
            reply = await worker.call(tool, arguments, plan.limits.wall, on_progress, errands, call.id)
        finally:
            self._release(key, worker)
        if worker.failure is None:
            health.failures = 0
        else:
            self._blame(tool.plugin, health, worker.failure)
        return replace(reply, armed=armed)

    @property
    def count(self) -> int:
        """How many workers there are, those that begin or end included."""
        return len(self._workers) + len(self._ending)

    @property
    def served(self) -> set[Actor]:
        """Whom the workers that there are worked for last."""
        return {self._served[starting] for starting in self._workers.values() if starting in self._served}

    def retire(self, last: Collection[Actor] | None = None) -> None:
        """End the workers that are idle; the others when they have nothing to do any more.

        Args:
            last: Only workers that worked for one of these last.
        """
        for key, starting in list(self._workers.items()):
            if last is None or self._served.get(starting) in last:
                self._outdated.add(starting)
                if key in self._retirements:
                    self._end(key)

    async def close(self) -> None:
        """End every worker."""
        self._closed = True
        for handle in self._retirements.values():
            handle.cancel()
        for key in list(self._workers):
            self._end(key)
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _worker(self, key: str, shape: SandboxPlan, health: _Health, secrets: Mapping[str, bytes]) -> Contained:
        while True:
            if self._closed:
                raise _shutting_down()
            starting = self._workers.get(key)
            if starting is None:
                await asyncio.sleep(max(0.0, health.not_before - time.monotonic()))
                starting = await self._begin(key, shape, secrets)
            try:
                worker = await asyncio.shield(starting)
                if worker.failure is None:
                    return worker
            finally:
                if starting.done() and _standing(starting) is None:
                    self._forget(key, starting)

    async def _begin(self, key: str, shape: SandboxPlan, secrets: Mapping[str, bytes]) -> asyncio.Task[Contained]:
        while key not in self._workers and len(self._workers) + len(self._ending) >= MAX_WORKERS:
            idle = next(iter(self._retirements), None)
            if idle is not None:
                self._end(idle)
            self._changed.clear()
            await self._changed.wait()
        if self._closed:
            raise _shutting_down()
        if key not in self._workers:
            self._workers[key] = asyncio.create_task(self._start(shape, secrets))
            # Whoever asked for it may have given up by the time it stands.
            asyncio.get_running_loop().call_later(
                START_SECONDS + self._idle.seconds, self._end_unused, key, self._workers[key]
            )
        return self._workers[key]

    async def _start(self, shape: SandboxPlan, secrets: Mapping[str, bytes]) -> Contained:
        return await self._start_one(shape, secrets)

    def _version(self, secrets: Mapping[str, bytes]) -> str:
        """Tells secrets from what they were before: a worker that was given others is not used again."""
        if not secrets:
            return ""
        told = hashlib.blake2b(key=self._salt)
        for name, value in sorted(secrets.items()):
            told.update(f"{name} {len(value)} ".encode() + value)
        return told.hexdigest()

    def _keep(self, key: str) -> None:
        handle = self._retirements.pop(key, None)
        if handle is not None:
            handle.cancel()

    def _release(self, key: str, worker: Contained) -> None:
        """After a call: forget a dead worker, and let an idle one retire in a while."""
        starting = self._workers.get(key)
        if starting is not None and starting.done() and _standing(starting) is None:
            self._forget(key, starting)
        elif worker.failure is None and worker.calls == 0 and not self._closed:
            self._keep(key)
            # Inserted at the end: the first key is always the worker that has been idle the longest. One from which
            # something is hidden does not wait: it would see what somebody puts there meanwhile. Nor does one with
            # secrets: they are for calls alone.
            hiding = any(root.hidden for root in worker.plan.roots)
            gone = starting in self._outdated or hiding or worker.plan.secrets or worker.spent
            self._retire_in(0.0 if gone else self._idle.seconds, key, worker)
        self._changed.set()

    def _retire_in(self, seconds: float, key: str, worker: Contained, look: float = _FIRST_LOOK) -> None:
        """Retire an idle worker after a while, or as soon as it is seen to hold too much."""
        again = min(seconds, look)
        later = asyncio.get_running_loop().call_later(again, self._look, seconds - again, key, worker)
        self._retirements[key] = later

    def _look(self, seconds: float, key: str, worker: Contained) -> None:
        if seconds <= 0 or worker.memory > self._idle.memory:
            self._end(key)
        else:
            self._retire_in(seconds, key, worker, _LOOK)

    def _forget(self, key: str, starting: asyncio.Task[Contained]) -> None:
        """Make way for a new worker, unless somebody has already."""
        if self._workers.get(key) is starting:
            self._keep(key)
            del self._workers[key]
        self._changed.set()

    def _end_unused(self, key: str, starting: asyncio.Task[Contained]) -> None:
        worker = _standing(starting)
        if self._workers.get(key) is starting and key not in self._retirements and worker and worker.calls == 0:
            self._end(key)

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

    async def _finish(self, starting: asyncio.Task[Contained]) -> None:
        if not starting.done():
            starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            worker = await starting
            await worker.close()

    def _blame(self, plugin: str, health: _Health, failure: PluginError) -> None:
        """Count a worker's failure against its plugin: once, however many calls it took with it."""
        if failure.code in _BLAMELESS or failure is health.last:
            return
        health.last = failure
        health.failures += 1
        health.not_before = time.monotonic() + _BACK_OFF * 2 ** (health.failures - 1)
        if health.failures >= MAX_FAILURES:
            for key, starting in list(self._workers.items()):
                worker = _standing(starting)
                if worker is not None and worker.plan.tool == plugin:
                    self._end(key)
            self._on_quarantine(
                plugin,
                "worker_failing",
                f"Its worker failed {health.failures} times in a row; the last time: {failure.message}",
            )


def _standing(starting: asyncio.Task[Contained]) -> Contained | None:
    """The worker that a start has led to, while it can take calls."""
    if not starting.done() or starting.cancelled() or starting.exception() is not None:
        return None
    worker = starting.result()
    return worker if worker.failure is None else None


def _shutting_down() -> PluginError:
    return PluginError("worker_closed", "The host is shutting down.")
