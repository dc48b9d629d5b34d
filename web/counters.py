"""Counters of sliding windows in bounded memory: a storage for `limits`, whose own one keeps every key it ever saw."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from limits.storage import SlidingWindowCounterSupport, Storage

__all__ = ["Counters"]


@dataclass(slots=True)
class _Window:
    """One key's counts: of the stretch of time that runs, and of the one before it."""

    number: int
    current: int = 0
    previous: int = 0


class Counters(Storage, SlidingWindowCounterSupport):
    """Counts by key. Where there are too many keys, those that were not counted for longest are forgotten.

    Time is the machine's monotonic clock, so that setting the clock neither opens nor closes anything.

    Args:
        most: Keys that are kept; each takes about 300 bytes.
        clock: Seconds that only grow.
    """

    STORAGE_SCHEME = None

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most = most
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count, unless that would be more than the limit."""
        previous, left, current, _ = self.get_sliding_window(key, expiry)
        if int(previous * left / expiry + current) + amount > limit:
            return False
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(self._number(expiry))
            if len(self._windows) > self._most:
                self._windows.popitem(last=False)
        self._windows.move_to_end(key)
        window.current += amount
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The count before, how long it still weighs, the count now, and how long that will."""
        left = expiry - self._clock() % expiry
        window = self._windows.get(key)
        if window is None:
            return 0, 0.0, 0, left + expiry
        passed = self._number(expiry) - window.number
        if passed:
            window.previous = window.current if passed == 1 else 0
            window.current, window.number = 0, window.number + passed
        return window.previous, left if window.previous else 0.0, window.current, left + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget a key."""
        self._windows.pop(key, None)

    def give_back(self, key: str) -> None:
        """Take one back that was counted and should not have been."""
        window = self._windows.get(key)
        if window is not None and window.current > 0:
            window.current -= 1

    def wait(self, key: str, limit: int, expiry: int) -> float:
        """Seconds until one more fits."""
        previous, left, current, _ = self.get_sliding_window(key, expiry)
        if int(previous * left / expiry + current) < limit:
            return 0.0
        if current < limit:
            return left - (limit - current) * expiry / previous
        # Full in this stretch alone: it has to become the one before, and to weigh less than it does at first.
        return expiry - self._clock() % expiry + expiry * (1 - limit / current)

    def _number(self, expiry: int) -> int:
        return int(self._clock() // expiry)

    # What other strategies of the library would ask of a storage

    @property
    def base_exceptions(self) -> type[Exception]:
        """What a storage elsewhere would raise."""
        return OSError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Of fixed windows, which are not counted here."""
        raise NotImplementedError

    def get(self, key: str) -> int:
        """The count of the stretch that runs."""
        window = self._windows.get(key)
        return 0 if window is None else window.current

    def get_expiry(self, key: str) -> float:
        """Of fixed windows, which are not counted here."""
        raise NotImplementedError

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def reset(self) -> int:
        """Forget everything."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget a key."""
        self._windows.pop(key, None)
