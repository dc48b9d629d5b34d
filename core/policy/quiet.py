"""Reading a file only while nobody writes it.

Half a policy can be valid TOML: cut off after its allows, it would lack its denies and grant more than anybody wrote.
So a file is read under a read lease of the kernel (F_SETLEASE). It is refused while anybody has the file open for
writing, mapped memory included, and while it is held whoever opens the file for writing waits for the reader.

The kernel gives a lease only to the file's owner, and some file systems have none. There a file is read when it has
not changed for a while, and taken if it is still the same afterwards: a writer who pauses for longer is not noticed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SETTLE", "DisturbedError", "quiet"]

SETTLE = 1.0
"""Seconds for which a file must not have changed where the kernel gives no lease."""


class DisturbedError(Exception):
    """Raised for a file that somebody writes now, or wrote a moment ago."""


@contextmanager
def quiet(fd: int) -> Iterator[None]:
    """Hold a file still while it is read.

    Args:
        fd: The file, open for reading.

    Raises:
        DisturbedError: It is being written; what was read meanwhile must not be used.
    """
    if _lease(fd):
        try:
            yield
        finally:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return
    before = _looks(fd)
    # Either way: a clock that was set back makes a file from the future, and that is no reason never to read it.
    if abs(time.time_ns() - before[-1]) < SETTLE * 1e9:
        raise DisturbedError
    yield
    if _looks(fd) != before:
        raise DisturbedError


def _lease(fd: int) -> bool:
    """Take a read lease; False where there are none for this file."""
    # Whoever opens the file meanwhile makes the kernel signal us. SIGIO would end this process; SIGURG is ignored.
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise DisturbedError from None
        return False
    return True


def _looks(fd: int) -> tuple[int, int, int]:
    facts = os.fstat(fd)
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
