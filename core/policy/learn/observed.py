"""A recorded call that did not work, as far as there is something to learn from it."""

from __future__ import annotations

from dataclasses import dataclass

from toolhost.policy.request import Considered, Request

__all__ = ["Failure", "Note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call that was denied, or ran and failed.

    Attributes:
        call_id: The call.
        request: What it asked.
        now: What is decided of it today.
        denied: Whether it was denied then.
        exit_code: Of its program, or None.
        limit: The limit that ended it, or an empty string.
        said: Its standard error, and the message of its error.
        refused: `host:port` of each connection that no rule named.
    """

    call_id: str
    request: Request
    now: Considered
    denied: bool = False
    exit_code: int | None = None
    limit: str = ""
    said: str = ""
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What is not proposed, and why.

    Attributes:
        reason: One sentence.
        calls: The calls that lacked it.
    """

    reason: str
    calls: tuple[str, ...]
