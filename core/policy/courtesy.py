"""Working in a thread beside an event loop without keeping the interpreter from it.

A thread that waits for the interpreter gets it after the *switch interval*, five milliseconds as Python starts. A loop
needs it back after each look at its sockets, so beside a busy thread every step of a request can cost that, and more
where processors are scarce, because whoever waits must be woken twice. So a thread that reads policies gives the
interpreter away by itself after each millisecond of work, and for what lies between two such points the interval is
shortened.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["breathe", "courteous"]

_USUAL = sys.getswitchinterval()
_SHORT = 0.0005  # seconds, likewise below
_WORK = 0.001
_BREATH = 0.0002


class _Turn(threading.local):
    """When this thread is to give the interpreter away next."""

    ends = float("inf")


_turn = _Turn()


@contextmanager
def courteous() -> Iterator[None]:
    """Give the interpreter away readily meanwhile; in the main thread, where a loop itself would run, nothing changes.

    The interval holds for the whole process; whoever ends first puts it back, also where two work at once.
    """
    if threading.current_thread() is threading.main_thread():
        yield
        return
    sys.setswitchinterval(_SHORT)
    _turn.ends = time.perf_counter() + _WORK
    try:
        yield
    finally:
        _turn.ends = float("inf")
        sys.setswitchinterval(_USUAL)


def breathe() -> None:
    """Called again and again by work that takes long: now and then it pauses, if that is a courtesy to anybody."""
    if time.perf_counter() > _turn.ends:
        time.sleep(_BREATH)
        _turn.ends = time.perf_counter() + _WORK
