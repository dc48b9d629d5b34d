"""The end of a server in bounded time: what still holds it up by then is named in the log, and the process ends.

Each step of an orderly end has a bound of its own and takes a few seconds at most. This is for what nobody thought of,
and loses nothing that a power cut would not: records are on the disk, and sandboxes die with the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading

__all__ = ["LIMIT_SECONDS", "end_within_the_limit"]

LIMIT_SECONDS = 30.0
"""How long the end may take, from the signal to the last thread."""

_EXIT = 1

_logger = logging.getLogger("toolhost.server")


def end_within_the_limit(loop: asyncio.AbstractEventLoop) -> None:
    """Begin to count; nothing takes it back, since only the end of the process is the end."""
    timer = threading.Timer(LIMIT_SECONDS, _give_up, (loop,))
    timer.daemon = True
    timer.start()


def _give_up(loop: asyncio.AbstractEventLoop) -> None:
    _logger.error(
        "the server did not end within %.0f seconds; it ends now, without waiting for: %s",
        LIMIT_SECONDS,
        "; ".join([*_tasks(loop), *_threads()]) or "nothing that can be named",
    )
    sys.stderr.flush()
    os._exit(_EXIT)


def _tasks(loop: asyncio.AbstractEventLoop) -> list[str]:
    found = []
    for task in asyncio.all_tasks(loop):
        frames = task.get_stack(limit=1)
        where = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
        found.append(f"task {task.get_name()}{where}")
    return sorted(found)


def _threads() -> list[str]:
    frames = sys._current_frames()  # noqa: SLF001 (documented, for exactly this)
    found = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None and not thread.daemon:
            found.append(f"thread {thread.name} at {frame.f_code.co_filename}:{frame.f_lineno}")
    return sorted(found)
