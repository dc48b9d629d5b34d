"""Folders of the state in which a file to be handed over is put together: secret until then, and gone afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["remove_abandoned", "staging"]

_PREFIX = ".staged-"


@contextmanager
def staging(state: Path) -> Iterator[Path]:
    """An empty folder that exists as long as the context.

    Raises:
        OSError: It cannot be made, or removed.
    """
    with tempfile.TemporaryDirectory(dir=state, prefix=_PREFIX) as folder, _held(Path(folder)):
        yield Path(folder)


def remove_abandoned(state: Path) -> None:
    """Remove the folders of processes that were killed. What cannot be removed now is tried again at the next start."""
    for folder in state.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _held(folder, alone=True):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Hold a folder; alone, or not at all.

    Raises:
        BlockingIOError: Somebody else holds it.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)
