"""The files of the log: the one that is written, and those that were full or old, in the order of their records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from toolhost.audit.record import read_line, verify_line

__all__ = ["begins", "log_files", "rotated_name", "tail_record"]

_FIRST = 64 * 1024
_LAST = 256 * 1024


def rotated_name(path: Path, first: int) -> Path:
    """What a log that begins with record `first` is called once another is written."""
    return path.with_name(f"{path.stem}-{first:012d}{path.suffix}")


def log_files(path: Path) -> list[Path]:
    """Every file of a log that is there, the oldest first.

    Args:
        path: The file that is written.
    """
    named = path.parent.glob(f"{path.stem}-{'[0-9]' * 12}{path.suffix}")
    rotated = sorted(one for one in named if not one.is_symlink())
    if not path.exists():
        return rotated
    # A crash in the middle of a rotation leaves the file under both names.
    return [*(one for one in rotated if not one.samefile(path)), path]


def begins(fd: int) -> tuple[int, int] | None:
    """Sequence number and time (milliseconds since the epoch) of the first record of a file; None where it has none."""
    line = os.pread(fd, _FIRST, 0).partition(b"\n")[0]
    try:
        body = read_line(line.decode("ascii", "replace"))
        return int(body["seq"]), int(datetime.fromisoformat(body["timestamp"]).timestamp() * 1000)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def tail_record(fd: int) -> tuple[tuple[int, str] | None, bool]:
    """The last record of a file as its sequence number and hash, and whether the file ends with a line's end."""
    size = os.fstat(fd).st_size
    for line in _backwards(fd, size):
        verified = verify_line(line.decode("ascii", "replace"))
        if verified is not None:
            return (verified[0], verified[2]), os.pread(fd, 1, size - 1) == b"\n"
    return None, size == 0 or os.pread(fd, 1, size - 1) == b"\n"


def _backwards(fd: int, size: int) -> Iterator[bytes]:
    """The lines of a file, the last first; a long one is read again with more before it."""
    window = _LAST
    while size > 0:
        start = max(0, size - window)
        block = os.pread(fd, size - start, start)
        lines = block.split(b"\n")
        whole = lines if start == 0 else lines[1:]
        yield from reversed(whole)
        if start == 0:
            return
        size, window = start + len(lines[0]), window if len(lines) > 1 else window * 2
