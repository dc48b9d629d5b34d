"""Exit codes, and the way every error leaves the command line: one sentence, a hint, a code."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, ParamSpec, TypeVar

import click

from toolhost.cli.terminal import abandon, safe
from toolhost.errors import AccessError, ApprovalError, PluginError, ToolHostError, UsageError
from toolhost.sandbox.errors import PlanRefused, SandboxError

__all__ = ["Exit", "exit_for_status", "report", "reported"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Exit(IntEnum):
    """What a command's exit code says. Listed in `docs/reference/cli.md`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DENIED = 3
    APPROVAL = 4
    TOOL = 5
    LIMIT = 6
    UNAVAILABLE = 7
    CANCELLED = 8


_BY_STATUS = {
    "ok": Exit.OK,
    "error": Exit.TOOL,
    "denied": Exit.DENIED,
    "approval_required": Exit.APPROVAL,
    "refused": Exit.APPROVAL,
    "limit": Exit.LIMIT,
    "timeout": Exit.LIMIT,
    "cancelled": Exit.CANCELLED,
    "unavailable": Exit.UNAVAILABLE,
}

_BY_ERROR: tuple[tuple[type[Exception], Exit], ...] = (
    (UsageError, Exit.USAGE),
    (AccessError, Exit.DENIED),
    (ApprovalError, Exit.APPROVAL),
    (PluginError, Exit.TOOL),
    (PlanRefused, Exit.DENIED),
    (SandboxError, Exit.UNAVAILABLE),
)

# A folder that may not be used is a refusal, though the command line made sense.
_BY_CODE = {
    "workspace_not_accessible": Exit.DENIED,
    "workspace_not_allowed": Exit.DENIED,
    "audit_unavailable": Exit.UNAVAILABLE,
    "panicked": Exit.UNAVAILABLE,
    "too_many_calls": Exit.LIMIT,
}


def exit_for_status(status: str) -> Exit:
    """The exit code of a call that ended with this status."""
    return _BY_STATUS[status]


def _exit_for_error(error: ToolHostError | SandboxError) -> Exit:
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), Exit.FAILED)


def report(message: str, code: str, hint: str = "") -> None:
    """Print an error to standard error: the sentence with its code, then what to do."""
    click.echo(f"error: {safe(message)} [{code}]", err=True)
    if hint:
        click.echo(f"hint: {safe(hint)}", err=True)


def reported(command: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make every error of the host leave a command as `report` prints it, with its exit code.

    A command called with `output="json"` also prints the error object to standard output.
    """

    @functools.wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return command(*args, **kwargs)
        except (ToolHostError, SandboxError) as error:
            report(error.message, error.code, error.hint)
            if kwargs.get("output") == "json":
                click.echo(json.dumps({"error": _error_object(error)}))
            sys.exit(_exit_for_error(error))
        except (asyncio.CancelledError, KeyboardInterrupt):
            report("Stopped before anything ran to its end.", "cancelled")
            sys.exit(Exit.CANCELLED)
        except BrokenPipeError:
            abandon(sys.stdout)
            sys.exit(Exit.FAILED)

    return wrapped


def _error_object(error: ToolHostError | SandboxError) -> dict[str, Any]:
    if isinstance(error, ToolHostError):
        return error.as_json()
    return {"code": error.code, "message": error.message, "recoverable": False, "hint": error.hint}
