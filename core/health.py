"""How a host is, from probes that were made at this moment: of its sandbox, database, policies, audit log and disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
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
        case: What was found, as a word by which others can say it in their language.
        said: What was found, with the names of values in braces.
        values: What is said, by name.
        ms: How long it took.
    """

    name: str
    status: Status
    case: str
    said: str
    values: Mapping[str, object] = field(default_factory=dict)
    ms: float

    @property
    def message(self) -> str:
        """What was found, in English."""
        return self.said.format(**self.values)

    def as_json(self) -> dict[str, Any]:
        """The object of the API."""
        return {"name": self.name, "status": self.status, "message": self.message, "ms": round(self.ms, 1)}


async def probe_all(host: Host) -> list[Probe]:
    """Look at everything, at the same time."""
    return list(await asyncio.gather(*(_probed(name, look, host) for name, look in _PROBES.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a look found: see `Probe`."""

    status: Status
    case: str
    said: str
    values: Mapping[str, object] = field(default_factory=dict)


async def _probed(name: str, look: Callable[[Host], Awaitable[_Found]], host: Host) -> Probe:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await look(host)
    except TimeoutError:
        late = "It did not answer within {seconds} s."
        found = _Found(status="fail", case="late", said=late, values={"seconds": f"{_PATIENCE:g}"})
    except (SandboxError, SQLAlchemyError, OSError) as error:
        found = _Found(status="fail", case="failed", said="{why}", values={"why": str(error)})
    spent = (time.perf_counter() - began) * 1000
    return Probe(name=name, status=found.status, case=found.case, said=found.said, values=found.values, ms=spent)


async def _sandbox(host: Host) -> _Found:
    if host.stopping.stopped is not None:
        return _Found(status="fail", case="stopped", said="Everything is stopped by an administrator.")
    if host.sandbox is None:
        problem = host.sandbox_problem
        if problem is None:
            return _Found(status="fail", case="no_sandbox", said="There is no sandbox.")
        return _Found(status="fail", case="failed", said="{why}", values={"why": problem.message})
    if (said := await try_out(host.sandbox)) is not None:
        return _Found(status="fail", case="failed", said="{why}", values={"why": said})
    return _Found(status="pass", case="sandbox", said="A sandbox was made, and ran a program.")


async def _database(host: Host) -> _Found:
    async with host.database.begin() as connection:
        await connection.execute(text("SELECT 1 FROM users LIMIT 1"))
    return _Found(status="pass", case="database", said="The database answers.")


async def _policies(host: Host) -> _Found:
    problems = host.policies.current.problems
    if problems:
        return _Found(
            status="warn",
            case="policies_problems",
            said="{count} to correct; what was in force before stays: {first}",
            values={"count": len(problems), "first": problems[0]},
        )
    count = len(host.policies.current.policies)
    return _Found(status="pass", case="policies", said="{count} policies are in force.", values={"count": count})


async def _plugins(host: Host) -> _Found:
    quarantined = [record.name for record in host.plugins.plugins.values() if record.state == "quarantined"]
    if quarantined:
        names = ", ".join(sorted(quarantined))
        return _Found(status="warn", case="quarantined", said="Quarantined: {names}.", values={"names": names})
    return _Found(status="pass", case="plugins", said="No plugin is quarantined.")


async def _audit(host: Host) -> _Found:
    log = host.data.audit_log
    if (failing := host.audit.failing) is not None:
        return _Found(
            status="fail",
            case="audit_failing",
            said="The audit log cannot be written, so nothing runs: {why}.",
            values={"why": failing[1]},
        )
    if not os.access(log, os.W_OK):
        return _Found(status="fail", case="audit_closed", said="The audit log cannot be written, so nothing runs.")
    fd = os.open(log, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        last, ended = tail_record(fd)
    finally:
        os.close(fd)
    if last is None or not ended:
        return _Found(status="warn", case="audit_end", said="The last line of the audit log is no record.")
    return _Found(status="pass", case="audit", said="The last record is number {number}.", values={"number": last[0]})


async def _disk(host: Host) -> _Found:
    free = shutil.disk_usage(host.data.root).free
    status: Status = "fail" if free < _FULL_DISK else "warn" if free < _LOW_DISK else "pass"
    return _Found(status=status, case="disk", said="{free} MiB are free.", values={"free": free >> 20})


_PROBES: dict[str, Callable[[Host], Awaitable[_Found]]] = {
    "sandbox": _sandbox,
    "database": _database,
    "policies": _policies,
    "plugins": _plugins,
    "audit": _audit,
    "disk": _disk,
}
