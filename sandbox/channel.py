"""The host's end of the spawner's socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from toolhost.sandbox.diagnosis import fix_of
from toolhost.sandbox.errors import PlanRefused, SandboxUnavailable

__all__ = ["FULL", "Channel", "Launch", "Started"]

_T = TypeVar("_T")

FULL = 0.001
"""Seconds after which the queue to the spawner, which is the socket's own and tells nobody, is tried again."""

_MESSAGE = 1 << 16
_ANSWER = 30.0  # seconds; the spawner does one thing at a time, each in milliseconds
_END = 5.0


@dataclass(slots=True, kw_only=True)
class Started:
    """A bubblewrap the spawner runs.

    Attributes:
        call: Number of the launch.
        pid: Process id of bubblewrap (not of the sandbox's pid 1).
        grouped: Whether it was born in the group whose doors were handed over.
        listener: Listens at the proxy's place inside, where the sandbox has a network; whoever takes it closes it.
    """

    call: int
    pid: int
    grouped: bool
    listener: socket.socket | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A bubblewrap that the spawner has been asked for.

    Attributes:
        call: Number of the launch.
        answer: What the spawner says.
    """

    call: int
    answer: asyncio.Future[Started]


class Channel:
    """Requests to the spawner and its answers, in whichever event loop is running."""

    def __init__(self, connection: socket.socket, spawner: int) -> None:
        self._connection = connection
        self._spawner = spawner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: dict[int, asyncio.Future[Started]] = {}
        self._covering: dict[int, asyncio.Future[bool]] = {}
        self._gone: dict[int, asyncio.Future[None]] = {}
        self._next = 0
        self._closed = False

    @property
    def problem(self) -> SandboxUnavailable | None:
        """Why nothing can be asked for any more: the spawner is gone."""
        return _spawner_gone() if self._closed else None

    def attach(self) -> None:
        """Listen in the running event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is loop or self._closed:
            return
        self._connection.setblocking(False)
        loop.add_reader(self._connection, self._receive)
        self._loop = loop

    def launch(self, message: dict[str, Any], descriptors: Sequence[int]) -> Launch | None:
        """Ask for a bubblewrap; `started` must be awaited. None where the spawner's queue, the socket's own, is full.

        Raises:
            SandboxUnavailable: The spawner is gone.
        """
        self.attach()
        loop = asyncio.get_running_loop()
        self._next += 1
        call = self._next
        if not self._sent(message | {"do": "launch", "call": call}, descriptors):
            return None
        answer: asyncio.Future[Started] = loop.create_future()
        self._starting[call] = answer
        self._gone[call] = loop.create_future()
        return Launch(call=call, answer=answer)

    async def started(self, launch: Launch) -> Started:
        """Wait for the answer. Not to be cancelled: the bubblewrap may start all the same.

        Raises:
            PlanRefused: A root is not what the plan says.
            SandboxUnavailable: The spawner is gone, or the sandbox could not be made.
        """
        try:
            return await self._answer(launch.answer)
        except BaseException:
            self._forget(launch.call)
            raise

    async def cover(self, call: int, roots: Sequence[dict[str, Any]], *, again: bool) -> bool:
        """Have hidden and protected paths covered in a sandbox that stands. Not to be cancelled.

        Args:
            call: Number of the launch.
            roots: As the launch message described them.
            again: Whether it will be done again for the next call in the same sandbox.

        Returns:
            Whether placeholders stand in a root of the host: then `uncover` before a result is given.

        Raises:
            PlanRefused: A path cannot be covered.
            SandboxUnavailable: The sandbox or the spawner is gone.
        """
        return await self._ask_cover({"do": "cover", "call": call, "roots": roots, "again": again})

    async def uncover(self, call: int) -> None:
        """Have the placeholders of a call removed, once nothing of it runs, and what covered them if it goes on.

        Raises:
            PlanRefused: A root of the sandbox went away.
            SandboxUnavailable: The spawner is gone (it has removed them), or the kernel refused.
        """
        await self._ask_cover({"do": "uncover", "call": call})

    async def _ask_cover(self, message: dict[str, Any]) -> bool:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._covering[message["call"]] = future
        try:
            while not self._sent(message):  # noqa: ASYNC110 - see `FULL`
                await asyncio.sleep(FULL)
            return await self._answer(future)
        finally:
            self._covering.pop(message["call"], None)

    async def _answer(self, future: asyncio.Future[_T]) -> _T:
        try:
            async with asyncio.timeout(_ANSWER):
                return await future
        except TimeoutError:
            # What it was about to do must not be done later, when nobody waits for it any more.
            self._kill_spawner()
            raise SandboxUnavailable(
                "spawner_stuck",
                f"The sandbox's spawner did not answer for {_ANSWER:g} s and was ended.",
                "Restart the host.",
            ) from None

    def _kill_spawner(self) -> None:
        if self._spawner:
            with suppress(ProcessLookupError):
                os.kill(self._spawner, signal.SIGKILL)

    def settle(self, call: int) -> None:
        """Say that the sandbox stands."""
        self._tell({"do": "settle", "call": call})

    def kill(self, call: int) -> None:
        """Have a sandbox killed whose own pid is not known."""
        self._tell({"do": "kill", "call": call})

    async def gone(self, call: int) -> None:
        """Wait until bubblewrap has ended."""
        future = self._gone.get(call)
        if future is not None:
            await asyncio.shield(future)

    async def close(self) -> bool:
        """End the spawner, and with it everything it started.

        Returns:
            Whether it has removed all that it had made in roots of the host.
        """
        if self._loop is not None and not self._closed:
            self._loop.remove_reader(self._connection)
        self._lost()
        self._connection.close()
        if not self._spawner:
            return True
        ended = asyncio.ensure_future(asyncio.to_thread(os.waitpid, self._spawner, 0))
        if not (await asyncio.wait((ended,), timeout=_END))[0]:
            self._kill_spawner()
        _, status = await ended
        self._spawner = 0
        return status == 0

    def _sent(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> bool:
        """Send a question; False where the queue is full."""
        if self._closed:
            raise _spawner_gone()
        try:
            socket.send_fds(self._connection, [json.dumps(message, ensure_ascii=True).encode()], list(descriptors))
        except BlockingIOError:
            return False
        except OSError as error:
            raise SandboxUnavailable(
                "launch_failed", f"The spawner cannot be asked: {error.strerror}.", "Restart the host."
            ) from error
        return True

    def _tell(self, message: dict[str, Any]) -> None:
        if self._closed:
            return
        try:
            self._connection.send(json.dumps(message).encode())
        except BlockingIOError:
            if self._loop is not None:
                self._loop.call_later(0.005, self._tell, message)
        except OSError:
            return  # the spawner is gone: so are its sandboxes

    def _receive(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._connection, _MESSAGE, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                if self._loop is not None:
                    self._loop.remove_reader(self._connection)
                self._lost()
                return
            self._take(json.loads(data), *(socket.socket(fileno=fd) for fd in descriptors))

    def _take(self, message: dict[str, Any], listener: socket.socket | None = None) -> None:
        call = message.get("call", 0)
        if "pid" in message:
            future = self._starting.pop(call, None)
            if future is not None and not future.done():
                future.set_result(Started(call=call, pid=message["pid"], grouped=message["grouped"], listener=listener))
            elif listener is not None:
                listener.close()
        elif "covered" in message:
            covering = self._covering.pop(call, None)
            if covering is not None and not covering.done():
                covering.set_result(message["covered"])
        elif "error" in message:
            asked: asyncio.Future[Any] | None = self._starting.pop(call, None) or self._covering.pop(call, None)
            kind, code, text, hint = message["error"]
            if asked is not None and not asked.done():
                made = PlanRefused if kind == "PlanRefused" else SandboxUnavailable
                asked.set_exception(made(code, text, fix_of(text) if code == "launch_failed" else hint))
        elif "gone" in message:
            ended = self._gone.pop(call, None)
            if ended is not None and not ended.done():
                ended.set_result(None)

    def _forget(self, call: int) -> None:
        self._starting.pop(call, None)
        self._gone.pop(call, None)

    def _lost(self) -> None:
        self._closed = True
        waiting: list[asyncio.Future[Any]] = [*self._starting.values(), *self._covering.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(_spawner_gone())
        for ended in self._gone.values():
            if not ended.done():
                ended.set_result(None)
        self._starting.clear()
        self._covering.clear()
        self._gone.clear()


def _spawner_gone() -> SandboxUnavailable:
    return SandboxUnavailable("spawner_gone", "The sandbox's spawner has ended.", "Restart the host.")
