"""One turn of the agent: a model is asked, what it asks for is done, until it has said all it wants to.

The loop is ours and small; the library speaks to the model. What has been said is written down before anything is run,
so that a turn which waits for a person goes on after the host was started again.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from toolhost import metrics
from toolhost.agent.asking import Listener, Said, ask
from toolhost.agent.clients import Client
from toolhost.agent.config import Caps, ModelSpec, Profile
from toolhost.agent.faults import ModelError
from toolhost.agent.naming import model_name, named, offered
from toolhost.agent.telling import INSTRUCTIONS, SHOWN, Told, told, told_change, told_error
from toolhost.agent.window import fit, room_for_output
from toolhost.calls.arguments import canonical
from toolhost.errors import AccessError, ToolHostError, UsageError
from toolhost.identifiers import new_id
from toolhost.model import CallResult, Tool

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart, ToolReturnPart

__all__ = ["Pending", "RunLimitError", "Surface", "Turn", "Usage", "closed"]

_logger = logging.getLogger("toolhost.agent")

_SAME = 4  # the same call, with the same outcome each time, is not made so often


class RunLimitError(ToolHostError):
    """Raised when a run has gone as far as a run may."""

    recoverable = True


@dataclass(slots=True)
class Usage:
    """What a run has used so far."""

    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, object]:
        """The object of the API."""
        return {
            "steps": self.steps,
            "tool_calls": self.tool_calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds": round(self.seconds, 3),
        }


Pending = dict[str, str]
"""For each request of the model that is being carried out: its id there, and the id of its call."""


class Surface(Listener, Protocol):
    """Where a turn happens: what it can see and do outside itself."""

    def tools(self) -> Sequence[Tool]:
        """The tools the person may use now."""

    async def say(self, said: Said, *, stopped: str | None) -> None:
        """A message of the model is whole; or it was stopped, or cut short, for a reason."""

    async def call(self, tool: Tool, arguments: Mapping[str, Any], call_id: str, request_id: str) -> CallResult:
        """Make a call, and wait for whoever must be asked."""

    async def call_again(self, call_id: str) -> CallResult:
        """The result of a call that an earlier process began; waits where it waits for a person."""

    def changed(self, call_id: str) -> Mapping[str, Any] | None:
        """The arguments that the person gave a call when they put it in the place of another; None for other calls."""

    def reject(self, tool: str, request_id: str, error: Mapping[str, Any]) -> None:
        """What a model asked for is no call."""

    def shorten(self, call_id: str, told: Told) -> None:
        """A model sees only a part of a result."""

    async def trim(self, outputs: int, messages: int) -> None:
        """Older parts of the conversation are left out."""

    def use(self, usage: Usage) -> None:
        """What the turn has used so far."""

    async def save(self, messages: Sequence[ModelMessage], pending: Pending, usage: Usage) -> None:
        """Write down what it takes to go on."""


@dataclass(slots=True, kw_only=True)
class Turn:
    """One turn.

    Attributes:
        client: The model's client.
        spec: The model.
        profile: What narrows it, or None.
        caps: How far it may go.
        surface: Where it happens.
        history: What was said before; not changed.
        messages: What is said in this turn: at first the person's message, or nothing where it is in the history.
        usage: Likewise.
    """

    client: Client
    spec: ModelSpec
    profile: Profile | None
    caps: Caps
    surface: Surface
    history: Sequence[ModelMessage]
    messages: list[ModelMessage]
    usage: Usage = field(default_factory=Usage)
    _last: Said = field(default_factory=lambda: Said(""))
    _texts: dict[str, str] = field(default_factory=dict)
    _outcomes: dict[str, int] = field(default_factory=dict)
    _trimmed: int = 0

    async def run(self) -> None:
        """Go on until the model has nothing more to ask for.

        Raises:
            ModelError: It does not answer.
            RunLimitError: `step_limit`, `token_limit`, `time_limit`, `tool_call_limit`, `loop_detected`.
        """
        while True:
            self._check()
            response = await self._ask()
            requests = _requests(response)
            if not requests:
                return
            await self._carry_out(requests, self._last.requests or [])

    async def go_on(self, pending: Pending) -> None:
        """Go on where an earlier process stopped, with the calls it had begun.

        Args:
            pending: What it wrote down.
        """
        from pydantic_ai.messages import ModelRequest

        last = self.messages[-1]
        returns = []
        for part in _requests(last):  # type: ignore[arg-type]
            if part.tool_call_id in pending:
                call_id = pending[part.tool_call_id]
                result = await self.surface.call_again(call_id)
                returns.append(_return(part, self._tell(result)))
            else:
                error = UsageError("invalid_arguments", "This was no call that could be made.")
                returns.append(_return(part, told_error(error.as_json())))
        self.messages.append(ModelRequest(parts=returns))
        await self.surface.save(self.messages, {}, self.usage)
        await self.run()

    # Asking

    async def _ask(self) -> ModelResponse:
        offer = offered([tool for tool in self.surface.tools() if self._allows(tool)])
        prompt = "" if self.profile is None else self.profile.prompt
        instructions = f"{INSTRUCTIONS}\n{prompt}".rstrip()
        fitted = fit(
            [*self.history, *self.messages],
            window=self.spec.context - self.spec.output,
            besides=offer.size + len(instructions),
        )
        if fitted.outputs + fitted.dropped > self._trimmed:
            self._trimmed = fitted.outputs + fitted.dropped
            await self.surface.trim(fitted.outputs, fitted.dropped)
        self._last = said = Said(new_id("m"))
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(self.caps.seconds - self.usage.seconds, 1.0)) as limit:
                response = await ask(
                    self.client,
                    self.spec,
                    fitted.messages,
                    offer=offer,
                    instructions=instructions,
                    said=said,
                    listener=self.surface,
                )
        except TimeoutError:
            await self._broken_off(said, "time_limit")
            if limit.expired():
                raise self._limit("time_limit", f"The run took longer than {self.caps.seconds} s.") from None
            raise
        except ModelError as error:
            await self._broken_off(said, error.code)
            raise
        except asyncio.CancelledError:
            await self._broken_off(said, "stopped")
            raise
        finally:
            self.usage.seconds += time.monotonic() - began
        self.messages.append(response)
        self.usage.steps += 1
        self.usage.input_tokens += response.usage.input_tokens
        self.usage.output_tokens += response.usage.output_tokens
        metrics.TOKENS.inc(response.usage.input_tokens, model=self.spec.name, direction="in")
        metrics.TOKENS.inc(response.usage.output_tokens, model=self.spec.name, direction="out")
        cut = response.finish_reason == "length"
        if not said.text.strip() and not _requests(response):
            raise ModelError(
                "model_answer_empty",
                f"The model {self.spec.name} gave an empty answer.",
                "Try again, or choose another model."
                if not cut
                else "Its limit of tokens was used up; an administrator raises `output` in the settings.",
            )
        await self.surface.say(said, stopped="length" if cut else None)
        self.surface.use(self.usage)
        return response

    async def _broken_off(self, said: Said, why: str) -> None:
        """Keep what a model had said before it was stopped: the person saw it."""
        if not said.begun or said.response is not None:
            return
        from pydantic_ai.messages import ModelResponse, TextPart

        if said.text.strip():
            self.messages.append(ModelResponse(parts=[TextPart(said.text)]))
        await self.surface.say(said, stopped=why)

    # Doing

    async def _carry_out(self, requests: Sequence[ToolCallPart], request_ids: Sequence[str]) -> None:
        from pydantic_ai.messages import ModelRequest

        every = named(self.surface.tools())
        names = [*request_ids, *(new_id("q") for _ in requests[len(request_ids) :])]
        asked = [_Request.read(part, name, every) for part, name in zip(requests, names, strict=False)]
        for one in asked:
            self._check_profile(one)
            self._check_loop(one)
        made = [one for one in asked if one.error is None]
        self.usage.tool_calls += len(made)
        if self.usage.tool_calls > self.caps.tool_calls:
            raise self._limit("tool_call_limit", f"The run made more than {self.caps.tool_calls} calls.")
        pending = {one.part.tool_call_id: one.call_id for one in made}
        if pending:
            await self.surface.save(self.messages, pending, self.usage)
        texts = await asyncio.gather(*(self._one(one) for one in asked))
        self.messages.append(
            ModelRequest(parts=[_return(one.part, text) for one, text in zip(asked, texts, strict=True)])
        )
        if pending:
            await self.surface.save(self.messages, {}, self.usage)

    async def _one(self, request: _Request) -> str:
        """Carry out one request; whatever happens becomes words for the model."""
        if request.error is not None or request.tool is None:
            error = request.error or UsageError("unknown_tool", "There is no such tool.")
            self.surface.reject(request.name, request.request_id, error.as_json())
            return told_error(error.as_json())
        try:
            result = await self.surface.call(request.tool, request.arguments, request.call_id, request.request_id)
        except ToolHostError as error:
            self.surface.reject(request.name, request.request_id, error.as_json())
            return told_error(error.as_json())
        except Exception:
            _logger.exception("a call of %s failed inside the host", request.name)
            broken = ToolHostError("internal_error", "The host failed to carry out this call.", "Tell the person.")
            self.surface.reject(request.name, request.request_id, broken.as_json())
            return told_error(broken.as_json())
        self.usage.seconds += result.duration_ms / 1000
        text = self._tell(result)
        self._remember(request, text)
        return text

    def _tell(self, result: CallResult) -> str:
        words = told(result, min(SHOWN, room_for_output(self.spec.context)))
        if words.shown < words.total:
            self.surface.shorten(result.call_id, words)
        arguments = self.surface.changed(result.call_id)
        return words.text if arguments is None else f"{told_change(arguments)}\n{words.text}"

    # Limits

    def _check(self) -> None:
        if self.usage.steps >= self.caps.steps:
            raise self._limit("step_limit", f"The model was asked {self.caps.steps} times in one run.")
        if self.usage.input_tokens + self.usage.output_tokens >= self.caps.tokens:
            raise self._limit("token_limit", f"The run used {self.caps.tokens} tokens.")
        if self.usage.seconds >= self.caps.seconds:
            raise self._limit("time_limit", f"The run took longer than {self.caps.seconds} s.")

    @staticmethod
    def _limit(code: str, message: str) -> RunLimitError:
        return RunLimitError(code, message, "Write again to go on; an administrator sets the limits under [agent].")

    def _allows(self, tool: Tool) -> bool:
        return self.profile is None or self.profile.allows(tool.name)

    def _check_profile(self, request: _Request) -> None:
        if request.tool is not None and not self._allows(request.tool):
            assert self.profile is not None
            request.error = AccessError(
                "tool_not_in_profile",
                f"The profile {self.profile.name} does not let {request.tool.name} be called.",
                "Use the tools you were given; the person can choose another profile.",
            )

    def _check_loop(self, request: _Request) -> None:
        if request.error is None and self._outcomes.get(request.key, 0) >= _SAME - 1:
            raise RunLimitError(
                "loop_detected",
                f"The model asked for the same call of {request.name} {_SAME} times, and nothing had changed.",
                "Say what it should do otherwise.",
            )

    def _remember(self, request: _Request, text: str) -> None:
        known = self._texts.get(request.key)
        self._outcomes[request.key] = self._outcomes.get(request.key, 0) + 1 if known == text else 1
        self._texts[request.key] = text


@dataclass(slots=True, kw_only=True)
class _Request:
    """What a model asked for."""

    part: ToolCallPart
    request_id: str
    call_id: str
    name: str
    tool: Tool | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    error: ToolHostError | None = None

    @classmethod
    def read(cls, part: ToolCallPart, request_id: str, tools: Mapping[str, Tool]) -> _Request:
        tool = tools.get(part.tool_name) or tools.get(model_name(part.tool_name))
        name = part.tool_name.replace("__", ".", 1)[:200] if tool is None else tool.name
        request = cls(part=part, request_id=request_id, call_id=new_id("c"), name=name, tool=tool)
        if tool is None:
            near = difflib.get_close_matches(part.tool_name, list(tools), n=1)
            request.error = UsageError(
                "unknown_tool",
                f"There is no tool {part.tool_name[:200]!r}.",
                f"Did you mean {near[0]}?" if near else "Call only the tools you were given.",
            )
            return request
        try:
            arguments = part.args if not isinstance(part.args, str) else json.loads(part.args or "{}")
        except (ValueError, RecursionError) as error:
            why = str(error)[:200] if isinstance(error, ValueError) else "they are nested too deeply"
            request.error = UsageError(
                "invalid_arguments", f"The arguments of {tool.name} are no JSON: {why}.", "Send one JSON object."
            )
            return request
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            request.error = UsageError("invalid_arguments", f"The arguments of {tool.name} must be a JSON object.")
            return request
        request.arguments = arguments
        return request

    @property
    def key(self) -> str:
        try:
            return f"{self.name} {canonical(self.arguments)}"
        except (TypeError, ValueError, RecursionError):
            return f"{self.name} {self.part.args!r}"


def _requests(response: ModelResponse) -> list[ToolCallPart]:
    from pydantic_ai.messages import ToolCallPart

    return [part for part in response.parts if isinstance(part, ToolCallPart)]


def _return(part: ToolCallPart, text: str) -> ToolReturnPart:
    from pydantic_ai.messages import ToolReturnPart

    return ToolReturnPart(tool_name=part.tool_name, content=text, tool_call_id=part.tool_call_id)


def closed(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """What was said, with an answer to each request of the model: of a run that was ended in the middle."""
    from pydantic_ai.messages import ModelRequest, ModelResponse

    kept = list(messages)
    if kept and isinstance(kept[-1], ModelResponse) and (requests := _requests(kept[-1])):
        stopped = ToolHostError("run_stopped", "The run was stopped before this call had ended.")
        kept.append(ModelRequest(parts=[_return(part, told_error(stopped.as_json())) for part in requests]))
    return kept
