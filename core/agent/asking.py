"""Asking a model once: its answer as it comes, tried again where its server could not answer now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from toolhost.agent.clients import Client
from toolhost.agent.faults import ModelError, fault_of
from toolhost.agent.folding import HEARING, Ear
from toolhost.identifiers import new_id

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.settings import ModelSettings

    from toolhost.agent.config import ModelSpec
    from toolhost.agent.naming import Offer

__all__ = ["Listener", "Said", "ask"]

_ATTEMPTS = 4
_FIRST_PAUSE = 1.0  # seconds; doubled each time
_LONGEST_PAUSE = 60.0  # who is asked to wait longer is told so instead


class Listener(Protocol):
    """Hears what a model says while it says it."""

    def begin_message(self, message_id: str) -> None:
        """It begins."""

    def add_text(self, message_id: str, text: str) -> None:
        """A piece of its text."""

    def add_thought(self, message_id: str, text: str) -> None:
        """A piece of its reasoning."""

    def request_tool(self, message_id: str, request_id: str, name: str) -> None:
        """It begins to write a call."""

    def add_arguments(self, request_id: str, text: str) -> None:
        """A piece of a call's arguments."""

    def retry(self, attempt: int, after: float, error: ModelError) -> None:
        """It could not answer, and is asked again after so many seconds."""


@dataclass(slots=True)
class Said:
    """What a model has said so far in one answer.

    Attributes:
        message_id: `m_...`.
        text: Its text.
        requests: For each call it asked for, by the place in its answer, the name the events use.
        response: The whole answer, once it is.
    """

    message_id: str
    text: str = ""
    requests: list[str] | None = None
    response: ModelResponse | None = None
    begun: bool = False


async def ask(
    client: Client,
    spec: ModelSpec,
    messages: Sequence[ModelMessage],
    *,
    offer: Offer,
    instructions: str,
    said: Said,
    listener: Listener,
) -> ModelResponse:
    """Ask for one answer.

    Args:
        client: The client.
        spec: The model.
        messages: The conversation; the last one is a request.
        offer: What it may ask for.
        instructions: What it is told before everything else.
        said: Filled while it answers, so that what came is known also where the rest does not come.
        listener: Hears it.

    Raises:
        ModelError: It did not answer.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await _once(client, spec, messages, offer, instructions, said, listener)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # whatever the library raises is named here
            fault = fault_of(error, spec, begun=said.begun, secret=client.secret)
            if not _is_of_the_library(error):
                raise
            pause = fault.retry_after if fault.retry_after is not None else _FIRST_PAUSE * 2 ** (attempt - 1)
            if not fault.again or attempt == _ATTEMPTS or pause > _LONGEST_PAUSE:
                raise fault from None
        listener.retry(attempt, pause, fault)
        await asyncio.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _is_of_the_library(error: Exception) -> bool:
    from pydantic_ai.exceptions import AgentRunError

    # A malformed answer surfaces as whatever the parser met: of the provider's making too, not of ours.
    return isinstance(error, AgentRunError | TimeoutError | ValueError | KeyError | TypeError | OSError)


async def _once(
    client: Client,
    spec: ModelSpec,
    messages: Sequence[ModelMessage],
    offer: Offer,
    instructions: str,
    said: Said,
    listener: Listener,
) -> ModelResponse:
    from pydantic_ai.direct import model_request_stream
    from pydantic_ai.messages import (
        ModelRequest,
        PartDeltaEvent,
        PartStartEvent,
        TextPart,
        TextPartDelta,
        ThinkingPart,
        ThinkingPartDelta,
        ToolCallPart,
        ToolCallPartDelta,
    )
    from pydantic_ai.models import ModelRequestParameters

    last = messages[-1]
    assert isinstance(last, ModelRequest)
    requests: dict[int, str] = {}
    text, thought = _Whole(), _Whole()

    def begin() -> None:
        if not said.begun:
            said.begun = True
            listener.begin_message(said.message_id)

    def hear_text(piece: str) -> None:
        if whole := text.feed(piece):
            begin()
            said.text += whole
            listener.add_text(said.message_id, whole)

    def hear(event: object) -> None:
        if isinstance(event, PartStartEvent):
            part = event.part
            if isinstance(part, TextPart):
                hear_text(ear.rest(part.content))
                ear.open = True
            elif isinstance(part, ThinkingPart):
                begin()
                listener.add_thought(said.message_id, thought.feed(part.content))
            elif isinstance(part, ToolCallPart):
                begin()
                requests[event.index] = new_id("q")
                listener.request_tool(said.message_id, requests[event.index], part.tool_name)
                if isinstance(part.args, str):
                    listener.add_arguments(requests[event.index], _encodable(part.args))
        elif isinstance(event, PartDeltaEvent):
            delta = event.delta
            if isinstance(delta, TextPartDelta):
                hear_text(ear.rest(delta.content_delta))
                ear.open = True
            elif isinstance(delta, ThinkingPartDelta):
                listener.add_thought(said.message_id, thought.feed(delta.content_delta or ""))
            elif isinstance(delta, ToolCallPartDelta) and isinstance(delta.args_delta, str):
                request_id = requests.get(event.index)
                if request_id is not None:
                    listener.add_arguments(request_id, _encodable(delta.args_delta))

    settings: ModelSettings = {"max_tokens": spec.output}
    definitions = offer.definitions
    if spec.provider == "openai" and offer.wire:
        # As they are: the libraries would look through the schemas of all tools in every request.
        settings["extra_body"] = {"tools": offer.wire}
        definitions = ()
    ear = Ear(hear_text)
    heard_before = HEARING.set(ear)
    try:
        async with model_request_stream(
            client.model,
            [*messages[:-1], replace(last, instructions=instructions)],
            model_settings=settings,
            model_request_parameters=ModelRequestParameters(function_tools=list(definitions)),
        ) as stream:
            async for event in stream:
                hear(event)
            response = stream.get()
    finally:
        HEARING.reset(heard_before)
    said.requests = [requests[index] for index in sorted(requests)]
    said.response = response = _clean(response)
    return response


class _Whole:
    """Text of pieces between which a character may be split into its two surrogates."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        text = self._half + piece
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return _encodable(text)


def _encodable(text: str) -> str:
    """The text with halves of characters joined, or replaced where the other half is missing."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _clean(response: ModelResponse) -> ModelResponse:
    """The answer as it can be written down, sent again, and told from every other: some servers number calls anew."""
    from pydantic_ai.messages import TextPart, ThinkingPart, ToolCallPart

    parts: list[Any] = []
    seen: set[str] = set()
    for part in response.parts:
        if isinstance(part, TextPart | ThinkingPart):
            parts.append(replace(part, content=_encodable(part.content)))
        elif isinstance(part, ToolCallPart):
            identifier = part.tool_call_id
            if not identifier or identifier in seen or len(identifier) > 64 or not identifier.isprintable():
                identifier = new_id("t").replace("_", "")
            seen.add(identifier)
            args: Any = _encodable(part.args) if isinstance(part.args, str) else part.args
            parts.append(ToolCallPart(part.tool_name, args, identifier, id=part.id, provider_name=part.provider_name))
        else:
            parts.append(part)
    return replace(response, parts=parts)
