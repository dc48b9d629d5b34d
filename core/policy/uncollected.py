"""Making many objects that stay, without the garbage collector looking at each of them again and again.

A collection stops every thread until it is over, the event loop's too. While policies are read it would find nothing
to free, and the more rules there are, the longer it takes.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uncollected"]


@contextmanager
def uncollected() -> Iterator[None]:
    """No collection meanwhile; what was made counts as old afterwards, so that the next one does not begin with it."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # Both only splice lists: together they move every object to the oldest generation, and none is looked at.
        gc.freeze()
        gc.unfreeze()
        gc.enable()
