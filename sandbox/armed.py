"""One sandbox from its making to its end: armed (everything set up, nothing run), fired once, ended.

Nothing of a call happens before `fire`: the launcher waits for its script. A host that dies or a call that is
cancelled before then closes the script's pipe, and nothing runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable

from toolhost.sandbox.channel import Channel, Started
from toolhost.sandbox.errors import SandboxUnavailable
from toolhost.sandbox.script import READY, Ended, ended

__all__ = ["Armed", "Feed", "Pipes"]

_CHUNK = 1 << 16
_SETUP = 20.0  # seconds; a loaded machine needs one
_KILL = 5.0


class Pipes:
    """The five pipes of a sandbox. `theirs` go to the spawner, `ours` stay."""

    def __init__(self) -> None:
        self._open: list[int] = []
        try:
            self.stdin_theirs, self.stdin = self._pipe()
            self.stdout, self.stdout_theirs = self._pipe()
            self.stderr, self.stderr_theirs = self._pipe()
            self.status, self.status_theirs = self._pipe()
            self.json, self.json_theirs = self._pipe()
            self.ctl_theirs, self.ctl = self._pipe()
        except OSError as error:
            self.close_all()
            raise SandboxUnavailable(
                "descriptors_exhausted", f"No pipes can be made: {error.strerror}.", "Raise the limit on open files."
            ) from error
        for fd in (self.stdin, self.stdout, self.stderr, self.status, self.json, self.ctl):
            os.set_blocking(fd, False)

    def _pipe(self) -> tuple[int, int]:
        made = os.pipe2(os.O_CLOEXEC)
        self._open += made
        return made

    def close(self, *fds: int) -> None:
        """Close some of them; one that is closed already is left alone."""
        for fd in fds:
            if fd in self._open:
                self._open.remove(fd)
                os.close(fd)

    def release(self, fd: int) -> int:
        """Hand one over to somebody who closes it."""
        self._open.remove(fd)
        return fd

    def close_theirs(self) -> None:
        """Close the sandbox's ends."""
        self.close(
            self.stdin_theirs,
            self.stdout_theirs,
            self.stderr_theirs,
            self.status_theirs,
            self.json_theirs,
            self.ctl_theirs,
        )

    def close_all(self) -> None:
        """Close what is still open."""
        self.close(*list(self._open))


class Feed:
    """Writes bytes to a pipe as fast as its reader takes them, then closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pipes: Pipes, fd: int, data: bytes) -> None:
        self._loop = loop
        self._pipes = pipes
        self._fd = fd
        self._left = memoryview(data)
        self._waiting = False
        self._write()

    def stop(self) -> None:
        """Give up."""
        if self._waiting:
            self._waiting = False
            self._loop.remove_writer(self._fd)
        self._pipes.close(self._fd)

    def _write(self) -> None:
        try:
            while self._left:
                self._left = self._left[os.write(self._fd, self._left) :]
        except BlockingIOError:
            if not self._waiting:
                self._waiting = True
                self._loop.add_writer(self._fd, self._write)
            return
        except OSError:
            pass  # the reader is gone: it has read all it wanted
        self.stop()


class Armed:
    """A sandbox that stands."""

    def __init__(self, channel: Channel, pipes: Pipes, started: Started) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._started = started
        self._status = bytearray()
        self._json = bytearray()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._dead: asyncio.Future[None] = self._loop.create_future()
        self._pidfd = -1
        self._tool = -1
        self._fed: Feed | None = None
        self.pipes = pipes
        self.pid = 0
        self._loop.add_reader(pipes.status, self._read_status)
        self._loop.add_reader(pipes.json, self._read_json)

    async def stand(self) -> None:
        """Wait until the launcher says that it stands.

        Raises:
            SandboxUnavailable: bubblewrap failed; its own words are in the message.
        """
        try:
            async with asyncio.timeout(_SETUP):
                await self._ready
        except TimeoutError:
            raise SandboxUnavailable("setup_timeout", f"The sandbox did not stand after {_SETUP:g} s.", "") from None
        if self._pidfd < 0 or not self._status.startswith(READY):
            said = bytes(self._status).decode(errors="backslashreplace").strip().removeprefix("bwrap: ")
            raise SandboxUnavailable(
                "setup_failed", f"bubblewrap: {said or 'it ended without a word'}.", "Run `toolhost doctor`."
            )
        self._channel.settle(self._started.call)

    def fire(self, script: bytes) -> None:
        """Begin the call."""
        # A raw wait status from the kernel, where it has one to give, tells SIGPIPE and SIGINT from 141 and 130.
        self._tool = _only_child(self.pid)
        self._fed = Feed(self._loop, self.pipes, self.pipes.ctl, script)

    def kill(self) -> None:
        """Kill the whole sandbox: its pid 1, never bubblewrap, which could leave a command running behind it."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        else:
            self._channel.kill(self._started.call)

    def on_dead(self, callback: Callable[[], object]) -> None:
        """Call back when no process of the sandbox is left."""
        self._dead.add_done_callback(lambda _: callback())

    async def dead(self) -> Ended | None:
        """Wait until no process of the sandbox is left (and its placeholders are removed).

        Returns:
            What the launcher said of the tool's end; None where it was killed before it could.
        """
        await asyncio.shield(self._dead)
        self._read_status()
        if self._started.waits:
            await self._channel.gone(self._started.call)
        return self._exact(ended(bytes(self._status)))

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
            if self._started.waits:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_KILL):
                        await self._channel.gone(self._started.call)
        finally:
            self._close()

    def _close(self) -> None:
        if self._fed is not None:
            self._fed.stop()
        for fd in (self.pipes.status, self.pipes.json):
            self._loop.remove_reader(fd)
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._tool >= 0:
            os.close(self._tool)
            self._tool = -1
        self.pipes.close_all()

    def _read_status(self) -> None:
        try:
            data = os.read(self.pipes.status, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self.pipes.status)
            self._stands()
            return
        self._status += data
        if self._status.startswith(READY):
            self._stands()

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
        """Both have spoken: the launcher (or it has died), and bubblewrap about the launcher's pid."""
        failed = bool(self._status) and not self._status.startswith(READY)
        if not self._ready.done() and ((self._pidfd >= 0 and self._status) or failed or self._dead.done()):
            self._ready.set_result(None)

    def _hold_child(self) -> None:
        try:
            self.pid = int(json.loads(self._json[: self._json.index(b"}") + 1])["child-pid"])
            self._pidfd = os.pidfd_open(self.pid)
        except (ValueError, KeyError, OSError):
            self._died()
            return
        if _parent(self.pid) != self._started.pid:  # it died already, and its number is somebody else's
            os.close(self._pidfd)
            self._pidfd = -1
            self._died()
            return
        self._loop.add_reader(self._pidfd, self._died)

    def _died(self) -> None:
        # A pid namespace's first process becomes waitable only after every other process in it is gone.
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
        if not self._dead.done():
            self._dead.set_result(None)
        self._stands()

    def _exact(self, said: Ended | None) -> Ended | None:
        if said is None or not said.ambiguous or self._tool < 0:
            return said
        status = _exit_status(self._tool)
        if status is None or not os.WIFSIGNALED(status):
            return said
        return Ended(code=None, signal=os.WTERMSIG(status), ambiguous=False, refused=said.refused, cpu=said.cpu)


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _only_child(pid: int) -> int:
    """Pidfd of the process that will be the tool, or -1."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return os.pidfd_open(int(file.read().split()[0]))
    except (OSError, IndexError):
        return -1


def _exit_status(pidfd: int) -> int | None:
    """The raw wait status of an ended process (PIDFD_GET_INFO, Linux 6.15), or None."""
    import fcntl
    import struct

    exit_info, size = 1 << 3, 64
    buffer = bytearray(struct.pack("=Q", exit_info).ljust(size, b"\0"))
    request = 3 << 30 | size << 16 | 0xFF << 8 | 11  # _IOWR(0xFF, 11, struct pidfd_info)
    try:
        fcntl.ioctl(pidfd, request, buffer)
    except OSError:
        return None
    if not struct.unpack_from("=Q", buffer)[0] & exit_info:
        return None
    return int(struct.unpack_from("=i", buffer, 60)[0])
