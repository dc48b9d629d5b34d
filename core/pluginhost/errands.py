"""The host's end of errands: a worker asks, somebody runs it, and the answer goes back over the worker's pipe."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from toolhost.errors import ToolHostError

__all__ = ["CallErrands", "Clock", "Errands", "OnPiece"]

OnPiece = Callable[[str, bytes], None]
"""Gets the stream and a piece of output."""

_MOST = 256
"""Errands of one call."""
_AT_ONCE = 4
"""Of those at a time; more wait."""
_HELD = 32 << 20
"""Bytes of what those that run or wait were given."""


class Clock:
    """The time that a call has left: it stands still while a person is asked, who has a time of their own."""

    def __init__(self, deadline: asyncio.Timeout) -> None:
        self._deadline = deadline
        self._asked = 0
        self._left = 0.0
        self._over = False

    @contextmanager
    def standing(self) -> Iterator[None]:
        """The clock stands still within."""
        loop = asyncio.get_running_loop()
        if not self._asked and not self._over:
            self._left = (self._deadline.when() or loop.time()) - loop.time()
            self._deadline.reschedule(None)
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1
            if not self._asked and not self._over:
                self._deadline.reschedule(loop.time() + self._left)

    def end(self) -> None:
        """The call is over: nothing is changed any more."""
        self._over = True


class Errands(Protocol):
    """Runs the errands of one call."""

    async def run(
        self, kind: str, wanted: Mapping[str, Any], on_piece: OnPiece | None, clock: Clock
    ) -> Mapping[str, Any]:
        """Run one.

        Args:
            kind: As the worker wrote it.
            wanted: Likewise, unchecked.
            on_piece: Told of output as it comes; None where all of it is to be in the answer.
            clock: The call's.

        Raises:
            ToolHostError: It was not run, or not to its end: what the tool is told.
        """


class CallErrands:
    """The errands that one call's worker has asked for.

    Args:
        errands: Runs them; None where nobody does.
        send: Sends the worker a message about the call.
        clock: The call's.
    """

    def __init__(self, errands: Errands | None, send: Callable[[Mapping[str, Any]], None], clock: Clock) -> None:
        self._errands = errands
        self._send = send
        self._clock = clock
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._taken = 0
        self._held = 0

    def begin(self, message: Mapping[str, Any]) -> bool:
        """Take one up; False for a number that is in use, which no honest worker sends."""
        number = message["errand"]
        if number in self._running:
            return False
        self._taken += 1
        task = asyncio.get_running_loop().create_task(self._run(number, message), name="errand")
        self._running[number] = task
        # Here and not in the task: one that is cancelled before its first step never takes it.
        task.add_done_callback(lambda _: self._running.pop(number))
        return True

    def drop(self, number: int) -> None:
        """End one that nobody waits for any more."""
        if number in self._running:
            self._running[number].cancel()

    async def end(self) -> None:
        """End all of them; returns when each is over and recorded, however often this task is cancelled meanwhile."""
        self._clock.end()
        cancelled = False
        while running := list(self._running.values()):
            for task in running:
                task.cancel()
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _run(self, number: int, message: Mapping[str, Any]) -> None:
        size = len(json.dumps(message["wanted"]))
        self._held += size
        try:
            said = {"answer": await self._answer(number, message)}
        except ToolHostError as error:
            more = f" {error.hint}" if error.hint else ""
            said = {"error": {"code": error.code, "message": error.message + more, "recoverable": error.recoverable}}
        finally:
            self._held -= size
        self._send({"op": "done", "errand": number, **said})

    async def _answer(self, number: int, message: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._errands is None:
            raise ToolHostError("no_host", "Nothing can be asked of the host here.")
        if self._taken > _MOST:
            raise ToolHostError("too_many_errands", f"A call can ask the host for at most {_MOST} things.")

        if self._held > _HELD:
            raise ToolHostError(
                "too_many_errands",
                f"What a call asks the host for at a time can take at most {_HELD >> 20} MiB.",
                "Ask for less at once.",
                recoverable=True,
            )

        def piece(stream: str, data: bytes) -> None:
            self._send({"op": "piece", "errand": number, "stream": stream, "data": b64encode(data).decode()})

        async with self._places:
            on_piece = piece if message["pieces"] else None
            return await self._errands.run(message["kind"], message["wanted"], on_piece, self._clock)
