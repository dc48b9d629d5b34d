"""The pipes between the host and a sandbox."""

from __future__ import annotations

import asyncio
import os

from toolhost.sandbox.errors import SandboxUnavailable

__all__ = ["Feed", "Pipes"]


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

    @property
    def theirs(self) -> tuple[int, ...]:
        """The sandbox's ends, in the order in which the spawner is handed them."""
        return (
            self.stdin_theirs,
            self.stdout_theirs,
            self.status_theirs,
            self.stderr_theirs,
            self.ctl_theirs,
            self.json_theirs,
        )

    def close_all(self) -> None:
        """Close what is still open."""
        self.close(*list(self._open))


class Feed:
    """Writes bytes to a pipe as fast as its reader takes them, then closes it, unless it is kept."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, pipes: Pipes, fd: int, data: bytes, *, keep: bool = False
    ) -> None:
        self._keep = keep
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
        if not self._keep:
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
