"""What a message says of who shall answer, and of which entry it means: the same over the WebSocket and REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from toolhost.errors import UsageError
from toolhost.web.answering import Choice

__all__ = ["read_choice", "read_entry"]


def read_choice(message: Mapping[str, Any]) -> Choice:
    """The fields `model` and `profile`.

    Raises:
        UsageError: `message_invalid`.
    """
    for key in ("model", "profile"):
        if not isinstance(message.get(key), str | None):
            raise UsageError("message_invalid", f"`{key}` is a name or null.", "`GET /api/models` lists them.")
    return Choice(model=message.get("model"), profile=message.get("profile"))


@overload
def read_entry(message: Mapping[str, Any], key: str) -> int: ...
@overload
def read_entry(message: Mapping[str, Any], key: str, default: None) -> int | None: ...
def read_entry(message: Mapping[str, Any], key: str, default: object = ...) -> int | None:
    """The field that names an entry.

    Raises:
        UsageError: `message_invalid`.
    """
    value = message.get(key)
    if value is None and default is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError("message_invalid", f"`{key}` is the number of an entry.", "Send an entry's `id`.")
    return value
