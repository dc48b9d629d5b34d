"""What must not be left half-way: a cancellation that comes meanwhile counts, but after it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["to_the_end", "whole"]

_T = TypeVar("_T")


async def to_the_end(work: asyncio.Future[_T]) -> bool:
    """Wait until work of its own task is done, well or not; whether whoever waits was told to stop meanwhile."""
    interrupted = False
    while not work.done():
        try:
            await asyncio.wait((work,))
        except asyncio.CancelledError:
            interrupted = True
    return interrupted


async def whole(work: Coroutine[Any, Any, _T]) -> _T:
    """Await something in one piece.

    Raises:
        asyncio.CancelledError: Once it is done, where whoever waits was told to stop meanwhile.
    """
    task = asyncio.ensure_future(work)
    if await to_the_end(task):
        if not task.cancelled():
            task.exception()  # what became of it is nobody's any more
        raise asyncio.CancelledError
    return task.result()
