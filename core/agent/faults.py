"""What goes wrong with a model, in words and codes of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolhost.errors import ToolHostError
from toolhost.redaction import Redaction

if TYPE_CHECKING:
    from toolhost.agent.config import ModelSpec

__all__ = ["ModelError", "fault_of"]

_QUOTED = 200  # characters of what a provider said


class ModelError(ToolHostError):
    """Raised when a model cannot answer.

    Attributes:
        again: Whether the same request may go well a little later.
        retry_after: Seconds the provider asked to wait, or None.
    """

    def __init__(
        self, code: str, message: str, hint: str = "", *, again: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(code, message, hint, recoverable=again)
        self.again = again
        self.retry_after = retry_after


def fault_of(error: BaseException, spec: ModelSpec, *, begun: bool, secret: str = "") -> ModelError:
    """What an exception of the library means.

    Args:
        error: What was raised while the model was asked.
        spec: The model.
        begun: Whether a part of the answer had come: then it is not asked for again.
        secret: The key, which no message may hold.
    """
    # Imported here: whoever gets here has imported the library.
    from pydantic_ai import exceptions as of

    name = spec.name
    said = Redaction([secret.encode()] if secret else []).text(_said(error))
    wait = getattr(error, "retry_after", None)
    quoted = f" It said: {said}" if said else ""
    if isinstance(error, of.ModelAuthenticationError):
        return ModelError(
            "model_key_refused",
            f"The server of the model {name} refused the key.{quoted}",
            f"An administrator checks {spec.key or 'whether the server wants a key'} and runs "
            f"`toolhost model test {name}`.",
        )
    if isinstance(error, of.ModelNotFoundError):
        return ModelError(
            "model_not_found",
            f"The server of the model {name} has no model {spec.model!r}.{quoted}",
            "An administrator corrects `model` in the settings; an Ollama model is fetched with `ollama pull`.",
        )
    if isinstance(error, of.ModelContextWindowExceededError) or _is_too_long(error):
        return ModelError(
            "context_too_long",
            f"The conversation is longer than the model {name} can take in.{quoted}",
            "Start a new conversation, or choose a model with a larger window.",
        )
    if isinstance(error, of.ModelQuotaExceededError):
        return ModelError(
            "model_quota",
            f"The account that the model {name} is paid from has nothing left.{quoted}",
            "An administrator looks at the provider's billing.",
        )
    if isinstance(error, of.ModelRateLimitError | of.ModelUnavailableError):
        return ModelError(
            "model_overloaded",
            f"The server of the model {name} has too much to do.{quoted}",
            "Try again in a while." if wait is None else f"Try again in {wait:g} s, as it asks.",
            again=not begun,
            retry_after=wait,
        )
    if isinstance(error, of.ModelTimeoutError | TimeoutError):
        return ModelError(
            "model_timeout", f"The model {name} did not answer in time.", "Try again, or choose another model."
        )
    if isinstance(error, of.ModelConnectionError):
        if begun:
            return ModelError(
                "model_cut_off",
                f"The answer of the model {name} broke off: its server closed the connection.",
                "What came is kept. Try again.",
            )
        return ModelError(
            "model_unreachable",
            f"The server of the model {name} cannot be reached at {spec.url}.",
            "An administrator checks whether it runs; `toolhost model test` says more.",
            again=True,
        )
    if isinstance(error, of.ModelServerError):
        return ModelError(
            "model_failed",
            f"The server of the model {name} failed.{quoted}",
            "Try again.",
            again=not begun,
            retry_after=wait,
        )
    if isinstance(error, of.ModelAPIError):
        return ModelError(
            "model_refused", f"The server of the model {name} refused the request.{quoted}", "Its log may say more."
        )
    return ModelError(
        "model_answer_invalid",
        f"What the model {name} sent is no answer.{quoted}",
        "Try again, or choose another model.",
    )


def _is_too_long(error: BaseException) -> bool:
    """Servers that say it in words only: llama.cpp, vLLM, and Anthropic's own."""
    text = _said(error).lower()
    return any(
        words in text for words in ("maximum context length", "context size", "prompt is too long", "context window")
    )


def _said(error: BaseException) -> str:
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    text = str(inner.get("message", "")) if isinstance(inner, dict) else ""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _QUOTED else line[:_QUOTED] + "…"
