"""Armed sandboxes: made before the call that uses them, each used once.

    a call of a new shape     finds none, is made one (a cold start), and one more is wanted from now on
    the calls end             what was used is made again, in the background, never while calls are coming in: making a
                              sandbox takes five times the processor time of using one
    a burst                   takes what there is; every call that finds none raises what is wanted by one
    nobody calls              half of what stood unused for a while goes, then half of that, then the last

All shapes together have a bound in number and leave the machine its memory; the shape that was not used for longest
gives way. A sandbox whose policy was changed, or of which a root is not what it was, is never used again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from toolhost.sandbox.armed import Armed
from toolhost.sandbox.errors import SandboxError
from toolhost.sandbox.shape import Shape

__all__ = ["Armament", "Pool"]

_logger = logging.getLogger(__name__)

_QUIET = 0.001  # seconds after the end of a call; the next one of a loop comes sooner
_BURST = 0.05  # seconds: a call that takes longer does not keep sandboxes from being made
_STARVED = 0.1  # seconds of calls without a pause, after which sandboxes are made all the same
_FILLERS = 2  # made at once
_DESCRIPTORS = 10  # of this process, for each
_SPARE = 256 << 20  # bytes of memory that must be free


@dataclass(frozen=True, slots=True, kw_only=True)
class Armament:
    """How many sandboxes stand ready.

    Attributes:
        most: Over all shapes; 0 makes every call a cold one.
        idle: Seconds after which half of what was not used goes.
    """

    most: int = 32
    idle: float = 60.0


@dataclass(slots=True)
class _Line:
    """The sandboxes of one shape."""

    shape: Shape
    parked: list[Armed] = field(default_factory=list)
    wanted: int = 0
    arming: int = 0
    unused: int = 0  # the fewest that stood at any moment since the last look


class Pool:
    """Keeps sandboxes armed.

    Args:
        arm: Makes one.
        discard: Ends one that nobody uses.
        armament: How many.
    """

    def __init__(
        self, arm: Callable[[Shape], Awaitable[Armed]], discard: Callable[[Armed], None], armament: Armament
    ) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._arm = arm
        self._discard = discard
        self._idle = armament.idle
        self._most = min(armament.most, soft // (4 * _DESCRIPTORS))
        self._lines: OrderedDict[str, _Line] = OrderedDict()  # the one used last at the end
        self._arming: set[asyncio.Task[None]] = set()
        self._fresh: dict[int, asyncio.TimerHandle | None] = {}  # calls, and the timers of those that run
        self._calls = 0
        self._busy_since = 0.0
        self._refill_timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None

    def begin(self) -> int:
        """A call begins. Returns what `end` is told."""
        loop = asyncio.get_running_loop()
        self._calls += 1
        if not self._fresh and self._refill_timer is None:
            self._busy_since = loop.time()
        self._fresh[self._calls] = None
        return self._calls

    def runs(self, call: int) -> None:
        """It runs."""
        self._fresh[call] = asyncio.get_running_loop().call_later(_BURST, self.end, call)

    def end(self, call: int) -> None:
        """It has ended, or has been running for a while."""
        timer = self._fresh.pop(call, None)
        if timer is not None:
            timer.cancel()
        self._refill_soon()

    def take(self, shape: Shape) -> Armed | None:
        """An armed sandbox of a shape, now the caller's; None where there is none. Either is taken as demand."""
        if self._most <= 0:
            return None
        key = shape.key
        line = self._lines.get(key)
        if line is None:
            self.drop(lambda old: old.owner == shape.owner and old.policy_digest != shape.policy_digest)
            line = self._lines[key] = _Line(shape)
            if self._look_timer is None:
                self._look_timer = asyncio.get_running_loop().call_later(self._idle, self._look)
        self._lines.move_to_end(key)
        while line.parked:
            armed = line.parked.pop()
            line.unused = min(line.unused, len(line.parked))
            if armed.alive and armed.stands:
                return armed
            self._discard(armed)
        line.wanted = min(line.wanted + 1, self._most)
        return None

    def drop(self, which: Callable[[Shape], bool] = lambda shape: True) -> None:
        """End the sandboxes of some shapes, or of all; the next call of each is a cold one."""
        for key, line in list(self._lines.items()):
            if which(line.shape):
                self._empty(key, line)

    async def close(self) -> None:
        """Arm no more, and wait for those that are being made."""
        self._most = 0
        for timer in (self._refill_timer, self._look_timer, *self._fresh.values()):
            if timer is not None:
                timer.cancel()
        self.drop()
        await asyncio.gather(*self._arming, return_exceptions=True)

    @property
    def standing(self) -> int:
        """How many sandboxes stand and wait for a call."""
        return sum(len(line.parked) for line in self._lines.values())

    async def settled(self) -> int:
        """Wait until as many stand as are wanted. Returns how many that are."""
        # Three causes, and nothing but tests and benchmarks waits: asking now and then beats an event for each.
        while self._arming or self._refill_timer is not None or self._fresh:  # noqa: ASYNC110
            await asyncio.sleep(_QUIET)
        return self.standing

    # -- making ------------------------------------------------------------------------------------------------------

    def _refill_soon(self) -> None:
        if self._refill_timer is None and self._most and self._neediest() is not None:
            self._refill_timer = asyncio.get_running_loop().call_later(_QUIET, self._refill)

    def _refill(self) -> None:
        self._refill_timer = None
        starved = asyncio.get_running_loop().time() - self._busy_since > _STARVED
        if self._fresh and not starved:
            return  # the end of these calls comes here again
        while len(self._arming) < (1 if self._fresh else _FILLERS) and (line := self._neediest()) is not None:
            if not self._make_room(line):
                return
            line.arming += 1
            task = asyncio.ensure_future(self._add(line))
            self._arming.add(task)
            task.add_done_callback(self._added)

    def _neediest(self) -> _Line | None:
        """The shape used last of those that have fewer than are wanted."""
        for line in reversed(self._lines.values()):
            if len(line.parked) + line.arming < line.wanted:
                return line
        return None

    def _make_room(self, line: _Line) -> bool:
        if _free_memory() < _SPARE:
            self.drop()
            return False
        if sum(len(one.parked) + one.arming for one in self._lines.values()) < self._most:
            return True
        oldest = next((one for one in self._lines.values() if one is not line and one.parked), None)
        if oldest is None:
            line.wanted = len(line.parked) + line.arming
            return False
        oldest.wanted = len(oldest.parked) - 1
        self._trim(oldest)
        return True

    async def _add(self, line: _Line) -> None:
        try:
            armed = await self._arm(line.shape)
        except SandboxError as error:
            # The next call of this shape meets the same, and says so.
            _logger.debug("no sandbox could be armed: %s", error.message)
            line.wanted = 0
            return
        finally:
            line.arming -= 1
        line.parked.append(armed)
        armed.on_dead(lambda: self._lost(line, armed))
        self._trim(line)

    def _added(self, task: asyncio.Task[None]) -> None:
        self._arming.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("arming a sandbox failed", exc_info=task.exception())
        elif self._most:
            self._refill()

    def _lost(self, line: _Line, armed: Armed) -> None:
        """One has ended although nobody used it."""
        if armed in line.parked:
            line.parked.remove(armed)
            self._discard(armed)

    # -- letting go --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._look_timer = None
        for key, line in list(self._lines.items()):
            line.wanted -= (line.unused + 1) // 2
            self._trim(line)
            line.unused = len(line.parked)
            if line.wanted <= 0 or not _stands(line.shape):
                self._empty(key, line)
        if self._lines:
            self._look_timer = asyncio.get_running_loop().call_later(self._idle, self._look)

    def _empty(self, key: str, line: _Line) -> None:
        del self._lines[key]
        line.wanted = 0
        self._trim(line)

    def _trim(self, line: _Line) -> None:
        while len(line.parked) > max(line.wanted, 0):
            self._discard(line.parked.pop(0))


def _stands(shape: Shape) -> bool:
    """Whether every root is still where it was."""
    for root in shape.places.roots:
        try:
            facts = os.stat(root["source"], follow_symlinks=False)
        except OSError:
            return False
        if (facts.st_dev, facts.st_ino) != (root["device"], root["inode"]):
            return False
    return True


def _free_memory() -> int:
    """Bytes that could be used without swapping."""
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file:
                if line.startswith(b"MemAvailable:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return _SPARE
