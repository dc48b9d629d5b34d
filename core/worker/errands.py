"""The worker's end of errands: a call asks, the host answers, and whoever waits hears of it in its own thread."""

from __future__ import annotations

import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from toolhost.authoring import ToolError
from toolhost.errands import OnPiece, Piece

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["CallErrands"]

_BYTES = ("stdin", "body")
_BYTES_BACK = {"stdout": "stdout_bytes", "stderr": "stderr_bytes", "body": "body"}


class _Open(NamedTuple):
    on_piece: OnPiece | None
    future: Future[Mapping[str, Any]]


class CallErrands:
    """The errands of one call.

    Args:
        send: Sends a message about the call to the host.
    """

    def __init__(self, send: Callable[[Mapping[str, Any]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}
        self._last = 0
        self._ended = False

    def begin(self, kind: str, wanted: Mapping[str, Any], on_piece: OnPiece | None) -> Future[Mapping[str, Any]]:
        """See `toolhost.errands.Errands`."""
        from concurrent.futures import Future  # a call without errands is spared what this imports

        opened = _Open(on_piece, Future())
        with self._lock:
            if self._ended:
                opened.future.cancel()
                return opened.future
            self._last += 1
            number = self._last
            self._open[number] = opened
            sent = {key: b64encode(value).decode() if key in _BYTES else value for key, value in wanted.items()}
            self._send({"op": "errand", "errand": number, "kind": kind, "wanted": sent, "pieces": bool(on_piece)})
        opened.future.add_done_callback(lambda future: self._done(number, future))
        return opened.future

    def take(self, message: Mapping[str, Any]) -> None:
        """Something the host says about an errand; runs in the thread that reads."""
        opened = self._open.get(message["errand"])
        if opened is None:
            return
        if message["op"] == "piece":
            if opened.on_piece is not None:
                opened.on_piece(Piece(stream=message["stream"], data=b64decode(message["data"])))
            return
        if not opened.future.set_running_or_notify_cancel():
            return
        error = message.get("error")
        if error is not None:
            opened.future.set_exception(ToolError(error["message"], error["code"], error["recoverable"]))
            return
        answer = message["answer"]
        opened.future.set_result(
            {_BYTES_BACK.get(key, key): b64decode(value) if key in _BYTES_BACK else value
             for key, value in answer.items()}
        )  # fmt: skip

    def end(self) -> None:
        """The call is over or given up: nothing is asked any more, and whoever still waits in a thread waits no longer.

        After it nothing is sent: the host takes a message about a call that was answered for a lie.
        """
        with self._lock:
            self._ended = True
            opened = list(self._open.values())
        for one in opened:
            one.future.cancel()

    def _done(self, number: int, future: Future[Mapping[str, Any]]) -> None:
        with self._lock:
            self._open.pop(number, None)
            if future.cancelled() and not self._ended:
                self._send({"op": "drop", "errand": number})
