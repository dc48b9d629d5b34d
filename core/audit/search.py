"""Finding records. The files are read themselves: they are the authority, and need no index."""

from __future__ import annotations

import fnmatch
import json
import mmap
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from toolhost.audit.files import log_files
from toolhost.audit.record import read_line, verify_line

__all__ = ["AuditQuery", "last_records", "moment_of", "records", "records_of_call"]

_LONGEST = 64 << 20  # bytes of a line that is taken for one


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which records. What is None or empty does not matter.

    Attributes:
        since: Not before (milliseconds since the epoch).
        until: Before.
        category: `auth`, `tools`, `security` or `system`.
        event: Name of the event; `*` stands for any text.
        level: `INFO`, `WARNING` or `ERROR`.
        user: Name or id of who acted, or was named.
        call_id: The call.
        request_id: The request.
        session: The session.
        text: Stands somewhere in the record.
    """

    since: int | None = None
    until: int | None = None
    category: str | None = None
    event: str | None = None
    level: str | None = None
    user: str | None = None
    call_id: str | None = None
    request_id: str | None = None
    session: str | None = None
    text: str | None = None

    def matches(self, line: str, body: dict[str, Any]) -> bool:
        """Whether a record is one of these."""
        for key in ("category", "level", "call_id", "request_id", "session"):
            wanted = getattr(self, key)
            if wanted is not None and body.get(key) != wanted:
                return False
        if self.event is not None and not fnmatch.fnmatchcase(str(body.get("event")), self.event):
            return False
        if self.user is not None:
            details = body["details"]
            if self.user not in (body.get("user_id"), details.get("user"), details.get("account")):
                return False
        if self.since is not None or self.until is not None:
            moment = moment_of(body)
            if (self.since is not None and moment < self.since) or (self.until is not None and moment >= self.until):
                return False
        # The line has other characters than ASCII escaped; who looks for them does not write them so.
        return self.text is None or self.text in line or json.dumps(self.text)[1:-1] in line


def moment_of(body: dict[str, Any]) -> int:
    """When a record was written, milliseconds since the epoch."""
    return int(datetime.fromisoformat(body["timestamp"]).timestamp() * 1000)


def records(path: Path, query: AuditQuery | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The line and content of the records, the oldest first. A line that is not as it was sealed is left out.

    Args:
        path: The file that is written; those before it are found beside it.
        query: Which; all of them by default.
    """
    query = query or AuditQuery()
    for file in log_files(path):
        if query.since is not None and file.stat().st_mtime * 1000 < query.since - 1000:
            continue  # nothing was written to it since
        with file.open("rb") as lines:
            for raw in lines:
                line = raw.rstrip(b"\n").decode("ascii", "replace")
                try:
                    body = read_line(line)
                    wanted = query.matches(line, body)
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue
                if wanted and verify_line(line) is not None:
                    yield line, body


def last_records(path: Path, count: int, query: AuditQuery | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The last of the records, the oldest first."""
    return list(deque(records(path, query), maxlen=count))


def records_of_call(path: Path, call_id: str) -> list[dict[str, Any]]:
    """The records of a call, oldest first. A line that is not as it was sealed has no part in it.

    Args:
        path: The file that is written; one that is missing or empty holds nothing.
        call_id: The call.
    """
    return [body for file in log_files(path) for body in _of_call(file, call_id)]


def _of_call(path: Path, call_id: str) -> Iterator[dict[str, Any]]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if not os.fstat(fd).st_size:
            return
        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as log:
            yield from (body for body in _mentioning(log, call_id) if body["call_id"] == call_id)
    finally:
        os.close(fd)


def _mentioning(log: mmap.mmap, call_id: str) -> Iterator[dict[str, Any]]:
    wanted = f'"call_id":{json.dumps(call_id)}'.encode()
    at = log.find(wanted)
    while at >= 0:
        start = log.rfind(b"\n", max(0, at - _LONGEST), at) + 1
        end = log.find(b"\n", at)
        end = len(log) if end < 0 else end
        line = log[start:end].decode("ascii", "replace")
        if verify_line(line) is not None:
            yield json.loads(line)
        at = log.find(wanted, end)
