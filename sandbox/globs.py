"""Patterns of hidden paths: what they match, and finding it in a root.

A pattern is relative to a root: `*`, `?` and `[...]` stand for part of one name, `**` for any number of folders. A
mask is a mount over a path, so a pattern can only mask what it matches when a call begins. What matches later is found
when the call has ended (`quarantine.py`).
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from toolhost.sandbox.beneath import open_strictly_beneath
from toolhost.sandbox.errors import PlanRefused

__all__ = ["MOST_ENTRIES", "MOST_MATCHES", "hides", "matching"]

MOST_MATCHES = 256
"""Paths that can be masked by patterns in one root: each is a mount."""
MOST_ENTRIES = 50_000
"""Files and folders of one root that are looked at when a call begins."""

_States = frozenset[tuple[int, int]]


class _Globs:
    """Patterns as one automaton: a state is a pattern and how many of its parts were used up."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._parts: list[list[re.Pattern[str] | None]] = []
        for pattern in patterns:
            parts = pattern.split("/")
            if parts[-1] == "**":
                parts.append("*")  # what is in a folder, not the folder
            self._parts.append([None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts])
        self.start = self._closed((number, 0) for number in range(len(patterns)))

    def step(self, states: _States, name: str) -> tuple[_States, bool]:
        """The states after one more name, and whether a pattern has matched."""
        after: list[tuple[int, int]] = []
        for pattern, used in states:
            part = self._parts[pattern][used]
            if part is None:
                after.append((pattern, used))
            elif part.match(name):
                after.append((pattern, used + 1))
        if any(used == len(self._parts[pattern]) for pattern, used in after):
            return frozenset(), True
        return self._closed(after), False

    def _closed(self, states: Iterable[tuple[int, int]]) -> _States:
        found = set()
        for pattern, used in states:
            found.add((pattern, used))
            while used < len(self._parts[pattern]) - 1 and self._parts[pattern][used] is None:
                used += 1
                found.add((pattern, used))
        return frozenset(found)


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...]) -> _Globs:
    return _Globs(patterns)


def hides(patterns: tuple[str, ...], parts: Sequence[str]) -> bool:
    """Whether a path, or a folder above it, matches a pattern.

    Args:
        patterns: The patterns.
        parts: The path's names, relative to the root.
    """
    globs = _compiled(patterns)
    states = globs.start
    for name in parts:
        states, matched = globs.step(states, name)
        if matched:
            return True
        if not states:
            return False
    return False


def matching(root_fd: int, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The paths in a root that match. What lies in a folder that matches is not looked at.

    Args:
        root_fd: Descriptor of the root.
        patterns: The patterns.

    Raises:
        PlanRefused: `too_many_hidden`: more matches, or more to look at, than can be masked. The call does not run:
            what is not masked would be there.
    """
    found: list[str] = []
    for path in _walk(root_fd, _compiled(patterns)):
        found.append(path)
        if len(found) > MOST_MATCHES:
            raise _too_many(f"More than {MOST_MATCHES} paths match the patterns of `deny`")
    return tuple(found)


def _walk(root_fd: int, globs: _Globs) -> Iterator[str]:
    seen = 0
    if not stat.S_ISDIR(os.fstat(root_fd).st_mode):
        return
    waiting: list[tuple[str, _States]] = [(".", globs.start)]
    while waiting:
        folder, states = waiting.pop()
        try:
            fd = open_strictly_beneath(root_fd, folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
        except FileNotFoundError:
            continue  # gone since it was listed
        except OSError as error:
            raise _unsearched(error) from None
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    seen += 1
                    if seen > MOST_ENTRIES:
                        raise _too_many(f"A folder has more than {MOST_ENTRIES} files to search for `deny`")
                    path = entry.name if folder == "." else f"{folder}/{entry.name}"
                    after, matched = globs.step(states, entry.name)
                    if matched:
                        yield path
                    elif after and entry.is_dir(follow_symlinks=False):
                        waiting.append((path, after))
        except OSError as error:
            raise _unsearched(error) from None
        finally:
            os.close(fd)


def _unsearched(error: OSError) -> PlanRefused:
    # Another mount or a closed folder, or no descriptor left: what cannot be looked into cannot be masked.
    what = f"A folder cannot be searched for the patterns of `deny` ({error.strerror})"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return PlanRefused("descriptors_exhausted", f"{what}.", "Raise the limit on open files.")
    return _too_many(what)


def _too_many(what: str) -> PlanRefused:
    return PlanRefused("too_many_hidden", f"{what}.", "Name plain paths in `deny`, or use a smaller folder.")
