"""What came out of one sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Enforcement", "LimitReport", "Outcome"]

Enforcement = Literal["cgroup2", "cgroup1", "rlimit", "watchdog", "tmpfs", "wallclock", "host", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReport:
    """One limit of a call and the mechanism that enforced it.

    Attributes:
        value: In the unit of `Limits`; None where there was no limit.
        enforced_by: The mechanism, or `none`.
    """

    value: float | int | None
    enforced_by: Enforcement


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a sandboxed process ended. Nothing in it was reported by the process itself but its output.

    Attributes:
        status: `exited` (see `exit_code`), `signaled` (see `signal`), `timeout`, `limit` (see `limit`), `cancelled`.
        exit_code: Exit status, or None.
        signal: Number of the signal that ended it, or None.
        stdout: Bytes written to standard output, up to the cap.
        stderr: Bytes written to standard error, up to the cap.
        truncated: Whether output was cut.
        limit: Name of the limit that ended the process, or None.
        limits: Every limit of the call, by name.
        armed: Whether the sandbox had been made before the call came.
        duration_ms: From the call's start to its end, milliseconds.
        violations: Paths that it made although a pattern of `deny` hides them, fit to be shown; they are quarantined.
    """

    status: Literal["exited", "signaled", "timeout", "limit", "cancelled"]
    exit_code: int | None = None
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False
    limit: str | None = None
    limits: Mapping[str, LimitReport] = field(default_factory=dict)
    armed: bool = False
    duration_ms: float = 0.0
    violations: tuple[str, ...] = ()
