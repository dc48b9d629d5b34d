"""What an investigation needs, in one file: what happened, under which policies, who was signed in, on what; no secret.

Everything is copied as it is, with a manifest of SHA-256, and with what `audit verify` says of the log it is from.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sqlite3
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from toolhost.archive import new_file, pack
from toolhost.audit import AuditQuery, Verification, records, verify
from toolhost.audit.index import index_rows
from toolhost.data import DataDirectory
from toolhost.errors import MachineError
from toolhost.panic import PanicSwitch
from toolhost.sandbox.bubblewrap import find_bubblewrap
from toolhost.sandbox.errors import SandboxError
from toolhost.settings import SETTINGS, Settings

__all__ = ["collect"]

_TABLES = {
    "users": ("id", "username", "role", "disabled", "created"),
    "sessions": ("id", "user_id", "created", "renewed", "expires", "revoked", "ip", "user_agent"),
    "api_keys": ("id", "user_id", "name", "scopes", "created", "expires", "last_used", "revoked"),
    "blocks": ("network", "reason", "created", "expires"),
}
"""What is taken from the database: names of people and of what they have, never a hash or a token."""


def collect(settings: Settings, target: Path, since: int, doctor: dict[str, Any]) -> dict[str, Any]:
    """Write the file.

    Args:
        settings: The settings.
        target: The file to make.
        since: From when on (milliseconds since the epoch) records are taken.
        doctor: What the doctor found.

    Returns:
        Its manifest.

    Raises:
        UsageError: `file_not_made`.
        MachineError: `evidence_failed`.
    """
    data = DataDirectory(settings)
    fd = new_file(target)
    try:
        with os.fdopen(fd, "wb") as file, tempfile.TemporaryDirectory(dir=data.state, prefix=".evidence-") as folder:
            staged = Path(folder)
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
    except OSError as error:
        with contextlib.suppress(OSError):
            target.unlink()
        raise MachineError("evidence_failed", f"The evidence could not be collected: {error}.", "Make room.") from error


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
