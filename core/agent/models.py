"""Which models and profiles there are, and who may choose which."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from toolhost.agent.asking import Said, ask
from toolhost.agent.clients import Client, Clients
from toolhost.agent.config import AgentSettings, ModelSpec, Profile
from toolhost.agent.faults import ModelError
from toolhost.agent.naming import NOTHING
from toolhost.errors import ToolHostError, UsageError
from toolhost.model import Actor

__all__ = ["Chosen", "Models", "Tested"]

_LOOK_AGAIN = 30.0  # seconds
_LOOK_SECONDS = 1.0
_TEST_SECONDS = 60.0
_FOUND_CONTEXT = 8_192  # Ollama loads models with a small window unless told otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What answers a message: a model, under a profile or none."""

    model: ModelSpec
    profile: Profile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What came of a test.

    Attributes:
        model: Its name.
        ok: Whether it answered.
        first_ms: Milliseconds until its first word.
        text: What it said.
        error: What went wrong, or None.
    """

    model: str
    ok: bool
    first_ms: float | None
    text: str
    error: ToolHostError | None

    def as_json(self) -> dict[str, Any]:
        """The object of the API."""
        return {
            "model": self.model,
            "ok": self.ok,
            "first_ms": None if self.first_ms is None else round(self.first_ms, 1),
            "text": self.text,
            "error": None if self.error is None else self.error.as_json(),
        }


class Models:
    """The models of one host."""

    def __init__(self, settings: AgentSettings) -> None:
        self.settings = settings
        self._clients = Clients()
        self._found: tuple[ModelSpec, ...] = ()
        self._looked = float("-inf")
        self._looking = asyncio.Lock()

    async def start(self) -> None:
        """Look for what was not configured, and have the library ready where there is any model."""
        if await self.all():
            await self._clients.load()

    async def all(self) -> tuple[ModelSpec, ...]:
        """Every model: those of the settings, then those found on this machine."""
        if self.settings.ollama is not None:
            async with self._looking:
                if time.monotonic() - self._looked > _LOOK_AGAIN:
                    taken = {model.name for model in self.settings.models}
                    self._found = await _find_ollama(self.settings.ollama, taken)
                    self._looked = time.monotonic()
        return (*self.settings.models, *self._found)

    async def of(self, actor: Actor) -> tuple[ModelSpec, ...]:
        """The models an actor may choose, the default one first."""
        return tuple(model for model in await self.all() if actor.role in model.who)

    def profiles_of(self, actor: Actor) -> tuple[Profile, ...]:
        """The profiles an actor may choose."""
        return tuple(profile for profile in self.settings.profiles if actor.role in profile.who)

    async def choose(self, actor: Actor, model: str | None, profile: str | None) -> Chosen | None:
        """What answers an actor; None where there is no model for them.

        Args:
            actor: Who asks.
            model: The name of a model, or None for the default.
            profile: The name of a profile, or None.

        Raises:
            UsageError: `unknown_model`, `unknown_profile`, also for what is not open to the actor.
        """
        under: Profile | None = None
        if profile is not None:
            under = next((one for one in self.profiles_of(actor) if one.name == profile), None)
            if under is None:
                raise UsageError(
                    "unknown_profile", f"There is no profile {profile!r} for you.", "Choose one of the list."
                )
        wanted = under.model if under is not None and under.model is not None else model
        open_to = await self.of(actor)
        if wanted is None:
            return Chosen(model=open_to[0], profile=under) if open_to else None
        for one in open_to:
            if one.name == wanted:
                return Chosen(model=one, profile=under)
        raise UsageError("unknown_model", f"There is no model {wanted!r} for you.", "Choose one of the list.")

    async def client(self, spec: ModelSpec) -> Client:
        """The client of a model.

        Raises:
            UsageError: `model_key_missing`.
        """
        return await self._clients.get(spec)

    async def test(self, name: str) -> Tested:
        """Ask a model for one word.

        Raises:
            UsageError: `unknown_model`.
        """
        spec = next((one for one in await self.all() if one.name == name), None)
        if spec is None:
            raise UsageError("unknown_model", f"There is no model {name!r}.", "`toolhost model list` lists them.")
        said = Said("test")
        heard = _Heard()
        try:
            client = await self._clients.get(spec)
            from pydantic_ai.messages import ModelRequest

            question = [ModelRequest.user_text_prompt("Answer with the single word: ready")]
            heard.began = time.monotonic()
            async with asyncio.timeout(_TEST_SECONDS):
                await ask(client, spec, question, offer=NOTHING, instructions="", said=said, listener=heard)
        except TimeoutError:
            late = ModelError("model_timeout", f"The model {name} did not answer within {_TEST_SECONDS:g} s.")
            return Tested(model=name, ok=False, first_ms=heard.first, text=said.text, error=late)
        except ToolHostError as error:
            return Tested(model=name, ok=False, first_ms=heard.first, text=said.text, error=error)
        return Tested(model=name, ok=True, first_ms=heard.first, text=said.text[:200], error=None)


class _Heard:
    """Hears a test: when the first word came. Nothing is tried again, so that what is wrong is said at once."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.first: float | None = None

    def begin_message(self, message_id: str) -> None:
        self.first = (time.monotonic() - self.began) * 1000

    def add_text(self, message_id: str, text: str) -> None:
        pass

    def add_thought(self, message_id: str, text: str) -> None:
        pass

    def request_tool(self, message_id: str, request_id: str, name: str) -> None:
        pass

    def add_arguments(self, request_id: str, text: str) -> None:
        pass

    def retry(self, attempt: int, after: float, error: ModelError) -> None:
        raise error


async def _find_ollama(address: str, taken: set[str]) -> tuple[ModelSpec, ...]:
    import httpx2  # imported here: it takes as long as the rest of a start

    try:
        # No proxy of the environment: this asks this machine and no other.
        async with httpx2.AsyncClient(trust_env=False, timeout=_LOOK_SECONDS) as client:
            answer = await client.get(f"{address}/api/tags")
            names = [str(item["name"]) for item in answer.json()["models"]]
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return ()
    return tuple(
        ModelSpec(
            name=f"ollama/{name}",
            provider="openai",
            model=name,
            url=f"{address}/v1",
            context=_FOUND_CONTEXT,
            found=True,
        )
        for name in names
        if f"ollama/{name}" not in taken and "embed" not in name
    )
