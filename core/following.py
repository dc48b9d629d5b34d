"""Following the policies folder while the host runs.

    a file changed          the folder is read in a thread, and what is good of it is put in force in one step
    it is being written     what was in force stays, and it is read again until nobody writes it any more
    it cannot be used       what was in force stays; the log, the audit log, the admin page and `doctor` say why
    lock.toml changed       the plugins are loaded again

The watcher only says *when* to look, and it can miss something: that a writer has closed a file, that the folder was
replaced by another. So the folder is looked at every two seconds all the same, which costs a `stat` for each file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import awatch

from toolhost.errors import MachineError
from toolhost.pluginhost.lock import LOCK
from toolhost.policy.in_force import IN_FORCE, keep
from toolhost.policy.patience import is_settled

if TYPE_CHECKING:
    from toolhost.audit import AuditLog
    from toolhost.pluginhost import PluginRegistry
    from toolhost.policy import Policy, PolicySet, PolicyStore
    from toolhost.policy.problems import Problem
    from toolhost.sandbox import Sandbox

__all__ = ["Follower", "let_go"]

_logger = logging.getLogger(__name__)

_LOOK = 2.0
"""Seconds after which the folder is looked at although nothing was said of it."""
_DEBOUNCE_MS = 200  # changes that come this close together are one
_STEP_MS = 20
_AGAIN = 0.05  # seconds before a file that is being written is read again; doubled up to `_LOOK`


class Follower:
    """Keeps what is in force what the files say. One per server.

    Attributes:
        failing: Whether the folder could not be looked at, the last time.
    """

    def __init__(
        self,
        policies: PolicyStore,
        *,
        plugins: PluginRegistry,
        sandbox: Sandbox | None,
        audit: AuditLog,
        state: Path,
        on_change: Callable[[], Awaitable[None]],
    ) -> None:
        """Prepare to follow.

        Args:
            policies: What is kept up to date.
            plugins: Loaded again when their lock changes.
            sandbox: What it has ready is let go when a policy changes.
            audit: Where changes are recorded.
            state: The state folder, where `toolhost doctor` finds what is in force.
            on_change: Called when other policies have been put in force.
        """
        self._policies = policies
        self._plugins = plugins
        self._sandbox = sandbox
        self._audit = audit
        self._state = state
        self._on_change = on_change
        self._told: tuple[Problem, ...] = ()
        self._kept: PolicySet | None = None
        self._lock = _facts(policies.folder / LOCK)
        self.failing = False

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the folder in the meantime."""
        task = asyncio.create_task(self._follow(), name="policies")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        while True:
            try:
                await self._look()
                await self._watch()
            except Exception:
                if not self.failing:
                    _logger.exception("the policies folder cannot be followed; it is tried again and again")
                self.failing = True
            # Whatever is wrong with the folder or the watcher: looking goes on, at the same pace.
            await asyncio.sleep(_LOOK)

    async def _watch(self) -> None:
        """Look whenever something changes, for as long as the watcher works."""
        changes = awatch(
            self._policies.folder,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=int(_LOOK * 1000),
            yield_on_timeout=True,
            recursive=False,
        )
        async with aclosing(changes):
            async for _ in changes:
                await self._look()
                self.failing = False

    async def _look(self) -> None:
        """Read the folder until nobody writes in it any more, each time with what is good of it put in force."""
        await self._look_at_lock()
        pause = _AGAIN
        while True:
            gone = self._put(policies := await asyncio.to_thread(self._policies.read))
            if gone is not None:
                await asyncio.to_thread(let_go, gone)
                await self._plugins.follow_policies()
                await self._on_change()
            if all(map(is_settled, policies.problems)) or pause >= _LOOK:
                break
            await asyncio.sleep(pause)
            pause *= 2
        self._tell_problems(policies)
        self._keep(policies)

    async def _look_at_lock(self) -> None:
        """Load the plugins again where somebody accepted one; what they declare is what `[config]` is checked by."""
        lock = _facts(self._policies.folder / LOCK)
        if lock != self._lock:
            await self._plugins.load()
            self._policies.declared = self._plugins.settings
            self._lock = lock

    def _put(self, policies: PolicySet) -> list[Policy] | None:
        """Put policies in force: every call from here on is judged by them.

        Returns:
            Those that are not in force any more; None where nothing changed.
        """
        before, self._policies.current = self._policies.current, policies
        names = sorted({*before.policies, *policies.policies})
        changed = [name for name in names if not policies.agrees(before, name)]
        if not changed and policies.host is before.host:
            return None
        if self._sandbox is not None:
            self._sandbox.disarm()
        self._plugins.retire_workers()
        digests = {name: policies.digest(name) if policies.policy(name) else None for name in changed}
        _logger.info("policies reloaded: %s", ", ".join(changed) or "host.toml")
        self._record("policy.reloaded", {"host": policies.host is not before.host, "policies": digests})
        return [before.policies[name] for name in changed if name in before.policies]

    def _tell_problems(self, policies: PolicySet) -> None:
        """Say what is wrong, once for each change."""
        fresh = [problem for problem in policies.problems if problem not in self._told]
        self._told = policies.problems
        for problem in fresh:
            _logger.error("policy not usable: %s", problem)
        if fresh:
            self._record("policy.rejected", {"problems": [str(problem) for problem in fresh]}, failed=True)

    def _keep(self, policies: PolicySet) -> None:
        """Write down what is in force, where that is not what was written last."""
        before, self._kept = self._kept, policies
        if before is None or (before.host_file, before.files) != (policies.host_file, policies.files):
            try:
                keep(self._state / IN_FORCE, policies)
            except OSError as error:
                _logger.error("what is in force could not be written down for `toolhost doctor`: %s", error)

    def _record(self, event: str, details: dict[str, object], *, failed: bool = False) -> None:
        """Record it if that is possible: a policy that takes something away must not wait for a disk with space."""
        try:
            self._audit.write("security", event, details, level="WARNING" if failed else "INFO")
        except MachineError as error:
            _logger.error("%s could not be recorded: %s", event, error.message)


def let_go(policies: list[Policy]) -> None:
    """Give back the memory of policies, one at a time: that of thousands of rules at once would stop every thread."""
    while policies:
        policies.pop()
        time.sleep(0.0005)


def _facts(path: Path) -> tuple[int, ...] | None:
    """What is another where a file was replaced or written."""
    try:
        facts = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
