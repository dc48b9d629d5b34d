"""The worker's end of the protocol: one JSON object a line, over two private descriptors."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Channel", "encode"]


def encode(message: Mapping[str, Any]) -> bytes:
    """One line of the protocol; half a surrogate pair becomes U+FFFD.

    Raises:
        TypeError: For a value JSON cannot express.
        ValueError: For NaN, infinity or a value that holds itself.
        RecursionError: For a value that is nested too deeply.
    """
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode() + b"\n"


class Channel:
    """Reads the host's requests and writes replies; any thread may send."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming = os.fdopen(incoming, "rb")
        self._outgoing = outgoing
        self._lock = threading.Lock()

    def requests(self) -> Iterator[dict[str, Any]]:
        """The host's requests, until it closes the pipe."""
        for line in self._incoming:
            yield json.loads(line)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; errors as in `encode`."""
        self.send_line(encode(message))

    def send_line(self, line: bytes) -> None:
        """Send an encoded message whole: another thread's never comes between its parts."""
        with self._lock:
            view = memoryview(line)
            while view:
                view = view[os.write(self._outgoing, view) :]
