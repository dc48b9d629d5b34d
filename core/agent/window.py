"""A model's window: a conversation is kept whole until it nears it; then the oldest tool outputs are left out first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

__all__ = ["Fitted", "fit", "room_for_output", "size"]

_CHARACTERS = 3.5  # of one token; a low figure, so that the estimate is rather too large
_NEAR = 0.85  # of the window: from here on something is left out
_DOWN_TO = 0.65  # until so much is used, so that the next step does not leave out the next thing
_LEFT_OUT = "[This output was left out to make room. Make the call again if you need it.]"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a model is sent.

    Attributes:
        messages: The conversation as it fits.
        outputs: Tool outputs that were left out.
        dropped: Messages that were left out entirely.
    """

    messages: list[ModelMessage]
    outputs: int = 0
    dropped: int = 0


def size(messages: Sequence[ModelMessage]) -> int:
    """About how many tokens messages take."""
    characters = 0
    for message in messages:
        for part in message.parts:
            content = getattr(part, "content", None)
            arguments = getattr(part, "args", None)
            for value in (content, arguments):
                if value is not None:
                    characters += len(value) if isinstance(value, str) else len(json.dumps(value, default=str))
            characters += 16
    return int(characters / _CHARACTERS)


def room_for_output(context: int) -> int:
    """Characters of one tool output that a window of so many tokens has room for."""
    return max(1_000, int(context * _CHARACTERS * 0.15))


def fit(messages: Sequence[ModelMessage], *, window: int, besides: int) -> Fitted:
    """Leave out what is oldest where a conversation nears the window.

    Args:
        messages: All of it; not changed.
        window: Tokens for what is sent.
        besides: Characters that are sent along with them: the tools, the instructions.
    """
    from pydantic_ai.messages import ModelRequest, ToolReturnPart

    window -= int(besides / _CHARACTERS)
    kept = list(messages)
    if size(kept) <= window * _NEAR:
        return Fitted(kept)
    outputs = 0
    # The newest request is what the model has not seen yet: that is never touched.
    for number, message in enumerate(kept[:-1]):
        if size(kept) <= window * _DOWN_TO:
            break
        if isinstance(message, ModelRequest):
            parts = list(message.parts)
            for at, part in enumerate(parts):
                if isinstance(part, ToolReturnPart) and len(str(part.content)) > len(_LEFT_OUT):
                    parts[at] = ToolReturnPart(part.tool_name, _LEFT_OUT, part.tool_call_id)
                    outputs += 1
            kept[number] = replace(message, parts=parts)
    dropped = 0
    while size(kept) > window * _NEAR and (following := _second_exchange(kept)) is not None:
        dropped += following
        kept = kept[following:]
    return Fitted(kept, outputs, dropped)


def _second_exchange(messages: Sequence[ModelMessage]) -> int | None:
    """Where the second message of a person stands: everything before it can go together."""
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    starts = [
        number
        for number, message in enumerate(messages)
        if isinstance(message, ModelRequest) and any(isinstance(part, UserPromptPart) for part in message.parts)
    ]
    return next((start for start in starts if start > 0), None)
