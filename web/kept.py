"""What was rendered before, kept for as long as there is room: a thread is shown more often than it changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

__all__ = ["Kept"]


class Kept:
    """Texts by whatever they were made of, those that were asked for last.

    Args:
        most: Characters that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._texts: OrderedDict[Hashable, str] = OrderedDict()

    def get(self, key: Hashable) -> str | None:
        """What was made of this, or None."""
        found = self._texts.get(key)
        if found is not None:
            self._texts.move_to_end(key)
        return found

    def put(self, key: Hashable, text: str) -> None:
        """Keep a text; what was not asked for longest goes where there is no room."""
        if key not in self._texts:
            self._size += len(text)
        self._texts[key] = text
        while self._size > self._most:
            self._size -= len(self._texts.popitem(last=False)[1])

    def forget(self) -> None:
        """Keep nothing."""
        self._texts.clear()
        self._size = 0
