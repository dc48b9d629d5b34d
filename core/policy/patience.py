"""Waiting for those who write a file, before it is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from toolhost.policy.problems import Problem

__all__ = ["is_settled", "patiently"]

_T = TypeVar("_T")
_PATIENCE = 3.0  # seconds


def is_settled(problem: Problem) -> bool:
    """Whether a problem is one of what the file says, and not that somebody was writing it."""
    return problem.code != "file_changing"


def patiently(read: Callable[[], _T], settled: Callable[[_T], bool]) -> _T:
    """Read, and again for a while until what was read is settled."""
    end = time.monotonic() + _PATIENCE
    result = read()
    while not settled(result) and time.monotonic() < end:
        time.sleep(0.02)
        result = read()
    return result
