"""What stands ready, or is being made, for a call that is about to run."""

from __future__ import annotations

from typing import Self

from toolhost.sandbox.armed import Armed
from toolhost.sandbox.arming import Arming, Begun
from toolhost.sandbox.shape import Shape

__all__ = ["Reservation"]


class Reservation:
    """A sandbox for one call. Where nobody has claimed it at the end of the context it is let go.

    Args:
        arming: Lets go of it.
        shape: Its shape; None where nothing is reserved.
        held: It stands, or is being made, or the spawner has no time for it yet.
    """

    def __init__(self, arming: Arming, shape: Shape | None = None, held: Armed | Begun | None = None) -> None:
        self.shape = shape
        self._arming = arming
        self._held = held

    def claim(self) -> tuple[Armed | None, Begun | None]:
        """The sandbox, now the caller's: one that stands, or one that is being made."""
        held, self._held = self._held, None
        return (held, None) if isinstance(held, Armed) else (None, held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        armed, begun = self.claim()
        if armed is not None:
            self._arming.retire(armed)
        elif begun is not None:
            self._arming.drop(begun)
