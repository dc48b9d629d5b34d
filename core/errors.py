"""Errors of the host, each with a stable code and a sentence that says what to change.

ToolHostError
├── UsageError          the caller asked for something that cannot be asked (unknown tool, bad arguments)
├── PolicyError         a policy file cannot be used
├── PluginError         a plugin cannot be loaded or has failed
├── AccessError         the actor may not do this
├── ApprovalError       an approval was answered already, expired, or is somebody else's
└── MachineError        the machine or the data directory is not in order
"""

from __future__ import annotations

__all__ = [
    "AccessError",
    "ApprovalError",
    "MachineError",
    "PluginError",
    "PolicyError",
    "ToolHostError",
    "UsageError",
]


class ToolHostError(Exception):
    """Root of the host's errors.

    Attributes:
        code: Stable lower_snake code, listed in `docs/reference/errors.md`.
        message: One sentence: what happened.
        hint: One sentence: what to do instead, or an empty string.
        recoverable: Whether a caller (a model, for instance) can do better by asking differently.
    """

    recoverable = False

    def __init__(self, code: str, message: str, hint: str = "", *, recoverable: bool | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        if recoverable is not None:
            self.recoverable = recoverable

    def as_json(self) -> dict[str, object]:
        """The error object of the API: code, message, recoverable, hint."""
        return {"code": self.code, "message": self.message, "recoverable": self.recoverable, "hint": self.hint}


class UsageError(ToolHostError):
    """Raised for an unknown tool, arguments that do not match, or a command line that makes no sense."""

    recoverable = True


class PolicyError(ToolHostError):
    """Raised when a policy file cannot be used; the message starts with file:line:column."""


class PluginError(ToolHostError):
    """Raised when a plugin cannot be loaded or its worker has failed."""


class AccessError(ToolHostError):
    """Raised when the actor is not allowed to do this."""


class ApprovalError(ToolHostError):
    """Raised when an approval cannot be answered: answered already, expired, or not the actor's."""


class MachineError(ToolHostError):
    """Raised when the machine or the data directory is not in order."""
