"""A call that runs, and how it is stopped."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from toolhost.model import Actor

__all__ = ["Running"]


@dataclass(slots=True)
class Running:
    """A call that runs, in the task of whoever waits for it: one of its own would cost as much as the decision."""

    actor: Actor
    plugin: str
    task: asyncio.Task[Any]
    over: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False

    def stop(self) -> None:
        """End the call alone, and not what waits for it."""
        if not self.stopped:
            self.stopped = True
            self.task.cancel()
