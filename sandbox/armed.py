"""One sandbox from its making to its end: armed (everything set up, nothing run), fired once, ended.

Nothing is started before `fire`: the launcher waits for its script. A host that dies or a call
that is cancelled before then closes the script's pipe, and nothing runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from toolhost.sandbox.call_group import CallGroup
from toolhost.sandbox.channel import Channel, Started
from toolhost.sandbox.diagnosis import fix_of
from toolhost.sandbox.errors import SandboxError, SandboxUnavailable, limits_refused
from toolhost.sandbox.pipes import Feed, Pipes
from toolhost.sandbox.processes import children, deserted, exit_status, newest_child, parent
from toolhost.sandbox.quarantine import Quarantine
from toolhost.sandbox.script import LIMITS_REFUSED, NEXT, READY, Ended, ended, report_length
from toolhost.sandbox.uninterrupted import whole

__all__ = ["Armed"]

_CHUNK = 1 << 16
_SETUP = 20.0  # seconds; a loaded machine needs one
_SETTLE = 0.002
_KILL = 5.0
_PARTING = 0.5
_LOOK, _LOOKS = 0.001, 1000  # seconds, and how often, until what was killed is gone


class Armed:
    """A sandbox that stands.

    Args:
        channel: To the spawner.
        pipes: Its pipes.
        started: Its bubblewrap.
        group: The control group of what runs in it.
        again: Whether it is for many calls, one after another.
    """

    def __init__(
        self, channel: Channel, pipes: Pipes, started: Started, group: CallGroup, *, again: bool = False
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._started = started
        self._status = bytearray()
        self._json = bytearray()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._dead: asyncio.Future[None] = self._loop.create_future()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._silent = False  # all that was to be said on the status pipe was said
        self._covered = False
        self._killed = False
        self._again = again
        self._joining: asyncio.Future[None] | None = None
        if group.is_joined:
            self._joining = self._loop.run_in_executor(None, group.join, started.pid)
        self._ending: asyncio.Future[None] | None = None
        self._looks = 0
        self._pidfd = -1
        self._poll = select.poll()
        self._tool = -1
        self._fed: Feed | None = None
        self._said: Ended | None = None
        self.pipes = pipes
        self.group = group
        self._quarantine: Quarantine | None = None
        self._listener = started.listener
        self.pid = 0
        self._loop.add_reader(pipes.status, self._read_status)
        self._loop.add_reader(pipes.json, self._read_json)
        if again:
            self._call_up()

    async def stand(self) -> None:
        """Wait until the launcher says that it stands.

        Raises:
            PlanRefused: `limits_refused`.
            SandboxUnavailable: bubblewrap failed; its own words are in the message.
        """
        try:
            async with asyncio.timeout(_SETUP):
                await self._ready
        except TimeoutError:
            raise SandboxUnavailable(
                "setup_timeout",
                f"The sandbox did not stand after {_SETUP:g} s.",
                "Try again when the machine has less to do; if it stays so, run `toolhost doctor`.",
            ) from None
        if not self._status.startswith(READY):
            self._read_status()  # its last words may have come with its end
        if self._status.startswith(LIMITS_REFUSED):
            raise limits_refused()
        if self._pidfd < 0 or not self._status.startswith(READY):
            said = bytes(self._status.removeprefix(READY)).decode(errors="backslashreplace").strip()
            said = said.removeprefix("bwrap: ")
            raise SandboxUnavailable("setup_failed", f"bubblewrap: {said or 'it ended without a word'}.", fix_of(said))
        # Not at once: it would take the processor on which the tool is about to start.
        self._loop.call_later(_SETTLE, self._channel.settle, self._started.call)
        if self._joining is not None:
            joining, self._joining = self._joining, None
            await joining
            for pid in (self.pid, *children(self.pid)):  # born before bubblewrap joined, or after
                self.group.join(pid)
        # A raw wait status from the kernel, where it has one to give, tells SIGPIPE and SIGINT from 141 and 130.
        self._tool = newest_child(self.pid)

    @property
    def stands(self) -> bool:
        """Whether the launcher waits for a call."""
        return bytes(self._status) == READY

    @property
    def alive(self) -> bool:
        """Whether it still stands, at this very moment, and nobody has begun to end it."""
        if self._killed or self._dead.done() or self._pidfd < 0:
            return False
        return not self._poll.poll(0)

    async def cover(self, roots: Sequence[dict[str, Any]]) -> None:
        """Cover what the call may not see or create. Not to be cancelled.

        Args:
            roots: As the launch message describes them.

        Raises:
            PlanRefused: A path cannot be covered, or a root is not what it was.
        """
        if any(root["hidden"] or (root["writable"] and root["protected"]) for root in roots):
            self._covered = await self._channel.cover(self._started.call, roots, again=self._again)

    def take_listener(self) -> socket.socket | None:
        """Hand the listening socket of its network over to somebody who closes it; None where it has none."""
        taken, self._listener = self._listener, None
        return taken

    def fire(self, script: bytes) -> None:
        """Begin the call."""
        if self._again:  # it stands for the next one as soon as it can
            self._call_up()
        self._fed = Feed(self._loop, self.pipes, self.pipes.ctl, script, keep=True)

    async def stand_again(self) -> None:
        """After the end of a call, stand for the next one in the same sandbox.

        Raises:
            SandboxUnavailable: It does not stand any more.
        """
        del self._status[: report_length(bytes(self._status))]
        self._ready, self._over = self._loop.create_future(), self._loop.create_future()
        self._silent = report_length(bytes(self._status)) is not None
        if self._fed is not None:
            self._fed.stop()
        self._let_tool_go()
        if self._said is not None and not self._said.alone:
            self._call_up()
        self._said = None
        if not self.alive:
            self._died()
        self._stands()
        await self.stand()

    def kill(self) -> None:
        """Kill the whole sandbox: its pid 1, never bubblewrap, which could leave a command running behind it."""
        self._killed = True
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        else:
            self._channel.kill(self._started.call)

    def on_dead(self, callback: Callable[[], object]) -> None:
        """Call back when no process of the sandbox is left."""
        self._dead.add_done_callback(lambda _: callback())

    async def hide(self, quarantine: Quarantine) -> None:
        """Cover what patterns hide too, and keep watch over what matches them at the end. Not to be cancelled.

        Args:
            quarantine: Of the call.

        Raises:
            PlanRefused: As `cover`, or `too_many_hidden`.
        """
        await self.cover(await asyncio.to_thread(quarantine.begin))
        self._quarantine = quarantine

    async def collect(self) -> tuple[str, ...]:
        """After the end of the call: take away what it made although a pattern hides it, once.

        Returns:
            The paths inside, fit to be shown.

        Raises:
            asyncio.CancelledError: When it is done: the next call must not find, and mask, what is being moved.
        """
        quarantine, self._quarantine = self._quarantine, None
        return () if quarantine is None else await whole(asyncio.to_thread(quarantine.collect))

    async def finished(self) -> Ended | None:
        """Wait until no process of the call is left and its placeholders are removed.

        The first is so as soon as the launcher has said how the tool ended and has no other child, or when it has ended
        itself; taking down what they stood in may take a moment longer.

        Returns:
            What the launcher said of the tool's end; None where it was killed before it could.
        """
        await self._over
        if self._said is None:
            self._read_status()
        await self._uncover()
        return self._exact(self._said or ended(bytes(self._status)))

    def retire(self, then: Callable[[], object]) -> None:
        """After the end of its call: let go of it as soon as its last process is gone.

        Args:
            then: Called when every descriptor is closed.
        """

        self.kill()  # the launcher waits for that; nothing it could do is needed any more
        self.on_dead(lambda: self._let_go(then))

    def _let_go(self, then: Callable[[], object]) -> None:
        self._close()
        self._ending = asyncio.ensure_future(self._remove_group())
        self._ending.add_done_callback(lambda _: then())

    async def _remove_group(self) -> None:
        """Remove the control group, once bubblewrap itself has left it; one that does not see its end is killed."""
        if self._joining is not None:
            await asyncio.wait((self._joining,), timeout=_KILL)
        for patience in (_PARTING, _KILL):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._channel.gone(self._started.call)
                    break
            self._channel.kill(self._started.call)
        self.group.remove()

    async def destroy(self) -> None:
        """Kill it, wait until nothing is left of it, and close every descriptor. Safe at any time, also twice."""
        try:
            if not self._dead.done():
                self.kill()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_KILL):
                        if self._pidfd < 0:
                            await self._channel.gone(self._started.call)
                        else:
                            await asyncio.shield(self._dead)
            await self._uncover()
            await self.collect()
        finally:
            self._close()
            await self._remove_group()

    async def _uncover(self) -> None:
        if self._covered:
            self._covered = False
            try:
                async with asyncio.timeout(_KILL):
                    await self._channel.uncover(self._started.call)
            except (TimeoutError, SandboxError):
                self.kill()  # nothing of it can be used again

    def _close(self) -> None:
        if self._fed is not None:
            self._fed.stop()
        for fd in (self.pipes.status, self.pipes.json):
            self._loop.remove_reader(fd)
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._let_tool_go()
        self.pipes.close_all()
        if self._listener is not None:
            self._listener.close()

    def _call_up(self) -> None:
        """Have the launcher stand for a call; where it has died that is found out when it does not."""
        with contextlib.suppress(OSError):
            os.write(self.pipes.stdin, NEXT)

    def _let_tool_go(self) -> None:
        if self._tool >= 0:
            os.close(self._tool)
            self._tool = -1

    def _read_status(self) -> None:
        try:
            data = os.read(self.pipes.status, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self.pipes.status)
            self._silent = True
            self._stands()
            return
        self._status += data
        length = report_length(bytes(self._status))
        self._silent = length is not None
        self._stands()
        if self._said is None and length is not None:
            self._said = ended(bytes(self._status[:length]))
            self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        if self._over.done() or self._said is None:
            return
        # Orphans become children of the launcher, so without a child that lives it is alone.
        if self._said.alone or deserted(self.pid):
            self._looks = 0
            self._over.set_result(None)
        elif self._again and self._looks < _LOOKS:  # the launcher has killed them already
            self._looks += 1
            self._loop.call_later(_LOOK, self._look_for_the_end)
        else:
            self.kill()  # with the launcher they die

    def _read_json(self) -> None:
        try:
            data = os.read(self.pipes.json, _CHUNK)
        except BlockingIOError:
            return
        self._json += data
        if not data or b"}" in self._json:
            self._loop.remove_reader(self.pipes.json)
            self._hold_child()
            self._stands()

    def _stands(self) -> None:
        """Both have spoken: the launcher, and bubblewrap about the launcher's pid; or there is nothing to wait for."""
        stands = self._pidfd >= 0 and self._status.startswith(READY)
        if not self._ready.done() and (stands or self._silent or self._dead.done()):
            self._ready.set_result(None)

    def _hold_child(self) -> None:
        try:
            self.pid = int(json.loads(self._json[: self._json.index(b"}") + 1])["child-pid"])
            self._pidfd = os.pidfd_open(self.pid)
        except (ValueError, KeyError, OSError):
            self._died()
            return
        if parent(self.pid) != self._started.pid:  # it died already, and its number is somebody else's
            os.close(self._pidfd)
            self._pidfd = -1
            self._died()
            return
        self._poll.register(self._pidfd, select.POLLIN)
        self._loop.add_reader(self._pidfd, self._died)

    def _died(self) -> None:
        # A pid namespace's first process becomes waitable only after every other process in it is gone.
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
        for future in (self._dead, self._over):
            if not future.done():
                future.set_result(None)
        self._stands()

    def _exact(self, said: Ended | None) -> Ended | None:
        if said is None or not said.ambiguous or self._tool < 0:
            return said
        status = exit_status(self._tool)
        if status is None or not os.WIFSIGNALED(status):
            return said
        return replace(said, code=None, signal=os.WTERMSIG(status), ambiguous=False)
