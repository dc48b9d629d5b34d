"""The audit log: files that are only appended to, hash-chained, and shared between processes under flock(2).

The files are the authority; the database holds an index over them. A record that cannot be written is an error for the
caller, and what it would have recorded does not happen.

A file that is full or old is left under another name (`audit-000000000001.log`, by its first record), and the next one
begins with `audit.rotated`, which names it and follows its last record. One that is older than the retention is
removed when another is rotated, and `audit.pruned` says which records it had and what the first that is left follows.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolhost import metrics
from toolhost.audit.files import begins, log_files, rotated_name, tail_record
from toolhost.audit.record import GENESIS, AuditRecord, Category, Level, seal
from toolhost.audit.security_log import SecurityLog
from toolhost.errors import MachineError
from toolhost.identifiers import now_ms
from toolhost.model import Actor

if TYPE_CHECKING:
    from toolhost.settings import Settings

__all__ = ["SYNC_DELAY", "AuditLog", "AuditTerms"]

_logger = logging.getLogger(__name__)

SYNC_DELAY = 0.05
"""Seconds within which a written record is also on the disk: one fsync serves all records of that time."""

_AGAIN = 60.0  # seconds after which a rotation that failed is tried again
_PATIENCE = 2.0  # seconds another process may take for its record
_IMPATIENCE = 0.05  # the same where the last record could not be written


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTerms:
    """How the log is kept.

    Attributes:
        sync_each: Whether each record is on the disk before the call goes on, instead of within `SYNC_DELAY`.
        largest: Bytes after which another file is begun.
        oldest: Seconds after whose first record another file is begun.
        keep: Seconds for which full files are kept; None for ever.
    """

    sync_each: bool = False
    largest: int = 64 << 20
    oldest: float = 30 * 86400.0
    keep: float | None = None

    @classmethod
    def of(cls, settings: Settings) -> AuditTerms:
        """As the settings want it."""
        return cls(
            sync_each=settings.audit_sync == "record",
            largest=settings.audit_rotate_size,
            oldest=settings.audit_rotate_age,
            keep=settings.audit_keep,
        )


class AuditLog:
    """Appends records.

    Args:
        path: The file that is written, made with mode 0600 where it is missing.
        on_record: Called with each record after it was written, such as to index it.
        terms: How it is kept.

    Attributes:
        failing: Since when (milliseconds since the epoch) and why the last records could not be written; None where
            the last one was.
        gap: The same of an earlier time, until somebody has written that there was one, and set it to None.
    """

    def __init__(
        self,
        path: Path,
        on_record: Callable[[AuditRecord], None] = lambda record: None,
        terms: AuditTerms | None = None,
    ) -> None:
        self._path = path
        self._name = str(path)
        self._on_record = on_record
        self._terms = terms or AuditTerms()
        self._security = SecurityLog(path.with_name("security.log"), largest=self._terms.largest, keep=self._terms.keep)
        self._sync: asyncio.TimerHandle | None = None
        self._seq, self._hash, self._size = 0, GENESIS, 0
        self._begun: tuple[int, int] | None = None  # first record of the file: number and time
        self._not_before = 0.0
        self.failing: tuple[int, str] | None = None
        self.gap: tuple[int, str] | None = None
        try:
            self._fd = self._open(path)
        except OSError as error:
            raise self._unavailable(error) from error

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._path

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
        written: list[AuditRecord] = []
        try:
            size = self._lock()
            try:
                if size != self._size or not (size or self._seq):
                    self._catch_up(size)
                if self._is_due():
                    self._rotate(written)
                record = self._append(category, event, details, actor=actor, call_id=call_id, level=level)
                written.append(record)
                if self._terms.sync_each:
                    os.fsync(self._fd)
                for one in written:
                    self._security.write(one)
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        except OSError as error:
            if self.failing is None:
                self.failing = (now_ms(), str(error.strerror))
                _logger.error("the audit log cannot be written, so nothing runs: %s", error.strerror)
            raise self._unavailable(error) from error
        if self.failing is not None:
            self.gap, self.failing = self.gap or self.failing, None
        if not self._terms.sync_each:
            self._sync_soon()
        for one in written:
            self._on_record(one)
        metrics.count_record(category, event, details)
        return record

    def close(self) -> None:
        """Put everything on the disk and close the file."""
        if self._sync is not None:
            self._sync.cancel()
        os.fsync(self._fd)
        os.close(self._fd)

    # -- the file ------------------------------------------------------------------------------------------------

    @staticmethod
    def _open(path: Path, more: int = 0) -> int:
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | more, 0o600)

    def _lock(self) -> int:
        """Lock the file that has the log's name: another process may have begun another one. Returns its size."""
        while True:
            self._wait_for_others()
            ours = os.fstat(self._fd)
            try:
                named = os.stat(self._name, follow_symlinks=False)  # noqa: PTH116 - twice a call
            except FileNotFoundError:
                named = None
            if named is not None and (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino):
                return ours.st_size
            fresh = self._open(self._path)
            os.fsync(self._fd)
            os.close(self._fd)
            # Who removes the file does not make the log begin anew: the next record still follows the last.
            self._fd, self._size, self._begun = fresh, 0, None

    def _wait_for_others(self) -> None:
        """Lock the file that is open; one who was stopped within a record must not stop everybody who waits for us."""
        deadline: float | None = None
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if deadline is None:
                    deadline = time.monotonic() + (_PATIENCE if self.failing is None else _IMPATIENCE)
                elif time.monotonic() >= deadline:
                    raise OSError(errno.ETIMEDOUT, "another process keeps it locked") from None
                time.sleep(0.001)
            else:
                return

    def _catch_up(self, size: int) -> None:
        """Learn what other processes appended."""
        last, ended = tail_record(self._fd)
        if last is None and not self._seq:
            last = self._last_rotated()
        if last is not None and last[0] > self._seq:
            self._seq, self._hash = last
        self._begun = begins(self._fd)
        self._size = size
        if not ended:
            # A line that a crash cut short stays where it is, on a line of its own.
            self._put(b"\n")

    def _last_rotated(self) -> tuple[int, str] | None:
        """The last record of the newest full file, where the file that is written has none."""
        full = [one for one in log_files(self._path) if one != self._path]
        if not full:
            return None
        fd = os.open(full[-1], os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return tail_record(fd)[0]
        finally:
            os.close(fd)

    def _append(self, category: Category, event: str, details: Mapping[str, Any], **more: Any) -> AuditRecord:
        record = seal(category, event, details, seq=self._seq + 1, prev_hash=self._hash, **more)
        self._put(record.line.encode() + b"\n")
        self._seq, self._hash = record.seq, record.hash
        if self._begun is None:
            self._begun = (record.seq, record.timestamp)
        return record

    def _put(self, data: bytes) -> None:
        written = os.write(self._fd, data)
        if written != len(data):
            # A full disk took a part of the line: take it back, so that the log holds whole records only.
            os.ftruncate(self._fd, self._size)
            raise OSError(28, "No space left on device")
        self._size += written

    # -- rotation ------------------------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        if self._begun is None:
            return False
        is_full = self._size >= self._terms.largest or now_ms() - self._begun[1] >= self._terms.oldest * 1000
        return is_full and time.monotonic() >= self._not_before

    def _rotate(self, written: list[AuditRecord]) -> None:
        """Begin another file; where that is not possible, go on in this one."""
        assert self._begun is not None
        first, last = self._begun[0], self._seq
        full = rotated_name(self._path, first)
        before = self._fd, self._size, self._begun, self._seq, self._hash
        fresh = -1
        try:
            fresh = self._open(self._path.with_name(self._path.name + ".next"), os.O_TRUNC)
            fcntl.flock(fresh, fcntl.LOCK_EX)
            os.fsync(self._fd)
            self._fd, self._size, self._begun = fresh, 0, None
            record = self._append("system", "audit.rotated", {"file": full.name, "first": first, "last": last})
            os.fsync(fresh)
            if not full.exists():
                full.hardlink_to(self._path)
            self._path.with_name(self._path.name + ".next").rename(self._path)
        except OSError as error:
            self._fd, self._size, self._begun, self._seq, self._hash = before
            self._not_before = time.monotonic() + _AGAIN
            if fresh >= 0:
                os.close(fresh)
            _logger.error("the audit log goes on in one file, as another cannot be begun: %s", error.strerror)
            return
        os.close(before[0])
        written.append(record)
        if self._terms.keep is not None:
            self._prune(self._terms.keep, written)

    def _prune(self, keep: float, written: list[AuditRecord]) -> None:
        for old in log_files(self._path)[:-1]:
            fd = os.open(old, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                first, (last, _) = begins(fd), tail_record(fd)
                if os.fstat(fd).st_mtime > time.time() - keep:
                    return
            finally:
                os.close(fd)
            if first is None or last is None:
                return  # not ours to judge: `audit verify` names it
            details = {"file": old.name, "first": first[0], "last": last[0], "last_hash": last[1]}
            written.append(self._append("system", "audit.pruned", details))
            os.fsync(self._fd)
            old.unlink()

    # -- the disk ------------------------------------------------------------------------------------------------

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
            f"The audit log {self._path.parent.name}/{self._path.name} cannot be written: {error.strerror}. "
            "Nothing was run.",
            "Make room or give the file back to the service user; calls resume by themselves.",
        )
