"""Stopping everything, and letting it run again: what a host does when the switch of `toolhost.panic` is thrown.

The spawners end the sandboxes by themselves. What is left for a host is its own part: the calls and runs that wait, and
saying in the audit log and to whoever asked how it ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from toolhost.errors import MachineError
from toolhost.panic import Panic, PanicSwitch
from toolhost.sandbox.halt import Halt

if TYPE_CHECKING:
    from toolhost.audit import AuditLog
    from toolhost.calls.pipeline import Pipeline
    from toolhost.model import Actor
    from toolhost.pluginhost import PluginRegistry
    from toolhost.sandbox import Sandbox

__all__ = ["Stopping"]

_logger = logging.getLogger(__name__)


class Stopping:
    """Stops and resumes one host.

    Args:
        switch: The switch, which every process of the data directory sees.
        pipeline: Its calls.
        plugins: Its workers.
        sandbox: Its armed sandboxes; None where there are none.
        audit: Where it is written.
    """

    def __init__(
        self,
        switch: PanicSwitch,
        *,
        pipeline: Pipeline,
        plugins: PluginRegistry,
        sandbox: Sandbox | None,
        audit: AuditLog,
    ) -> None:
        self._switch = switch
        self._pipeline = pipeline
        self._plugins = plugins
        self._sandbox = sandbox
        self._audit = audit
        self._listeners: list[Callable[[], Awaitable[None]]] = []
        self._unproven = False

    @property
    def stopped(self) -> Panic | None:
        """The stop that holds, or None."""
        return self._switch.current()

    def on_stop(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Have `listener()` awaited when everything is stopped."""
        self._listeners.append(listener)

    async def begin_stopped(self) -> None:
        """For a server that starts while everything is stopped: its sandbox is proven when it is resumed."""
        self._unproven = True
        self._pipeline.withhold(Halt.refusal())
        await self._withdraw()

    async def panic(self, actor: Actor, reason: str) -> tuple[Panic, int]:
        """Stop everything, here and in every other process. Returns the stop, and how many processes are left.

        Raises:
            UsageError: `reason_invalid`.
            MachineError: `data_not_writable`.
        """
        panic = self._switch.set(actor.username, reason)
        try:
            self._audit.write("security", "panic", panic.as_json(), actor=actor, level="WARNING")
        except MachineError as error:  # a full disk keeps nobody from stopping
            _logger.error("the panic could not be recorded: %s", error.message)
        await self.stop()
        return panic, await asyncio.to_thread(self._switch.wait_until_over)

    async def resume(self, actor: Actor) -> bool:
        """Let calls run again; False where nothing was stopped.

        Raises:
            MachineError: `audit_unavailable`: what cannot be recorded does not happen.
        """
        if self._switch.current() is None:
            return False
        self._audit.write("security", "resumed", {}, actor=actor, level="WARNING")
        return self._switch.clear()

    async def stop(self) -> None:
        """End what this host runs and keeps ready."""
        if self._sandbox is not None:
            self._sandbox.disarm()
        self._plugins.retire_workers()
        await asyncio.gather(self._pipeline.end_calls(), *(listener() for listener in self._listeners))
        await self._withdraw()

    async def _withdraw(self) -> None:
        """Refuse what is still asked: a yes that comes after the stop must not run what was asked before it."""
        try:
            await self._pipeline.withdraw_questions("everything was stopped")
        except Exception:  # a full disk keeps nobody from stopping; nothing is approved either while it is stopped
            _logger.exception("the open questions could not be refused")

    async def start_again(self) -> None:
        """After everything was resumed: prove a sandbox that has not been proven, and look at the plugins again."""
        if self._unproven and self._sandbox is not None:
            # Imported here: a host that was never stopped has no use for it.
            from toolhost.sandbox.selfattack import proven

            problem = await proven(self._sandbox)
            self._pipeline.withhold(problem)
            if problem is not None:
                _logger.error("tools cannot run: %s", problem.message)
        self._unproven = False
        await self._plugins.load()
