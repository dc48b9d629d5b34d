"""Finding what the audit log says of one call. The file is read itself: it is the authority, and needs no index."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolhost.audit.record import verify_line

__all__ = ["records_of_call"]

_LONGEST = 64 << 20  # bytes of a line that is taken for one


def records_of_call(path: Path, call_id: str) -> list[dict[str, Any]]:
    """The records of a call, oldest first. A line that is not as it was sealed has no part in it.

    Args:
        path: The log; one that is missing or empty holds nothing.
        call_id: The call.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return []
    try:
        if not os.fstat(fd).st_size:
            return []
        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as log:
            return [body for body in _mentioning(log, call_id) if body["call_id"] == call_id]
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
