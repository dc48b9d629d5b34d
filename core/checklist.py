"""The eight boxes of the deployment checklist, looked at on this machine. What could not be looked at is not ticked."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolhost.addresses import ask_server, listening
from toolhost.data import DataDirectory
from toolhost.settings import SETTINGS, Settings, is_loopback

__all__ = ["Box", "checklist"]

Verdict = Literal["pass", "warn", "fail", "unknown"]

_WEB = frozenset({22, 80, 443})
"""Ports that a server of this kind shows to other machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box.

    Attributes:
        name: What it is about.
        status: `pass`, `warn`, `fail` or `unknown`, which is not `pass`.
        message: What was found.
        fix: What to do, or an empty text.
    """

    name: str
    status: Verdict
    message: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """The same by name."""
        return {"name": self.name, "status": self.status, "message": self.message, "fix": self.fix}


def checklist(settings: Settings) -> list[Box]:
    """Look at every box."""
    return [look(name, settings) for name, look in _BOXES.items()]


def _secrets(name: str, settings: Settings) -> Box:
    exposed = [
        path
        for path in sorted(DataDirectory(settings).state.glob("*"))
        if path.is_file() and path.suffix in (".key", ".db", ".log") and path.stat().st_mode & 0o077
    ]
    if exposed:
        return Box(name=name, status="fail", message=f"Others can read {exposed[0]}.", fix=f"chmod 600 {exposed[0]}")
    named = [one.name for one in SETTINGS if one.secret and settings.origins[one.name].startswith("env:")]
    named = [one for one in named if not settings.origins[one].endswith("_FILE")]
    if named:
        return Box(
            name=name,
            status="warn",
            message=f"In the environment, which programs inherit and may print: {', '.join(named)}.",
            fix="Give it by a file: its variable with _FILE, or a systemd credential.",
        )
    return Box(name=name, status="pass", message="Keys and secrets are in files that only the service user can read.")


def _debug(name: str, settings: Settings) -> Box:
    if settings.debug:
        return Box(
            name=name, status="warn", message=f"Debugging is on ({settings.origins['debug']}).", fix="Switch it off."
        )
    return Box(name=name, status="pass", message="Debugging is off.")


def _authentication(name: str, settings: Settings) -> Box:
    status = _asked(settings, "/api/tools")
    if status is None:
        return Box(
            name=name,
            status="unknown",
            message="No server runs here, so nothing was asked of it.",
            fix="Start `toolhost serve` and run this again.",
        )
    if status == 401:
        return Box(name=name, status="pass", message="A request without a session was answered with 401.")
    return Box(name=name, status="fail", message=f"A request without a session was answered with {status}.")


def _https(name: str, settings: Settings) -> Box:
    if settings.certfile is not None:
        return Box(name=name, status="pass", message=f"The server speaks TLS itself, with {settings.certfile}.")
    if settings.trusted_proxies:
        return Box(
            name=name,
            status="unknown",
            message="A proxy speaks TLS for this server; it could not be looked at from here.",
            fix="Ask its public address: `curl -sI https://...`.",
        )
    return Box(
        name=name,
        status="unknown" if is_loopback(settings.host) else "fail",
        message="The server speaks plain HTTP, to this machine alone.",
        fix="Set certfile and keyfile, or put a TLS proxy in front and name it in trusted_proxies.",
    )


def _detector(name: str, settings: Settings) -> Box:
    names = _running()
    engine = "crowdsec" in names
    bouncer = any("bouncer" in one for one in names)
    if engine and bouncer:
        return Box(name=name, status="pass", message="CrowdSec and a bouncer run.")
    if engine:
        return Box(
            name=name,
            status="fail",
            message="CrowdSec runs and no bouncer does: it sees, and nothing is kept out.",
            fix="Install a bouncer and register it: `cscli bouncers add`.",
        )
    return Box(
        name=name,
        status="warn",
        message=f"No CrowdSec runs on this machine; nothing reads {DataDirectory(settings).state}/security.log.",
        fix="Install CrowdSec with a bouncer, or have another detector follow that file.",
    )


def _firewall(name: str, settings: Settings) -> Box:
    try:
        enabled = "ENABLED=yes" in Path("/etc/ufw/ufw.conf").read_text().split()
    except OSError:
        return Box(
            name=name,
            status="unknown",
            message="There is no UFW here; whether another firewall is in force only root can see.",
            fix="As root: `nft list ruleset`.",
        )
    if not enabled:
        return Box(name=name, status="fail", message="UFW is installed and not enabled.", fix="ufw enable")
    return Box(name=name, status="pass", message="UFW is enabled by its configuration.")


def _ports(name: str, settings: Settings) -> Box:
    shown = sorted({port for address, port in listening() if not is_loopback(address)})
    if settings.port in shown and settings.certfile is None:
        return Box(
            name=name,
            status="fail",
            message=f"Port {settings.port} is open to other machines without TLS.",
            fix="Listen on 127.0.0.1.",
        )
    others = [str(port) for port in shown if port not in _WEB and port != settings.port]
    if others:
        return Box(
            name=name,
            status="warn",
            message=f"Open to other machines besides 22, 80 and 443: {', '.join(others)}.",
            fix="Close what need not be open, or keep it out with a firewall.",
        )
    return Box(name=name, status="pass", message="Nothing but 22, 80 and 443 is open to other machines.")


def _rotation(name: str, settings: Settings) -> Box:
    log = DataDirectory(settings).audit_log
    if not log.exists():
        return Box(name=name, status="unknown", message=f"There is no audit log {log} yet.")
    size = log.stat().st_size
    if size > settings.audit_rotate_size + (8 << 20):
        return Box(
            name=name,
            status="fail",
            message=f"The audit log has {size >> 20} MiB and was not rotated at {settings.audit_rotate_size >> 20}.",
            fix="Look into the server's log for why, and make room.",
        )
    kept = "for ever" if settings.audit_keep is None else f"{settings.audit_keep / 86400:g} days"
    return Box(
        name=name,
        status="pass",
        message=f"The audit log is rotated at {settings.audit_rotate_size >> 20} MiB and kept {kept}.",
    )


def _asked(settings: Settings, path: str) -> int | None:
    """The status of an answer of the server that runs now, or None where none does."""
    try:
        return ask_server(settings, path)[0]
    except (OSError, http.client.HTTPException):
        return None


def _running() -> set[str]:
    """Names of the processes of this machine."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.add((entry / "comm").read_text().strip())
            except OSError:
                continue
    return found


_BOXES: dict[str, Callable[[str, Settings], Box]] = {
    "secrets": _secrets,
    "debug": _debug,
    "authentication": _authentication,
    "https": _https,
    "crowdsec": _detector,
    "firewall": _firewall,
    "ports": _ports,
    "rotation": _rotation,
}
