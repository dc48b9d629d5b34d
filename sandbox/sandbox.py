"""The sandbox: a plan goes in, an outcome comes out. The only door to running anything."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolhost.sandbox import bubblewrap, seccomp, spawner
from toolhost.sandbox.armed import Armed, Pipes
from toolhost.sandbox.channel import Channel
from toolhost.sandbox.check import check_plan
from toolhost.sandbox.diagnosis import namespace_refusal
from toolhost.sandbox.errors import SandboxUnavailable
from toolhost.sandbox.execution import Execution, OnOutput, Run
from toolhost.sandbox.mounts import open_root
from toolhost.sandbox.outcome import Outcome
from toolhost.sandbox.plan import Root, SandboxPlan
from toolhost.sandbox.roots import root
from toolhost.sandbox.script import call_script
from toolhost.sandbox.tool_root import ToolRoots

__all__ = ["Sandbox"]

_START = 10.0


class Sandbox:
    """Makes and runs sandboxes. One per process; `start` it before any event loop or thread."""

    def __init__(self, channel: Channel, tool_roots: ToolRoots, launcher: int) -> None:
        self._channel = channel
        self._tool_roots = tool_roots
        self._launcher = launcher
        self._running: set[Armed] = set()
        self._making: dict[str, asyncio.Lock] = {}

    @classmethod
    def start(cls, state: Path) -> Sandbox:
        """Check the machine and fork the spawner.

        Args:
            state: The host's state folder; the tool roots are kept in it.

        Raises:
            SandboxUnavailable: No sandbox can be made here; the hint is the exact fix.
        """
        if os.geteuid() == 0 or os.getuid() == 0:
            raise SandboxUnavailable(
                "runs_as_root",
                "The sandbox refuses to run as root: a flaw in it would be root's.",
                "Start it as the service user (`scripts/run` creates `toolhost` and switches to it).",
            )
        bwrap = bubblewrap.find_bubblewrap()
        seccomp.filter_bytes(network=False)
        tool_roots = ToolRoots(str(state.absolute()))
        launcher = tool_roots.prepare_folder()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            spawner.serve(theirs, bwrap, tool_roots.folder)
        theirs.close()
        try:
            ours.settimeout(_START)
            said: dict[str, Any] = json.loads(ours.recv(1 << 16) or b"{}")
        except OSError:
            said = {}
        if "up" not in said:
            ours.close()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(launcher)
            raise namespace_refusal(*said.get("fatal", (0, "the spawner ended at once")))
        return cls(Channel(ours, pid), tool_roots, launcher)

    async def run(self, plan: SandboxPlan, *, stdin: bytes = b"", on_output: OnOutput | None = None) -> Outcome:
        """Carry out a plan of kind `command`.

        Args:
            plan: What to run.
            stdin: What the process reads on standard input.
            on_output: Called with each piece of output as it comes.

        Raises:
            PlanRefused: The plan names something that is not what it says.
            SandboxUnavailable: No sandbox could be made.
            asyncio.CancelledError: After every process of the call is gone.
        """
        began = time.monotonic()
        script = _script(plan)
        armed = await self._arm(plan)
        try:
            run = Run(plan, armed, began, stdin, on_output, was_armed=False)
            armed.fire(script)
            return await run.wait()
        finally:
            await self._discard(armed)

    async def launch(self, plan: SandboxPlan) -> Execution:
        """Start a plan of kind `worker` and leave it running.

        Raises:
            PlanRefused: The plan names something that is not what it says.
            SandboxUnavailable: No sandbox could be made.
        """
        began = time.monotonic()
        script = _script(plan)
        armed = await self._arm(plan)
        try:
            execution = Execution(plan, armed, began, was_armed=False)
            await execution.open()
            armed.fire(script)
        except BaseException:
            await self._discard(armed)
            raise
        armed.on_dead(lambda: self._running.discard(armed))
        return execution

    async def close(self) -> None:
        """Kill everything and end the spawner. Nothing can be run afterwards."""
        await asyncio.gather(*(armed.destroy() for armed in list(self._running)), return_exceptions=True)
        self._running.clear()
        await self._channel.close()
        if self._launcher >= 0:
            os.close(self._launcher)
            self._launcher = -1

    async def _arm(self, plan: SandboxPlan) -> Armed:
        roots, points, targets = _place_roots((*plan.roots, *_support_below_tmp(plan)))
        tool_root = self._tool_roots.known(plan, points)
        if tool_root is None:
            # One at a time: two calls of the same plan would copy the same files.
            async with self._making.setdefault(plan.tool, asyncio.Lock()):
                tool_root = self._tool_roots.known(plan, points)
                if tool_root is None:
                    tool_root = await asyncio.to_thread(self._tool_roots.make, plan, points)
        # A bubblewrap must not lose its pipes while it sets up (it would die and leave its child hanging), so a call
        # that is cancelled meanwhile waits for these few milliseconds and destroys what then stands.
        making = asyncio.ensure_future(self._stand(tool_root, plan, roots, targets))
        if await _finish(making):
            if not making.exception():
                await self._discard(making.result())
            raise asyncio.CancelledError
        return making.result()

    async def _stand(self, tool_root: str, plan: SandboxPlan, roots: list[dict[str, Any]], targets: list[str]) -> Armed:
        message = {"tool_root": tool_root, "scratch": plan.limits.scratch, "roots": roots}
        pipes = Pipes()
        memory: list[int] = []
        try:
            memory.append(_memory("seccomp", seccomp.filter_bytes(network=bool(plan.network))))
            memory.append(_memory("options", bubblewrap.options(targets)))
            theirs = (
                pipes.stdin_theirs,
                pipes.stdout_theirs,
                pipes.status_theirs,
                pipes.stderr_theirs,
                pipes.ctl_theirs,
            )
            started = await self._channel.launch(message, (*theirs, pipes.json_theirs, *memory, self._launcher))
        except BaseException:
            pipes.close_all()
            raise
        finally:
            for fd in memory:
                os.close(fd)
        pipes.close_theirs()
        armed = Armed(self._channel, pipes, started)
        self._running.add(armed)
        try:
            await armed.stand()
        except BaseException:
            await self._discard(armed)
            raise
        return armed

    async def _discard(self, armed: Armed) -> None:
        """Destroy a sandbox to the end, however often this task is cancelled meanwhile."""
        task = asyncio.ensure_future(armed.destroy())
        cancelled = await _finish(task)
        self._running.discard(armed)
        if cancelled:
            raise asyncio.CancelledError
        task.result()


async def _finish(task: asyncio.Future[Any]) -> bool:
    """Wait for a task although this one is cancelled; True if it was."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


def _script(plan: SandboxPlan) -> bytes:
    check_plan(plan)
    env = {"HOME": "/tmp", "PATH": "/usr/bin:/bin"} | dict(plan.env)  # noqa: S108
    return call_script(plan.argv, plan.cwd, env.items(), plan.limits, cpu=plan.kind == "command")


def _place_roots(roots: tuple[Root, ...]) -> tuple[list[dict[str, Any]], tuple[tuple[str, bool], ...], list[str]]:
    """Verify the roots, and find which stand in which.

    Returns:
        The roots of the launch message; mount points and whether each is a folder; targets bubblewrap mounts.
    """
    message: list[dict[str, Any]] = []
    points: list[tuple[str, bool]] = []
    for each in sorted(roots, key=lambda one: one.target.count("/")):
        fd = open_root(each.source, each.device, each.inode)
        folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        os.close(fd)
        within = None
        for number, outer in reversed(list(enumerate(message))):
            if each.target.startswith(outer["target"] + "/"):
                within = (number, each.target[len(outer["target"]) + 1 :])
                break
        if within is None and not each.target.startswith("/tmp/"):  # noqa: S108
            points.append((each.target, folder))
        message.append(
            {
                "source": each.source,
                "target": each.target,
                "device": each.device,
                "inode": each.inode,
                "writable": each.writable,
                "executable": each.executable,
                "hidden": each.hidden,
                "protected": each.protected,
                "within": within,
            }
        )
    return message, tuple(sorted(points)), [one["target"] for one in message if one["within"] is None]


def _support_below_tmp(plan: SandboxPlan) -> Iterator[Root]:
    """Support that stands under /tmp: the private /tmp hides the tool root's copy, so it is mounted over that."""
    for path in plan.support:
        if path.startswith("/tmp/"):  # noqa: S108
            yield root(path, path, executable=True)


def _memory(name: str, content: bytes) -> int:
    """A memfd holding `content`, at its start. Fresh each time: its offset is shared with whoever reads it."""
    try:
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
    except OSError as error:
        raise SandboxUnavailable(
            "descriptors_exhausted", f"No descriptor can be made: {error.strerror}.", "Raise the limit on open files."
        ) from error
    try:
        if os.write(fd, content) != len(content):
            raise SandboxUnavailable("memory_exhausted", f"The {name} of a sandbox could not be written.", "")
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd
