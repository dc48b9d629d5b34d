"""Sandboxes that are kept for one conversation: `isolation = "conversation"`.

The calls of a conversation that have the same shape run in one sandbox, one after another. Between two of them every
process is killed, and what was hidden, protected or held open for the first is undone; what stays is /tmp (with all
that was written there and counted against `scratch`) and System V IPC. So a call can be misled by an earlier one of
the same conversation, never by another conversation. A call that was cancelled, ran into a limit, or whose sandbox
died takes the sandbox with it: the next call begins with an empty /tmp.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from toolhost.sandbox.armed import Armed
from toolhost.sandbox.errors import SandboxError
from toolhost.sandbox.shape import Shape

__all__ = ["Seat", "Sessions"]

_MOST = 16
_IDLE = 300.0  # seconds


@dataclass(slots=True)
class Seat:
    """A conversation's place, of one shape.

    Attributes:
        shape: The shape.
        armed: Its sandbox; None before the first call, and after one that cannot be followed by another.
    """

    shape: Shape
    armed: Armed | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    standing: asyncio.Task[None] | None = None
    retirement: asyncio.TimerHandle | None = None


class Sessions:
    """Keeps the sandboxes of conversations.

    Args:
        discard: Ends one that nobody uses.
    """

    def __init__(self, discard: Callable[[Armed], None]) -> None:
        self._discard = discard
        self._seats: OrderedDict[tuple[str, str], Seat] = OrderedDict()  # the one used last at the end
        self._closed = False

    @asynccontextmanager
    async def turn(self, conversation: str, shape: Shape) -> AsyncIterator[Seat]:
        """Wait for the conversation's turn; whoever has it may use and replace the seat's sandbox."""
        key = (conversation, shape.key)
        seat = self._seats.get(key)
        if seat is None:
            self._make_room()
            seat = self._seats[key] = Seat(shape)
        self._seats.move_to_end(key)
        seat.users += 1
        try:
            async with seat.turn:
                if seat.retirement is not None:
                    seat.retirement.cancel()
                    seat.retirement = None
                await self._stands(seat)
                yield seat
        finally:
            seat.users -= 1
            if not seat.users:
                self._rest(key, seat)

    def stand_again(self, seat: Seat) -> None:
        """After a call that another may follow: get ready for that, behind the result."""
        assert seat.armed is not None
        seat.standing = asyncio.ensure_future(_quietly(seat.armed.stand_again()))

    def drop(self) -> None:
        """End every sandbox that is not in use."""
        for key, seat in list(self._seats.items()):
            if not seat.users:
                self._end(key, seat)

    async def close(self) -> None:
        """Keep none any more."""
        self._closed = True
        standing = [seat.standing for seat in self._seats.values() if seat.standing is not None]
        self.drop()
        await asyncio.gather(*standing, return_exceptions=True)

    async def _stands(self, seat: Seat) -> None:
        """Wait until the sandbox is ready for this call, and let go of it if it is not."""
        if seat.standing is not None:
            if not seat.standing.done():
                await asyncio.wait((seat.standing,))
            seat.standing = None
        if seat.armed is not None and not (seat.armed.alive and seat.armed.stands):
            self._let_go(seat)

    def _rest(self, key: tuple[str, str], seat: Seat) -> None:
        if seat.armed is None or self._closed:
            self._end(key, seat)
        else:
            seat.retirement = asyncio.get_running_loop().call_later(_IDLE, self._end, key, seat)

    def _make_room(self) -> None:
        if len(self._seats) >= _MOST:
            idle = next(((key, seat) for key, seat in self._seats.items() if not seat.users), None)
            if idle is not None:
                self._end(*idle)

    def _end(self, key: tuple[str, str], seat: Seat) -> None:
        if self._seats.get(key) is seat:
            del self._seats[key]
        if seat.retirement is not None:
            seat.retirement.cancel()
        self._let_go(seat)

    def _let_go(self, seat: Seat) -> None:
        armed, seat.armed = seat.armed, None
        if armed is not None:
            self._discard(armed)


async def _quietly(standing: Awaitable[None]) -> None:
    try:
        await standing
    except SandboxError:
        return  # it is found out, and replaced, when the next call comes
