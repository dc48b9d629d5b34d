"""Working in a thread beside an event loop without keeping the interpreter from it.

A thread that waits for the interpreter gets it after the *switch interval*, five milliseconds as Python starts. A loop
needs it back several times for one request, after each look at its sockets, so beside a busy thread each of these costs
the interval. While policies are read it is shortened: what waits gets its turn ten times as soon.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["courteous"]

_USUAL = sys.getswitchinterval()
_SHORT = 0.0005  # seconds


@contextmanager
def courteous() -> Iterator[None]:
    """Give the interpreter away readily meanwhile. It holds for the whole process; the last to end puts it back."""
    sys.setswitchinterval(_SHORT)
    try:
        yield
    finally:
        sys.setswitchinterval(_USUAL)
