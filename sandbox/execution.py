"""A running call: its pipes, its clock, its limits, and how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Literal

from toolhost.sandbox.armed import Armed
from toolhost.sandbox.errors import PlanRefused, limits_refused
from toolhost.sandbox.growth import Growth
from toolhost.sandbox.outcome import Enforcement, LimitReport, Outcome
from toolhost.sandbox.pipes import Feed
from toolhost.sandbox.plan import Limits, SandboxPlan
from toolhost.sandbox.script import Ended
from toolhost.sandbox.watch import Watch
from toolhost.sandbox.watchdog import held_by

__all__ = ["Execution", "OnOutput", "Run", "refuse_weaker"]

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes], None]

_CHUNK = 1 << 16
_SHORT = 0.002  # seconds; a call that takes no longer needs no looking after
_WHOLE_TREE = ("wallclock", "cgroup2", "cgroup1", "tmpfs", "host")


class _Ending:
    """Why a sandbox was killed, if the host killed it, and what that makes of its end."""

    def __init__(self, plan: SandboxPlan, armed: Armed, began: float, *, was_armed: bool) -> None:
        self.plan = plan
        self.armed = armed
        self.reason: str | None = None
        self._began = began
        self._was_armed = was_armed
        self._growth: Growth | None = None

    async def prepare(self) -> None:
        """Do what comes before the call begins: refuse what this host cannot hold, measure what may not grow.

        Raises:
            PlanRefused: `limit_not_enforceable`.
        """
        try:
            refuse_weaker(self.plan, self.armed.group.holds)
            if self.plan.limits.workspace is not None:
                self._growth = await Growth.begin(self.plan.roots, self.plan.limits.workspace)
                self._growth.watch(self.armed.pid, self.kill)
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """Let go of everything that watches the call."""
        if self._growth is not None:
            self._growth.stop()

    def close(self) -> None:
        """Let go of everything, whether the call ended, was cancelled or never began. Safe to call twice."""
        self.stop()
        if self._growth is not None:
            self._growth.close()

    def kill(self, reason: str) -> None:
        """Kill the sandbox; the first reason stands."""
        if self.reason is None:
            self.reason = reason
            self.armed.kill()

    def outcome(
        self,
        said: Ended | None,
        stdout: bytes,
        stderr: bytes,
        limits: Mapping[str, LimitReport],
        violations: tuple[str, ...],
    ) -> Outcome:
        """The outcome, from the reason and what the launcher said."""
        if said is not None and said.refused == "cwd":
            raise PlanRefused(
                "cwd_missing", f"The working folder {self.plan.cwd} is not there.", "Name a folder inside a root."
            )
        if said is not None and said.refused == "limits":
            raise limits_refused()
        status: Literal["exited", "signaled", "timeout", "limit", "cancelled"] = "exited"
        limit: str | None = None
        code: int | None = None
        number: int | None = None
        if self.reason == "wall":
            status = "timeout"
        elif self.reason == "cancelled":
            status = "cancelled"
        elif self.reason is not None:
            status, limit = "limit", self.reason
        elif self.armed.group.out_of_memory():
            status, limit = "limit", "memory"
        elif said is None:
            status, number = "signaled", signal.SIGKILL
        elif self._used_up(said):
            status, limit = "limit", "cpu"
        elif said.signal == signal.SIGXFSZ:
            status, limit = "limit", "file_size"
        elif said.signal is not None:
            status, number = "signaled", said.signal
        else:
            code = said.code
        if status == "timeout":
            limit = "wall"
        return Outcome(
            status=status,
            exit_code=code,
            signal=number,
            stdout=stdout,
            stderr=stderr,
            truncated=limit == "output",
            limit=limit,
            limits=limits,
            armed=self._was_armed,
            violations=violations,
            duration_ms=(time.monotonic() - self._began) * 1000,
        )

    def _used_up(self, said: Ended) -> bool:
        if self.plan.kind == "worker":
            return False
        if said.signal == signal.SIGXCPU:
            return True
        return (said.signal == signal.SIGKILL or said.code == 128 + signal.SIGXCPU) and said.cpu >= self.plan.limits.cpu


def reports(limits: Limits, holds: Mapping[str, Enforcement], *, worker: bool) -> dict[str, LimitReport]:
    """Every limit and what enforces it.

    A worker lives through many calls: its wall clock, CPU time and output are its owner's to limit.

    Args:
        limits: The limits.
        holds: What the call's control group enforces.
        worker: Whether it is a worker.
    """
    by: dict[str, Enforcement] = {
        "wall": "none" if worker else "wallclock",
        "cpu": "none" if worker else holds.get("cpu", "rlimit"),
        "memory": holds.get("memory", "watchdog"),
        "processes": holds.get("processes", "rlimit"),
        "open_files": "rlimit",
        "file_size": "rlimit",
        "output": "none" if worker else "host",
        "scratch": "tmpfs",
        "workspace": "none" if limits.workspace is None else "watchdog",
        "calls": "host",
    }
    return {name: LimitReport(value=getattr(limits, name), enforced_by=how) for name, how in by.items()}


def refuse_weaker(plan: SandboxPlan, holds: Mapping[str, Enforcement]) -> None:
    """Refuse a plan whose policy requires a limit that nothing holds for the whole tree here.

    Raises:
        PlanRefused: `limit_not_enforceable`.
    """
    if not plan.require:
        return
    made = reports(plan.limits, holds, worker=False)
    if plan.kind == "worker":  # it lives through many calls, and nobody counts the CPU time of one
        made["cpu"] = LimitReport(value=None, enforced_by="none")
    for name in plan.require:
        # RLIMIT_NPROC is set inside the sandbox's own user namespace, and counts all of it.
        whole = (*_WHOLE_TREE, "rlimit") if name == "processes" else _WHOLE_TREE
        if made[name].enforced_by not in whole:
            raise PlanRefused(
                "limit_not_enforceable",
                f"The policy requires `{name}` to hold for the whole process tree, and here nothing does that.",
                "Delegate a control group to the host (systemd: Delegate=yes), or take it out of `require`.",
            )


class Run(_Ending):
    """One command, run to its end."""

    def __init__(
        self,
        plan: SandboxPlan,
        armed: Armed,
        began: float,
        stdin: bytes | None,
        on_output: OnOutput | None,
        *,
        was_armed: bool,
    ) -> None:
        super().__init__(plan, armed, began, was_armed=was_armed)
        self._loop = asyncio.get_running_loop()
        self._on_output = on_output
        self._data: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._fds: dict[Stream, int] = {"stdout": armed.pipes.stdout, "stderr": armed.pipes.stderr}
        self._input = stdin
        self._stdin: Feed | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = 0.0
        self._watch: Watch | None = None
        self._listening = False
        self._limits: Mapping[str, LimitReport] = {}

    def fire(self, script: bytes) -> None:
        """Begin the call, and after it all that goes on beside it: the tool does not wait for this."""
        self.armed.fire(script)
        try:
            if self._input is not None:
                self._stdin = Feed(self._loop, self.armed.pipes, self.armed.pipes.stdin, self._input)
            now = self._loop.time()
            self._overdue = now + self.plan.limits.wall
            self._timer = self._loop.call_at(min(now + _SHORT, self._overdue), self._look_after)
            self._limits = reports(self.plan.limits, self.armed.group.holds, worker=False)
        except BaseException:
            self.stop()
            raise

    async def wait(self) -> Outcome:
        """Wait for the end; `close` it then.

        Raises:
            PlanRefused: The working folder is not there, or the system refused a limit.
        """
        try:
            said = await self.armed.finished()
            # All that was written is in the pipes now: no process is left that could write.
            for stream in self._fds:
                while self._read(stream):
                    pass
        finally:
            self.stop()
        if self._growth is not None and self.reason is None and await self._growth.over():
            self.reason = "workspace"  # it was quicker than the watch
        violations = await self.armed.collect()
        return self.outcome(said, bytes(self._data["stdout"]), bytes(self._data["stderr"]), self._limits, violations)

    def stop(self) -> None:
        """Let go of the clock, the watchdog and the pipes."""
        super().stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if self._stdin is not None:
            self._stdin.stop()
            self._stdin = None
        if self._listening:
            self._listening = False
            for fd in self._fds.values():
                self._loop.remove_reader(fd)

    def _look_after(self) -> None:
        """Limit what the call takes, and read what comes as it comes: what a short one writes waits for its end."""
        self._timer = self._loop.call_at(self._overdue, self.kill, "wall")
        self._watch = Watch(self.armed.pid, self.plan.limits, self.armed.group, self.kill, cpu=True)
        self._listening = True
        for stream, fd in self._fds.items():
            self._loop.add_reader(fd, self._read, stream)

    def _read(self, stream: Stream) -> bool:
        """Read one piece; False where there is nothing more to read."""
        fd = self._fds[stream]
        try:
            piece = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        if not piece:
            if self._listening:
                self._loop.remove_reader(fd)
            return False
        held = self._data[stream]
        room = self.plan.limits.output - len(held)
        if len(piece) > room:
            piece = piece[:room]
            if self.reason is None:
                self.kill("output")
        held += piece
        if piece and self._on_output is not None:
            self._on_output(stream, piece)
        return room > 0


class Execution(_Ending):
    """A long-lived sandbox with its three pipes open: a plugin's worker.

    Attributes:
        pid: The sandbox's pid 1, as the host numbers it.
        stdin: `write(bytes)`, `await drain()`, `close()`.
        stdout: What the process writes, with back-pressure: what is not read stays with it.
        stderr: Likewise.
        limits: Every limit and what enforces it.
    """

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    def __init__(
        self, plan: SandboxPlan, armed: Armed, began: float, network: AsyncExitStack, *, was_armed: bool
    ) -> None:
        """Begin it.

        Args:
            plan: What it was made from.
            armed: Its sandbox.
            began: When, by the monotonic clock.
            network: Is closed when it has ended.
            was_armed: Whether its sandbox stood before it was asked for.
        """
        super().__init__(plan, armed, began, was_armed=was_armed)
        self._watch = Watch(armed.pid, plan.limits, armed.group, self.kill, cpu=False)
        self.limits: Mapping[str, LimitReport] = reports(plan.limits, armed.group.holds, worker=True)
        self._end: asyncio.Task[Outcome] | None = None
        self._network = network
        self.pid = armed.pid

    async def open(self) -> None:
        """Connect the pipes."""
        loop = asyncio.get_running_loop()
        pipes = self.armed.pipes
        self.stdout = await _reader(loop, pipes.release(pipes.stdout), self.plan.limits.output)
        self.stderr = await _reader(loop, pipes.release(pipes.stderr), self.plan.limits.output)
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(pipes.release(pipes.stdin), "wb", buffering=0)
        )
        self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
        self._end = loop.create_task(self._supervise())

    @property
    def memory(self) -> int:
        """Bytes that its processes hold now, what they share counted once; files that they read are not in it."""
        return held_by(self.pid)

    def kill(self, reason: str = "cancelled") -> None:
        """Kill every process of the sandbox; `wait` then says `cancelled`."""
        super().kill(reason)

    def stop(self) -> None:
        """Let go of everything that watches it."""
        super().stop()
        self._watch.stop()

    async def wait(self) -> Outcome:
        """Wait for its end; the outcome holds no output. Cancelling the wait kills nothing."""
        if self._end is None:
            raise RuntimeError("the execution was not opened")
        return await asyncio.shield(self._end)

    async def _supervise(self) -> Outcome:
        try:
            said = await self.armed.finished()
        finally:
            self.close()
            self.stdin.close()
            with suppress(Exception):  # a connection that could not be recorded ended the network when it was made
                await self._network.aclose()
            violations = await self.armed.collect()
            await self.armed.destroy()
        return self.outcome(said, b"", b"", self.limits, violations)


async def _reader(loop: asyncio.AbstractEventLoop, fd: int, limit: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader, loop=loop), os.fdopen(fd, "rb", buffering=0)
    )
    return reader
