"""A call that a worker has not answered yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolhost.pluginhost.errands import CallErrands

__all__ = ["OnProgress", "Pending"]

OnProgress = Callable[[Mapping[str, Any]], None]
"""Gets `{"done", "total", "message"}`."""


@dataclass(slots=True)
class Pending:
    """What is known of the call meanwhile.

    Attributes:
        answer: The worker's last message about it, or why there will be none.
        on_progress: Told how far the tool says it is.
        max_bytes: Characters of log that are kept.
        messages: How many progress and log messages came.
        log: What the tool logged, and what it wrote to standard error while it was alone in its worker.
        truncated: Whether the log was cut.
        errands: What it has asked the host for.
    """

    answer: asyncio.Future[dict[str, Any]]
    on_progress: OnProgress | None
    max_bytes: int
    messages: int = 0
    log: list[str] = field(default_factory=list)
    truncated: bool = False
    errands: CallErrands | None = None
    _size: int = 0

    def add_log(self, text: str) -> None:
        """Keep a piece of log, as far as there is room."""
        room = self.max_bytes - self._size
        if len(text) > room:
            text, self.truncated = text[: max(room, 0)], True
        self.log.append(text)
        self._size += len(text)
