"""Putting a host together for one command: settings, service user, data directory, sandbox, host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from toolhost.audit import AuditLog
from toolhost.audit.index import index_now
from toolhost.data import DataDirectory
from toolhost.host import Host
from toolhost.model import Actor
from toolhost.sandbox import Armament, Sandbox
from toolhost.sandbox.errors import SandboxUnavailable
from toolhost.service_user import become_service_user
from toolhost.settings import Settings, data_directory, load_settings

__all__ = ["LOCAL_ADMINISTRATOR", "beside", "enter", "run_with_host", "start_sandbox"]

_T = TypeVar("_T")

LOCAL_ADMINISTRATOR = Actor(user_id="local", username="local", role="admin", channel="cli")
"""Whoever may run commands as the service user may also edit its policies: there is nobody above them."""


def enter(flags: Mapping[str, str | None] | None = None) -> Settings:
    """Read the settings and give up root. The first thing every command does."""
    flags = flags or {}
    # The settings file and the files of secrets are read as the user who serves: no more than that user may read.
    become_service_user(data_directory(flags, os.environ))
    return load_settings(flags)


def start_sandbox(
    data: DataDirectory, armament: Armament | None = None
) -> tuple[Sandbox | None, SandboxUnavailable | None]:
    """Start the sandbox, or say why there is none. Must come before any event loop or thread."""
    try:
        return Sandbox.start(data.state, armament=armament), None
    except SandboxUnavailable as problem:
        return None, problem


def run_with_host(main: Callable[[Host], Awaitable[_T]]) -> _T:
    """Open a host for one command, run it and close the host."""
    settings = enter()
    data = DataDirectory(settings)
    data.prepare()
    # Nothing is armed for the next call of a process that makes only one.
    sandbox, problem = start_sandbox(data, Armament(most=0))

    async def opened() -> _T:
        async with Host.open(settings, sandbox, problem) as host:
            return await main(host)

    return asyncio.run(opened())


@contextmanager
def beside() -> Iterator[tuple[DataDirectory, AuditLog]]:
    """The data directory and its audit log, for a command that must work where no host can be opened."""
    data = DataDirectory(enter())
    data.prepare()
    audit = AuditLog(data.audit_log, lambda record: index_now(data.state / "toolhost.db", record))
    try:
        yield data, audit
    finally:
        audit.close()
