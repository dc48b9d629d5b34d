"""What can go wrong before or around a sandboxed process.

SandboxError            root of this room's errors
├── SandboxUnavailable  no sandbox can be made on this host: nothing runs
└── PlanRefused         this plan cannot be carried out as written: it does not run
"""

from __future__ import annotations

__all__ = ["PlanRefused", "SandboxError", "SandboxUnavailable", "limits_refused"]


class SandboxError(Exception):
    """A refusal of the sandbox.

    Attributes:
        code: Stable lower_snake code, listed in `docs/reference/errors.md`.
        message: One sentence: what happened.
        hint: One sentence: what to do about it, or an empty string.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class SandboxUnavailable(SandboxError):  # noqa: N818
    """Raised when bubblewrap, user namespaces or libseccomp cannot be used here. Tools do not run."""


class PlanRefused(SandboxError):  # noqa: N818
    """Raised when a plan names something that is not (or no longer) what it says: a root, a program, a limit."""


def limits_refused() -> PlanRefused:
    """The refusal where the kernel did not take a limit that the launcher set."""
    return PlanRefused("limits_refused", "The system refused a limit of the plan.", "Lower the limits of the policy.")
