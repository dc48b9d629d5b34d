"""Request bodies: a JSON object whose text can be stored and printed, or one clear refusal."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from quart import request

from toolhost.errors import UsageError

__all__ = ["LARGEST", "check_still_there", "parse_object", "read_object"]

LARGEST = 2 << 20
"""Bytes of a request body."""


async def read_object() -> dict[str, Any]:
    """The request's body.

    Raises:
        UsageError: `body_invalid`.
    """
    # A form of another site can post text/plain without a preflight; JSON it cannot.
    if request.mimetype != "application/json":
        raise UsageError("body_invalid", "The request must be JSON.", "Send Content-Type: application/json.")
    raw = await request.get_data()
    check_still_there()
    return parse_object(raw)


def check_still_there() -> None:
    """Stop here where whoever sent the request has hung up.

    The wait for a body (`asyncio.wait_for` before Python 3.12) forgets that it was cancelled where the rest of the body
    came in the same moment: what was begun then would go on for nobody.

    Raises:
        asyncio.CancelledError: They have.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def parse_object(raw: bytes | str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UsageError: `body_invalid` for anything else, and for text that holds half a surrogate pair.
    """
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # 1e999 is read as infinity
    except (ValueError, RecursionError) as error:
        reason = "it holds half a surrogate pair" if isinstance(error, UnicodeEncodeError) else "it is not JSON"
        raise UsageError("body_invalid", f"The request cannot be read: {reason}.", "Send a JSON object.") from None
    if not isinstance(value, dict):
        raise UsageError("body_invalid", "The request must be a JSON object.", "Send a JSON object.")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
