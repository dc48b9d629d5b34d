"""Toolboxes: what several tools share is prepared before the first of their calls, and closed when the worker ends."""

from __future__ import annotations

import asyncio
import inspect
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolhost.authoring import Toolbox

__all__ = ["Toolboxes"]

_SECONDS = 1.0
"""For all of them together to close; then the host ends the worker."""


class Toolboxes:
    """The toolboxes of one worker.

    Args:
        loop: Gives the event loop that async code runs in.
    """

    def __init__(self, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._prepared: dict[Toolbox, Future[Any]] = {}

    def ready(self, box: Toolbox) -> None:
        """Return when a toolbox is prepared; what that raises is raised to every call that waits for it."""
        self._future(box).result()

    async def ready_async(self, box: Toolbox) -> None:
        """The same, in the event loop."""
        await asyncio.shield(asyncio.wrap_future(self._future(box)))

    def close(self) -> None:
        """Close what was prepared, the last first."""
        for box, prepared in reversed(list(self._prepared.items())):
            if not prepared.done() or prepared.exception() is not None:
                continue
            try:
                made = box.close()
                if inspect.iscoroutine(made):
                    asyncio.run_coroutine_threadsafe(made, self._loop()).result(_SECONDS)
            except Exception:
                traceback.print_exc()

    def _future(self, box: Toolbox) -> Future[Any]:
        with self._lock:
            found = self._prepared.get(box)
            if found is None or (found.done() and found.exception() is not None):  # another call tries again
                found = self._prepared[box] = Future()
                threading.Thread(target=self._prepare, args=(box, found), name="prepare", daemon=True).start()
            return found

    def _prepare(self, box: Toolbox, future: Future[Any]) -> None:
        try:
            made = box.prepare()
            if inspect.iscoroutine(made):
                asyncio.run_coroutine_threadsafe(made, self._loop()).result()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)
