"""Making sandboxes stand, and letting go of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from toolhost.sandbox import bubblewrap, seccomp
from toolhost.sandbox.armed import Armed
from toolhost.sandbox.call_group import CallGroup
from toolhost.sandbox.channel import FULL, Channel, Launch
from toolhost.sandbox.errors import SandboxUnavailable
from toolhost.sandbox.kits import Kits
from toolhost.sandbox.pipes import Pipes
from toolhost.sandbox.plan import NO_SECRETS
from toolhost.sandbox.script import standing_limits
from toolhost.sandbox.shape import Shape
from toolhost.sandbox.tool_root import ToolRoots
from toolhost.sandbox.uninterrupted import to_the_end

__all__ = ["Arming", "Begun"]

_ROOMY = 16 << 20  # bytes: what bubblewrap and the launcher take while they set up is far less


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sandbox that the spawner has been asked for.

    Attributes:
        shape: What it is made from.
        again: Whether it is for many calls, one after another.
        pipes: Its pipes.
        group: Its control group.
        inside: Whether it is to be born in that group.
        launch: The question to the spawner.
    """

    shape: Shape
    again: bool
    pipes: Pipes
    group: CallGroup
    inside: bool
    launch: Launch


class Arming:
    """Makes sandboxes, knows those that are there, and ends them.

    Args:
        channel: To the spawner.
        kits: Makes what every sandbox needs.
        tool_roots: The tool roots.
        launcher: Descriptor of the launcher.
    """

    def __init__(self, channel: Channel, kits: Kits, tool_roots: ToolRoots, launcher: int) -> None:
        self._channel = channel
        self._kits = kits
        self._tool_roots = tool_roots
        self._launcher = launcher
        self._running: set[Armed] = set()
        self._unwanted: set[asyncio.Task[None]] = set()

    def begin(self, shape: Shape, *, again: bool = False, secrets: Mapping[str, bytes] = NO_SECRETS) -> Begun | None:
        """Ask the spawner for a sandbox; somebody must `stand` it or `drop` it. None where the spawner's queue is full.

        Args:
            shape: What it is made from.
            again: Whether it is for many calls, one after another.
            secrets: What each secret holds.

        Raises:
            SandboxUnavailable: No descriptor can be made, or the spawner is gone.
        """
        message = {
            "tool_root": shape.tool_root,
            "scratch": shape.limits.scratch,
            "limits": standing_limits(shape.limits, cpu=shape.kind == "command"),
            "roots": shape.places.roots,
            "network": bool(shape.network),
            "again": again,
            "secrets": len(secrets),
        }
        with contextlib.ExitStack() as sent:  # what the spawner has copies of, once it was sent
            kit = self._kits.take()
            sent.callback(kit.handed_over)
            with contextlib.ExitStack() as failed:
                failed.callback(kit.discard)
                memory = [
                    _memory(sent, "seccomp", seccomp.filter_bytes(network=bool(shape.network))),
                    _memory(sent, "options", bubblewrap.options(shape.places.targets, shape.places.secrets)),
                ]
                held = [_memory(sent, "secret", secrets[target.rpartition("/")[2]]) for target in shape.places.secrets]
                inside = bool(kit.doors)
                descriptors = (*kit.pipes.theirs, *memory, self._launcher, *held, *kit.doors)
                launch = self._channel.launch(message, descriptors)
                if launch is None:
                    return None
                failed.pop_all()
        return Begun(shape=shape, again=again, pipes=kit.pipes, group=kit.group, inside=inside, launch=launch)

    async def stand(self, begun: Begun) -> Armed:
        """Wait until it stands. Not to be cancelled: it may come to stand all the same.

        Raises:
            PlanRefused: A root is not what the plan says, or `limits_refused`.
            SandboxUnavailable: It could not be made.
        """
        try:
            started = await self._channel.started(begun.launch)
            if begun.inside and not started.grouped:
                begun.group.give_up()
        except BaseException:
            begun.group.remove()
            begun.pipes.close_all()
            raise
        armed = Armed(self._channel, begun.pipes, started, begun.group, again=begun.again)
        self._running.add(armed)
        tool_root = begun.shape.tool_root
        self._tool_roots.enter(tool_root)
        armed.on_dead(lambda: self._tool_roots.leave(tool_root))
        try:
            if begun.inside and begun.shape.limits.memory >= _ROOMY:
                armed.group.limit(begun.shape.limits)  # while bubblewrap is busy
            await armed.stand()
            armed.group.limit(begun.shape.limits)
        except BaseException:
            await self.discard(armed)
            raise
        return armed

    async def arm(self, shape: Shape, *, again: bool = False, secrets: Mapping[str, bytes] = NO_SECRETS) -> Armed:
        """Both, one after the other. Not to be cancelled."""
        while (begun := self.begin(shape, again=again, secrets=secrets)) is None:  # noqa: ASYNC110 - see `FULL`
            await asyncio.sleep(FULL)
        return await self.stand(begun)

    def make_ahead(self) -> None:
        """Make what the next one needs whatever its shape, if it is not made."""
        self._kits.make_ahead()

    def drop(self, begun: Begun) -> None:
        """Let go of one that nobody wants to stand any more, behind the caller's back."""

        async def end() -> None:
            with contextlib.suppress(Exception):  # then it does not stand, and nobody minds
                self.retire(await self.stand(begun))

        task = asyncio.ensure_future(end())
        self._unwanted.add(task)
        task.add_done_callback(self._unwanted.discard)

    def retire(self, armed: Armed) -> None:
        """Let a sandbox go in which nothing runs any more, behind the caller's back."""
        armed.retire(lambda: self._running.discard(armed))

    def ended(self, armed: Armed) -> None:
        """Forget one that ends by itself."""
        self._running.discard(armed)

    async def discard(self, armed: Armed) -> None:
        """Destroy a sandbox to the end, however often this task is cancelled meanwhile."""
        task = asyncio.ensure_future(armed.destroy())
        cancelled = await to_the_end(task)
        self._running.discard(armed)
        if cancelled:
            raise asyncio.CancelledError
        task.result()

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*self._unwanted, return_exceptions=True)
        await asyncio.gather(*(armed.destroy() for armed in list(self._running)), return_exceptions=True)
        self._running.clear()
        self._kits.close()


def _memory(sent: contextlib.ExitStack, name: str, content: bytes) -> int:
    """A memfd holding `content`, at its start. Fresh each time: its offset is shared with whoever reads it."""
    try:
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
    except OSError as error:
        raise SandboxUnavailable(
            "descriptors_exhausted", f"No descriptor can be made: {error.strerror}.", "Raise the limit on open files."
        ) from error
    sent.callback(os.close, fd)
    if os.write(fd, content) != len(content):
        raise SandboxUnavailable("memory_exhausted", f"The {name} of a sandbox could not be written.", "")
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
