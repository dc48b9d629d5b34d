"""The clients of model servers. The library takes seconds to import: it is loaded by a thread, once, when needed."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolhost.agent.folding import fold_response

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from toolhost.agent.config import ModelSpec

__all__ = ["Client", "Clients"]

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 300.0  # a local server loads its model before it says anything


@dataclass(frozen=True, slots=True)
class Client:
    """A model that can be asked.

    Attributes:
        model: Of the library.
        secret: The key it was made with, to be taken out of whatever is shown.
    """

    model: Model
    secret: str

    def __repr__(self) -> str:
        return "Client()"


class Clients:
    """Makes each client once for as long as its key stays the same."""

    def __init__(self) -> None:
        self._made: dict[tuple[ModelSpec, str], Client] = {}

    async def get(self, spec: ModelSpec) -> Client:
        """The client of a model.

        Raises:
            UsageError: `model_key_missing`.
        """
        secret = "" if spec.key is None else await asyncio.to_thread(spec.key.read)
        made = self._made.get((spec, secret))
        if made is None:
            made = Client(await asyncio.to_thread(_make, spec, secret), secret)
            self._made = {key: value for key, value in self._made.items() if key[0].name != spec.name}
            self._made[(spec, secret)] = made
        return made

    async def load(self) -> None:
        """Import the library now, so that the first message does not wait for it."""
        await asyncio.to_thread(_load)


def _load() -> None:
    os.environ.setdefault("PYDANTIC_AI_NO_BANNER", "1")
    import pydantic_ai.direct
    import pydantic_ai.models.openai  # noqa: F401  (for its effect)


def _make(spec: ModelSpec, secret: str) -> Model:
    _load()
    hooks = {"response": [fold_response]}
    if spec.provider == "anthropic":
        from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient
        from anthropic import Timeout as AnthropicTimeout
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        # Retries are ours: the person is told of each.
        anthropic = AsyncAnthropic(
            base_url=spec.url,
            api_key=secret or "none",
            max_retries=0,
            timeout=AnthropicTimeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
            http_client=DefaultAsyncHttpxClient(event_hooks=hooks),
        )
        return AnthropicModel(spec.model, provider=AnthropicProvider(anthropic_client=anthropic))
    from openai import AsyncOpenAI, Timeout
    from openai import DefaultAsyncHttpxClient as OpenAIHttpClient
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    client = AsyncOpenAI(
        base_url=spec.url,
        api_key=secret or "none",
        max_retries=0,
        timeout=Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
        http_client=OpenAIHttpClient(event_hooks=hooks),
    )
    if spec.url.startswith("https://api.openai.com/"):
        return OpenAIChatModel(spec.model, provider=OpenAIProvider(openai_client=client))
    return OpenAIChatModel(spec.model, provider=OpenAICompatibleProvider(spec.name, openai_client=client))
