"""The audit log: a file that is only appended to, hash-chained, and shared between processes under flock(2).

The file is the authority; the database holds an index over it. A record that cannot be written is an error for the
caller, and what it would have recorded does not happen.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from toolhost.audit.record import GENESIS, AuditRecord, Category, Level, seal, verify_line
from toolhost.errors import MachineError
from toolhost.model import Actor

__all__ = ["SYNC_DELAY", "AuditLog"]

SYNC_DELAY = 0.05
"""Seconds within which a written record is also on the disk: one fsync serves all records of that time."""

_TAIL = 256 * 1024


class AuditLog:
    """Appends records to one file.

    Args:
        path: The log, made with mode 0600 where it is missing.
        on_record: Called with each record after it was written, such as to index it.
    """

    def __init__(self, path: Path, on_record: Callable[[AuditRecord], None] = lambda record: None) -> None:
        self._path = path
        self._on_record = on_record
        self._sync: asyncio.TimerHandle | None = None
        self._seq, self._hash, self._size = 0, GENESIS, 0
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._unavailable(error) from error

    def write(
        self,
        category: Category,
        event: str,
        details: Mapping[str, Any],
        *,
        actor: Actor | None = None,
        call_id: str | None = None,
        level: Level = "INFO",
    ) -> AuditRecord:
        """Append one record.

        Raises:
            MachineError: `audit_unavailable` where it could not be written.
        """
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                prefix = self._catch_up()
                record = seal(
                    category,
                    event,
                    details,
                    seq=self._seq + 1,
                    prev_hash=self._hash,
                    actor=actor,
                    call_id=call_id,
                    level=level,
                )
                self._append(prefix + record.line.encode() + b"\n")
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        except OSError as error:
            raise self._unavailable(error) from error
        self._seq, self._hash = record.seq, record.hash
        self._sync_soon()
        self._on_record(record)
        return record

    def close(self) -> None:
        """Put everything on the disk and close the file."""
        if self._sync is not None:
            self._sync.cancel()
        os.fsync(self._fd)
        os.close(self._fd)

    def _append(self, data: bytes) -> None:
        written = os.write(self._fd, data)
        if written != len(data):
            # A full disk took a part of the line: take it back, so that the log holds whole records only.
            os.ftruncate(self._fd, self._size)
            raise OSError(28, "No space left on device")
        self._size += written

    def _catch_up(self) -> bytes:
        """Learn what other processes appended; returns what must come before the next line."""
        size = os.fstat(self._fd).st_size
        if size == self._size:
            return b""
        self._size = size
        tail = os.pread(self._fd, _TAIL, max(0, size - _TAIL))
        for line in reversed(tail.split(b"\n")):
            verified = verify_line(line.decode("ascii", "replace"))
            if verified is not None:
                self._seq, _, self._hash = verified
                break
        # A line that a crash cut short stays where it is, on a line of its own.
        return b"" if tail.endswith(b"\n") else b"\n"

    def _sync_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            os.fsync(self._fd)
            return
        if self._sync is None:
            self._sync = loop.call_later(SYNC_DELAY, self._sync_now, loop)

    def _sync_now(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sync = None
        duplicate = os.dup(self._fd)

        def sync() -> None:
            try:
                os.fsync(duplicate)
            finally:
                os.close(duplicate)

        loop.run_in_executor(None, sync)

    def _unavailable(self, error: OSError) -> MachineError:
        return MachineError(
            "audit_unavailable",
            f"The audit log {self._path} cannot be written: {error.strerror}. Nothing was run.",
            "Make room or give the file back to the service user; calls resume by themselves.",
        )
