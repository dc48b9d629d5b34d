"""How a host is, from probes that were made at this moment: of its sandbox, database, policies, audit log and disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from toolhost.audit.files import tail_record
from toolhost.sandbox.errors import SandboxError
from toolhost.sandbox.trial import try_out

if TYPE_CHECKING:
    from toolhost.host import Host

__all__ = ["Probe", "probe_all"]

Status = Literal["pass", "warn", "fail"]

_PATIENCE = 5.0  # seconds for one probe
_LOW_DISK = 1 << 30
_FULL_DISK = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What one probe found.

    Attributes:
        name: What was looked at.
        status: `pass`, `warn` or `fail`.
        message: One sentence.
        ms: How long it took.
    """

    name: str
    status: Status
    message: str
    ms: float

    def as_json(self) -> dict[str, Any]:
        """The object of the API."""
        return {"name": self.name, "status": self.status, "message": self.message, "ms": round(self.ms, 1)}


async def probe_all(host: Host) -> list[Probe]:
    """Look at everything, at the same time."""
    return list(await asyncio.gather(*(_probed(name, look, host) for name, look in _PROBES.items())))


async def _probed(name: str, look: Callable[[Host], Awaitable[tuple[Status, str]]], host: Host) -> Probe:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_PATIENCE):
            status, message = await look(host)
    except TimeoutError:
        status, message = "fail", f"It did not answer within {_PATIENCE:g} s."
    except (SandboxError, SQLAlchemyError, OSError) as error:
        status, message = "fail", str(error)
    return Probe(name=name, status=status, message=message, ms=(time.perf_counter() - began) * 1000)


async def _sandbox(host: Host) -> tuple[Status, str]:
    if host.stopping.stopped is not None:
        return "fail", "Everything is stopped by an administrator."
    if host.sandbox is None:
        problem = host.sandbox_problem
        return "fail", problem.message if problem is not None else "There is no sandbox."
    if (said := await try_out(host.sandbox)) is not None:
        return "fail", said
    return "pass", "A sandbox was made, and ran a program."


async def _database(host: Host) -> tuple[Status, str]:
    async with host.database.begin() as connection:
        await connection.execute(text("SELECT 1 FROM users LIMIT 1"))
    return "pass", "The database answers."


async def _policies(host: Host) -> tuple[Status, str]:
    problems = host.policies.current.problems
    if problems:
        return "warn", f"{len(problems)} problems; what was in force before stays: {problems[0]}"
    return "pass", f"{len(host.policies.current.policies)} policies are in force."


async def _plugins(host: Host) -> tuple[Status, str]:
    quarantined = [record.name for record in host.plugins.plugins.values() if record.state == "quarantined"]
    if quarantined:
        return "warn", f"Quarantined: {', '.join(sorted(quarantined))}."
    return "pass", "No plugin is quarantined."


async def _audit(host: Host) -> tuple[Status, str]:
    log = host.data.audit_log
    if (failing := host.audit.failing) is not None:
        return "fail", f"The audit log cannot be written, so nothing runs: {failing[1]}."
    if not os.access(log, os.W_OK):
        return "fail", "The audit log cannot be written, so nothing runs."
    fd = os.open(log, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        last, ended = tail_record(fd)
    finally:
        os.close(fd)
    if last is None or not ended:
        return "warn", "The last line of the audit log is no record."
    return "pass", f"The last record is number {last[0]}."


async def _disk(host: Host) -> tuple[Status, str]:
    free = shutil.disk_usage(host.data.root).free
    status: Status = "fail" if free < _FULL_DISK else "warn" if free < _LOW_DISK else "pass"
    return status, f"{free >> 20} MiB are free."


_PROBES: dict[str, Callable[[Host], Awaitable[tuple[Status, str]]]] = {
    "sandbox": _sandbox,
    "database": _database,
    "policies": _policies,
    "plugins": _plugins,
    "audit": _audit,
    "disk": _disk,
}
