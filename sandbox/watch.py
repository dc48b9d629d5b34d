"""What is looked at while a call runs: its control group, or its processes where no group holds a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from toolhost.sandbox.call_group import CallGroup
from toolhost.sandbox.plan import Limits
from toolhost.sandbox.watchdog import Watchdog

__all__ = ["Watch"]

_EVERY = 0.1  # seconds


class Watch:
    """Watches one sandbox until stopped.

    Args:
        pid: The sandbox's pid 1, as the host numbers it.
        limits: The limits of the call.
        group: Its control group.
        exceeded: Called with the name of a limit that is exceeded.
        cpu: Whether CPU time is limited (a worker lives through many calls).
    """

    def __init__(
        self,
        pid: int,
        limits: Limits,
        group: CallGroup,
        exceeded: Callable[[str], None],
        *,
        cpu: bool,
    ) -> None:
        self._limits = limits
        self._group = group
        self._exceeded = exceeded
        self._cpu = cpu and "cpu" in group.holds
        self._timer: asyncio.TimerHandle | None = None
        self._walk: Watchdog | None = None
        memory = None if "memory" in group.holds else limits.memory
        seconds = limits.cpu if cpu and "cpu" not in group.holds else None
        if memory is not None or seconds is not None:
            self._walk = Watchdog(pid, memory, seconds, exceeded)
        if self._cpu or "memory" in group.holds:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._look)

    def stop(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
        if self._walk is not None:
            self._walk.stop()

    def _look(self) -> None:
        if self._cpu and self._group.cpu_seconds() > self._limits.cpu:
            self._exceeded("cpu")
        elif self._group.out_of_memory():  # v1 kills one process; a call over its limit ends whole
            self._exceeded("memory")
        else:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._look)
