"""What `toolhost doctor` looks at: for each layer of defence, what is, not what was meant to be."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Literal
from urllib.parse import quote

from toolhost.addresses import ask_server, listeners
from toolhost.audit import verify
from toolhost.audit.index import index_rows
from toolhost.checklist import checklist
from toolhost.data import DataDirectory
from toolhost.identifiers import now_ms
from toolhost.pluginhost.configuring import declared_settings
from toolhost.policy import Problem
from toolhost.policy.in_force import IN_FORCE, InForce, kept
from toolhost.policy.offline import read_files
from toolhost.sandbox import Check, probe
from toolhost.settings import Settings, is_loopback
from toolhost.staging import staging

__all__ = ["examined"]

Status = Literal["pass", "warn", "fail"]

_LOW_DISK = 256 << 20
_HEADERS = {
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def examined(settings: Settings, execution: Sequence[Check] | None = None) -> dict[str, Any]:
    """Everything that the doctor finds, as its JSON object; nothing is left behind. Blocks, for seconds.

    Args:
        settings: The settings.
        execution: What a running server found when it tried its own sandbox, which cannot make another one in a
            process with threads. None has sandboxes made here, and attacked.
    """
    layers = []
    for name, probe_layer in _LAYERS.items():
        given = execution if name == "execution" else None
        checks = probe_layer(settings) if given is None else list(given)
        shown = [
            {"name": check.layer, "status": check.status, "message": check.message, "fix": check.fix}
            for check in checks
        ]
        layers.append({"name": name, "status": _worst(checks), "checks": shown})
    statuses = {layer["status"] for layer in layers}
    status = next((one for one in ("fail", "warn") if one in statuses), "pass")
    boxes = [box.as_json() for box in checklist(settings)]
    return {"status": status, "time": now_ms(), "layers": layers, "checklist": boxes}


def _worst(checks: list[Check]) -> Status:
    """The layer's verdict: its worst check. A layer about which nothing is known has not passed."""
    statuses = {check.status for check in checks}
    return "fail" if "fail" in statuses or not statuses else "warn" if "warn" in statuses else "pass"


def _network(settings: Settings) -> list[Check]:
    """Who can reach the server: the address it would listen on, and the sockets that listen on its port now."""
    checks = []
    if is_loopback(settings.host):
        checks.append(
            _pass("listen address", f"The server listens on {settings.host}, which only this machine can reach.")
        )
    elif settings.certfile is not None:
        checks.append(_pass("listen address", f"The server listens on {settings.host}, with TLS."))
    else:
        checks.append(
            _fail(
                "listen address",
                f"The server would listen on {settings.host}, which other machines can reach without encryption.",
                "Set TOOLHOST_HOST to 127.0.0.1 and put a TLS proxy in front, or set certfile and keyfile.",
            )
        )
    open_to_others = [address for address in listeners(settings.port) if not is_loopback(address)]
    if settings.host in open_to_others and settings.certfile is not None:
        open_to_others.remove(settings.host)  # the server itself; that it speaks TLS, the next layer finds out
    if open_to_others:
        checks.append(
            _fail(
                "other listeners",
                f"Something listens on port {settings.port} of {', '.join(open_to_others)}.",
                "Stop it, or choose another TOOLHOST_PORT.",
            )
        )
    else:
        checks.append(_pass("other listeners", f"Nothing listens on port {settings.port} beyond loopback."))
    return checks


def _transport(settings: Settings) -> list[Check]:
    """What a browser is told by the server that runs now."""
    try:
        status, headers, body = ask_server(settings, "/health")
    except ConnectionRefusedError:
        return [
            Check(
                layer="server",
                status="warn",
                message=f"No server runs on {settings.host}:{settings.port}, so what it sends could not be looked at.",
                fix="Start `toolhost serve` and run this again.",
            )
        ]
    except (OSError, http.client.HTTPException) as error:
        return [
            _fail(
                "server",
                f"The server on {settings.host}:{settings.port} does not answer: {error}.",
                "Restart `toolhost serve`, or see what else has the port.",
            )
        ]
    if status != 200 or b'"status"' not in body:
        return [
            _fail(
                "server",
                f"What answers on {settings.host}:{settings.port} is not toolhost.",
                "Stop it, or choose another TOOLHOST_PORT.",
            )
        ]
    missing = [name for name, value in _HEADERS.items() if value not in headers.get(name, "")]
    if missing:
        return [
            _fail(
                "security headers",
                f"The answers lack the headers {', '.join(missing)}.",
                "Remove from the proxy what strips them.",
            )
        ]
    return [_pass("security headers", "The server answers on this machine with its security headers.")]


def _application(settings: Settings) -> list[Check]:
    """The policies, the database, the accounts, and the password library."""
    return [*_policies(settings), *_state(settings), *_passwords()]


def _policies(settings: Settings) -> list[Check]:
    if not settings.policies.is_dir():
        return [
            Check(
                layer="policies",
                status="warn",
                message=f"There is no policies folder {settings.policies} yet, so nothing is granted.",
                fix="Start `toolhost serve` once to have it made.",
            )
        ]
    declared = declared_settings(settings.plugins)
    reading = read_files(
        settings.policies, data=settings.data, plugins=settings.plugins, declared=declared, in_force=True
    )
    state = settings.data / "state"
    serving = kept(state / IN_FORCE) if DataDirectory(settings).is_served() else None
    checks = [_fail("policies", f"{problem}{_meanwhile(problem, serving)}", _REPAIR) for problem in reading.problems]
    checks += [
        Check(layer="policies", status="warn", message=warning, fix="Install what it names, or take it out.")
        for file in reading.files
        if file.policy is not None
        for warning in file.policy.warnings
    ]
    for path in (settings.policies, *sorted(settings.policies.glob("*.toml"))):
        status = path.stat()
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (0, os.geteuid()):
            checks.append(
                _fail(
                    "policies folder",
                    f"{path} can be written by others than root and the host's user, who could grant anything.",
                    f"chown {os.geteuid()} {path} && chmod go-w {path}",
                )
            )
    return checks or [_pass("policies", "Every policy file is valid, and only root and the host's user can write it.")]


_REPAIR = "Correct that line; a running server takes the file in by itself."


def _meanwhile(problem: Problem, serving: Mapping[str, InForce] | None) -> str:
    """What a running server does with a file that cannot be used."""
    if serving is None:
        return ""
    known = serving.get(problem.file)
    if known is None or known.state == "nothing":
        return " The running server grants nothing by this file."
    since = datetime.fromtimestamp(known.since / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return f" The running server keeps in force what the file said since {since}."


def _state(settings: Settings) -> list[Check]:
    state = settings.data / "state"
    database = state / "toolhost.db"
    if not database.exists():
        return [
            Check(
                layer="database",
                status="warn",
                message=f"There is no database in {state} yet.",
                fix="Start `toolhost serve` once to have it made.",
            )
        ]
    checks = []
    if stat.S_IMODE(state.stat().st_mode) & 0o077:
        checks.append(_fail("state folder", f"Others can enter {state}.", f"chmod 0700 {state}"))
    try:
        connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=5)
        try:
            (verdict,) = connection.execute("PRAGMA quick_check").fetchone()
            (administrators,) = connection.execute(
                "SELECT count(*) FROM users WHERE role = 'admin' AND NOT disabled"
            ).fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return [*checks, _fail("database", f"The database {database} cannot be read: {error}.", "Restore a backup.")]
    if verdict != "ok":
        checks.append(_fail("database", f"The database {database} is damaged: {verdict}.", "Restore a backup."))
    else:
        checks.append(_pass("database", "The database is sound."))
    if not administrators:
        checks.append(
            Check(
                layer="administrator",
                status="warn",
                message="Nobody is an administrator yet.",
                fix="Open the setup page that `toolhost serve` prints, or run `toolhost user add NAME --role admin`.",
            )
        )
    return checks


def _passwords() -> list[Check]:
    """`passlib` and `libpass` install the same package over each other, and removing either breaks both."""
    try:
        version = metadata.version("passlib")
    except metadata.PackageNotFoundError:
        return [_pass("password library", f"Passwords are hashed by libpass {metadata.version('libpass')}.")]
    return [
        _fail(
            "password library",
            f"The distribution passlib {version} is installed over libpass.",
            "Make the environment anew from requirements.lock.",
        )
    ]


def _execution(settings: Settings) -> list[Check]:
    """The sandbox, tried out where the host's own stand: whether programs may run from there is a part of it."""
    with contextlib.ExitStack() as stack:
        place = None
        with contextlib.suppress(OSError):  # there is no state yet, or no room in it
            place = stack.enter_context(staging(settings.data / "state"))
        return probe(place)


def _audit(settings: Settings) -> list[Check]:
    """The audit log: private, writable, unbroken, with room to grow."""
    log = settings.data / "state" / "audit.log"
    if not log.exists():
        return [
            Check(
                layer="audit log",
                status="warn",
                message=f"There is no audit log {log} yet.",
                fix="Start `toolhost serve` once to have it made.",
            )
        ]
    checks = []
    if stat.S_IMODE(log.stat().st_mode) & 0o077:
        checks.append(_fail("audit log", f"Others can read or write {log}.", f"chmod 0600 {log}"))
    if not os.access(log, os.R_OK | os.W_OK):
        return [
            *checks,
            _fail("audit log", f"{log} cannot be written, so nothing can run.", "Give it to the service user."),
        ]
    found = verify(log, index_rows(log.with_name("toolhost.db")))
    for finding in found.findings:
        fix = "Compare its time with the system log."
        if not finding.harmless:
            fix = "Keep the files as evidence and find out who wrote to them."
        status: Status = "warn" if finding.harmless else "fail"
        checks.append(Check(layer="audit chain", status=status, message=str(finding), fix=fix))
    if found.intact:
        checks.append(_pass("audit chain", f"Every one of {found.records} records follows the one before it."))
    if shutil.disk_usage(log.parent).free < _LOW_DISK:
        checks.append(_fail("disk", f"The disk of {log.parent} is nearly full.", "Make room."))
    return checks


def _pass(what: str, message: str) -> Check:
    return Check(layer=what, status="pass", message=message, fix="")


def _fail(what: str, message: str, fix: str) -> Check:
    return Check(layer=what, status="fail", message=message, fix=fix)


_LAYERS: dict[str, Callable[[Settings], list[Check]]] = {
    "network": _network,
    "transport": _transport,
    "application": _application,
    "execution": _execution,
    "audit": _audit,
}
"""The five layers, from the outside in, each with its probe."""
