"""What an investigation needs, in one file: what happened, under which policies, who was signed in, on what; no secret.

Everything is copied as it is, with a manifest of SHA-256, and with what `audit verify` says of the log it is from.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import platform
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from toolhost.archive import pack
from toolhost.audit import AuditQuery, Verification, records, verify
from toolhost.audit.index import index_rows
from toolhost.data import DataDirectory
from toolhost.errors import MachineError
from toolhost.health import probe_all
from toolhost.layers import examined
from toolhost.model import Actor
from toolhost.panic import PanicSwitch
from toolhost.sandbox import Check
from toolhost.sandbox.bubblewrap import find_bubblewrap
from toolhost.sandbox.errors import SandboxError
from toolhost.sandbox.uninterrupted import to_the_end
from toolhost.settings import SETTINGS, Settings
from toolhost.staging import staging

if TYPE_CHECKING:
    from toolhost.host import Host

__all__ = ["Handover", "collect"]

_TABLES = {
    "users": ("id", "username", "role", "disabled", "created"),
    "sessions": ("id", "user_id", "created", "renewed", "expires", "revoked", "ip", "user_agent"),
    "api_keys": ("id", "user_id", "name", "scopes", "created", "expires", "last_used", "revoked"),
    "blocks": ("network", "reason", "created", "expires"),
}
"""What is taken from the database: names of people and of what they have, never a hash or a token."""


def collect(settings: Settings, file: IO[bytes], since: int, doctor: dict[str, Any]) -> dict[str, Any]:
    """Write the bundle. Blocks, and holds no more in memory for a longer log.

    Args:
        settings: The settings.
        file: What is written, on a disk.
        since: From when on (milliseconds since the epoch) records are taken.
        doctor: What the doctor found.

    Returns:
        Its manifest.

    Raises:
        MachineError: `evidence_failed`.
    """
    data = DataDirectory(settings)
    try:
        with staging(data.state) as staged:
            found = verify(data.audit_log, index_rows(data.state / "toolhost.db"))
            _records(data, staged, since)
            _policies(data, staged)
            for name, value in {
                "verification": _verification(found),
                "doctor": doctor,
                "versions": _versions(),
                "settings": _settings(settings),
                "accounts": _accounts(data.state / "toolhost.db"),
                "panic": _panic(data),
            }.items():
                (staged / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n")
            return pack(staged, file, {"since": since, "intact": found.intact, "last_hash": found.last_hash})
    except (OSError, sqlite3.Error) as error:
        raise MachineError("evidence_failed", f"The evidence could not be collected: {error}.", "Make room.") from error


class Handover:
    """Hands the bundle of a running host out, one at a time: each goes through the whole log.

    Args:
        host: The host.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._alone = asyncio.Lock()

    async def take(self, actor: Actor, since: int) -> tuple[IO[bytes], dict[str, Any]]:
        """Collect for somebody, and record that they took it.

        Args:
            actor: Who takes it.
            since: As `collect`.

        Returns:
            An unnamed temporary file, at its beginning, which the caller closes; and the manifest.

        Raises:
            MachineError: `audit_unavailable`: what cannot be recorded is not handed out; `evidence_failed`.
        """
        async with self._alone:
            self._host.audit.write("security", "evidence.collected", {"since": since}, actor=actor)
            await self._host.audit_index.flush()
            tried = [
                Check(layer=probe.name, status=probe.status, message=probe.message)
                for probe in await probe_all(self._host)
                if probe.name == "sandbox"
            ]
            work = asyncio.ensure_future(asyncio.to_thread(self._written, since, tried))
            if await to_the_end(work):  # the thread was not told; another must not begin beside it
                if not work.cancelled() and work.exception() is None:
                    work.result()[0].close()
                raise asyncio.CancelledError
            return work.result()

    def _written(self, since: int, tried: Sequence[Check]) -> tuple[IO[bytes], dict[str, Any]]:
        settings = self._host.settings
        # Beside the logs it is made of: the folder of temporary files may be memory.
        file = tempfile.TemporaryFile(dir=self._host.data.state)  # noqa: SIM115  # the caller sends it, and closes it
        try:
            manifest = collect(settings, file, since, examined(settings, tried))
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file, manifest


def _records(data: DataDirectory, staged: Path, since: int) -> None:
    with (staged / "audit.jsonl").open("w") as everything, (staged / "security.jsonl").open("w") as security:
        for line, body in records(data.audit_log, AuditQuery(since=since)):
            everything.write(line + "\n")
            if body["category"] in ("auth", "security"):
                security.write(line + "\n")


def _policies(data: DataDirectory, staged: Path) -> None:
    """The policies and the lock as they are, the manifest with their digests: broken ones are evidence as well."""
    (staged / "policies").mkdir()
    for path in sorted(data.policies.glob("*.toml*")):
        if path.is_file() and not path.is_symlink():
            shutil.copyfile(path, staged / "policies" / path.name)


def _verification(found: Verification) -> dict[str, Any]:
    return {
        "intact": found.intact,
        "records": found.records,
        "first": found.first,
        "last": found.last,
        "last_hash": found.last_hash,
        "findings": [str(finding) for finding in found.findings],
    }


def _versions() -> dict[str, Any]:
    try:
        bubblewrap = find_bubblewrap()
    except SandboxError as error:
        bubblewrap = error.message
    return {
        "toolhost": metadata.version("toolhost"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "bubblewrap": bubblewrap,
        "distributions": {one.name: one.version for one in sorted(metadata.distributions(), key=lambda one: one.name)},
    }


def _settings(settings: Settings) -> dict[str, Any]:
    shown = {}
    for one in SETTINGS:
        value = getattr(settings, one.name)
        text = None if value is None else "****" if one.secret else one.kind.show(value)
        shown[one.name] = {"value": text, "origin": settings.origins[one.name]}
    return shown


def _accounts(database: Path) -> dict[str, Any]:
    """People, sessions, keys and blocked addresses; of each table the columns that may leave the machine."""
    found: dict[str, Any] = {}
    if not database.exists():
        return found
    name = f"file:{quote(str(database))}?mode=ro"
    with contextlib.closing(sqlite3.connect(name, uri=True, timeout=10)) as connection:
        for table, wanted in _TABLES.items():
            there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            columns = [name for name in wanted if name in there]
            if columns:
                names = ", ".join(f'"{name}"' for name in columns)
                rows = connection.execute(f"SELECT {names} FROM {table}")  # noqa: S608 (our names)
                found[table] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found


def _panic(data: DataDirectory) -> dict[str, Any] | None:
    stopped = PanicSwitch(data.state).current()
    return None if stopped is None else stopped.as_json()
