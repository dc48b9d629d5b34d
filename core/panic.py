"""Panic: the switch that stops everything, kept on disk so that every process sees it and none has to be asked.

`toolhost panic` and `POST /api/panic` set it; from then on no call is carried out, by whatever way it comes, and the
spawners end every sandbox (`toolhost.sandbox.halt`). `toolhost resume` and `POST /api/resume` take it away.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolhost.errors import MachineError, UsageError
from toolhost.identifiers import now_ms
from toolhost.sandbox.halt import HALT, end_sandboxes, sandboxed

__all__ = ["Panic", "PanicSwitch"]

_PATIENCE = 1.0  # seconds in which the spawners end the sandboxes, before that is done without them
_END = 5.0
_LOOK = 0.02
_LONGEST = 500  # characters of a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Panic:
    """A stop.

    Attributes:
        by: Who stopped everything.
        at: When, milliseconds since the epoch.
        reason: Why, or an empty text.
    """

    by: str
    at: int
    reason: str

    def as_json(self) -> dict[str, Any]:
        """The object of the API."""
        return {"by": self.by, "at": self.at, "reason": self.reason}


class PanicSwitch:
    """The switch of one data directory.

    Args:
        state: Its state folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._path = state / HALT
        self._name = str(self._path)

    def check(self) -> None:
        """Refuse to go on where everything is stopped.

        Raises:
            MachineError: `panicked`.
        """
        found = self.current()
        if found is None:
            return
        moment = datetime.fromtimestamp(found.at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        why = f": {found.reason}" if found.reason else ""
        raise MachineError(
            "panicked",
            f"{found.by or 'Somebody'} stopped everything at {moment}{why}. Nothing runs until it is resumed.",
            "An administrator can resume: `toolhost resume`, or the page of the system.",
        )

    def current(self) -> Panic | None:
        """The stop that holds, or None. One that cannot be read holds."""
        try:
            fd = os.open(self._name, os.O_RDONLY | os.O_CLOEXEC)  # without `Path`, twice a call
        except FileNotFoundError:
            return None
        except OSError:
            return Panic(by="", at=0, reason="")
        try:
            with os.fdopen(fd, "rb") as file:
                found = json.loads(file.read())
            return Panic(by=str(found["by"]), at=int(found["at"]), reason=str(found["reason"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Panic(by="", at=0, reason="")

    def set(self, by: str, reason: str) -> Panic:
        """Stop everything. A stop that holds already keeps its reason.

        Raises:
            UsageError: `reason_invalid`.
            MachineError: `data_not_writable`.
        """
        if len(reason) > _LONGEST:
            raise UsageError("reason_invalid", f"The reason is a text of up to {_LONGEST} characters.", "Shorten it.")
        panic = Panic(by=by, at=now_ms(), reason=reason)
        draft = self._path.with_name(f".{HALT}.{os.getpid()}")
        try:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with contextlib.suppress(OSError):  # on a full disk it holds without its reason
                    os.write(fd, json.dumps(panic.as_json()).encode() + b"\n")
                    os.fsync(fd)
            finally:
                os.close(fd)
            with contextlib.suppress(FileExistsError):
                self._path.hardlink_to(draft)
            draft.unlink()
        except OSError as error:
            raise MachineError(
                "data_not_writable", f"{self._path} cannot be made: {error.strerror}.", "Stop the server instead."
            ) from error
        return self.current() or panic

    def clear(self) -> bool:
        """Let calls run again; False where nothing was stopped."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    def wait_until_over(self) -> int:
        """Wait until nothing runs in any sandbox, ending it here where the spawners do not. Blocks.

        Returns:
            How many processes are left all the same.
        """
        began = time.monotonic()
        while left := sandboxed(self._state):
            waited = time.monotonic() - began
            if waited > _END:
                break
            if waited > _PATIENCE:
                end_sandboxes(self._state)
            time.sleep(_LOOK)
        return len(left)
