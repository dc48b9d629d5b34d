"""`security.log`: what an intrusion detector reads of the audit log, in a file that it can follow by name."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path

from toolhost.audit.record import AuditRecord

__all__ = ["SecurityLog"]

_logger = logging.getLogger(__name__)
_CATEGORIES = ("auth", "security")


class SecurityLog:
    """Appends the lines of some records to a file. It is a copy: what cannot be written to it stops nothing.

    Args:
        path: The file, made with mode 0600 where it is missing.
        largest: Bytes after which another is begun.
        keep: Seconds for which the full ones are kept; None for ever.
    """

    def __init__(self, path: Path, *, largest: int, keep: float | None) -> None:
        self._path = path
        self._largest = largest
        self._keep = keep
        self._failing = False

    def write(self, record: AuditRecord) -> None:
        """Append a record, if it is for a detector. Called with the audit log locked: one process at a time."""
        if record.category not in _CATEGORIES:
            return
        try:
            # Opened each time: whoever rotates it otherwise (logrotate) takes the file away.
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                size = os.fstat(fd).st_size
                os.write(fd, record.line.encode() + b"\n")
            finally:
                os.close(fd)
            if size >= self._largest:
                self._begin_another()
        except OSError as error:
            if not self._failing:
                _logger.error("%s cannot be written: %s", self._path, error.strerror)
            self._failing = True
        else:
            self._failing = False

    def _begin_another(self) -> None:
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        os.replace(self._path, self._path.with_name(f"{self._path.stem}-{moment}{self._path.suffix}"))  # noqa: PTH105
        if self._keep is None:
            return
        for old in self._path.parent.glob(f"{self._path.stem}-*T*{self._path.suffix}"):
            with contextlib.suppress(OSError):
                if old.stat().st_mtime < time.time() - self._keep:
                    old.unlink()
