"""What a model is told was said before: the shown branch of a conversation, in the library's messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolhost.agent.naming import model_name
from toolhost.agent.store import load
from toolhost.agent.telling import told
from toolhost.agent.turn import closed
from toolhost.conversations import Entry
from toolhost.model import CallResult

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

__all__ = ["history"]


async def history(
    entries: Sequence[Entry],
    said: Mapping[str, str | None],
    record: Callable[[str], Awaitable[Mapping[str, Any] | None]],
    *,
    room: int,
) -> list[ModelMessage]:
    """The messages of a branch.

    Args:
        entries: Of the branch, up to where the model goes on.
        said: For each run of a model, what was said in it.
        record: Reads the record of a call that a person made.
        room: Characters of one output.
    """
    from pydantic_ai.messages import ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart, UserPromptPart

    messages: list[ModelMessage] = []
    taken: set[str] = set()
    for entry in entries:
        if entry.run_id in said:
            if entry.kind == "user":
                messages.append(ModelRequest(parts=[UserPromptPart(entry.text)]))
            elif entry.run_id not in taken:
                taken.add(entry.run_id)
                messages += closed(load(said[entry.run_id]))
        elif entry.kind == "call" and entry.call_id is not None:
            call = await record(entry.call_id)
            if call is None or call["result"] is None:
                continue
            # A person's own call is told in the form of a model's, so that its output is framed like any other.
            name, identifier = model_name(call["tool"]), entry.call_id.replace("_", "")
            text = told(CallResult.from_json(call["result"]), room).text
            messages.append(ModelRequest(parts=[UserPromptPart(f"(The person called {call['tool']} themselves.)")]))
            messages.append(ModelResponse(parts=[ToolCallPart(name, call["arguments"], identifier)]))
            messages.append(ModelRequest(parts=[ToolReturnPart(name, text, identifier)]))
    return messages
