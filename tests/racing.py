"""Swapping things under a host's feet: a thread that exchanges two names as fast as it can."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Self

__all__ = ["Swapper", "rounds"]

_RENAME_EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)


def rounds(usual: int) -> int:
    """How often a race is run: `usual`, or as many times more as TOOLHOST_RACE says (scripts/soak sets it)."""
    return usual * int(os.environ.get("TOOLHOST_RACE", "1"))


class Swapper:
    """While it is entered, `one` and `two` change places all the time."""

    def __init__(self, one: Path, two: Path) -> None:
        self._names = (os.fsencode(one), os.fsencode(two))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._swap)
        self.swaps = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _swap(self) -> None:
        while not self._stop.is_set():
            # renameat2 changes both in one step: there is never a moment without either.
            if _libc.renameat2(-100, self._names[0], -100, self._names[1], _RENAME_EXCHANGE) != 0:
                raise OSError(ctypes.get_errno(), "renameat2")
            self.swaps += 1
