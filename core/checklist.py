"""The eight boxes of the deployment checklist, looked at on this machine. What could not be looked at is not ticked."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
        case: What was found, as a word by which others can say it in their language.
        said: What was found, with the names of values in braces.
        fix: What to do, or an empty text.
        values: What is said, by name.
    """

    name: str
    status: Verdict
    case: str
    said: str
    fix: str = ""
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """What was found, in English."""
        return self.said.format(**self.values)

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
        return Box(
            name=name,
            status="fail",
            case="secrets_exposed",
            said="Others can read {path}.",
            fix=f"chmod 600 {exposed[0]}",
            values={"path": exposed[0]},
        )
    named = [one.name for one in SETTINGS if one.secret and settings.origins[one.name].startswith("env:")]
    named = [one for one in named if not settings.origins[one].endswith("_FILE")]
    if named:
        return Box(
            name=name,
            status="warn",
            case="secrets_environment",
            said="In the environment, which programs inherit and may print: {names}.",
            fix="Give it by a file: its variable with _FILE, or a systemd credential.",
            values={"names": ", ".join(named)},
        )
    return Box(
        name=name,
        status="pass",
        case="secrets_pass",
        said="Keys and secrets are in files that only the service user can read.",
    )


def _debug(name: str, settings: Settings) -> Box:
    if settings.debug:
        return Box(
            name=name,
            status="warn",
            case="debug_on",
            said="Debugging is on ({origin}).",
            fix="Switch it off.",
            values={"origin": settings.origins["debug"]},
        )
    return Box(name=name, status="pass", case="debug_pass", said="Debugging is off.")


def _authentication(name: str, settings: Settings) -> Box:
    status = _asked(settings, "/api/tools")
    if status is None:
        return Box(
            name=name,
            status="unknown",
            case="authentication_unknown",
            said="No server runs here, so nothing was asked of it.",
            fix="Start `toolhost serve` and run this again.",
        )
    if status == 401:
        return Box(
            name=name,
            status="pass",
            case="authentication_pass",
            said="A request without a session was answered with 401.",
        )
    return Box(
        name=name,
        status="fail",
        case="authentication_fail",
        said="A request without a session was answered with {status}.",
        values={"status": status},
    )


def _https(name: str, settings: Settings) -> Box:
    if settings.certfile is not None:
        return Box(
            name=name,
            status="pass",
            case="https_pass",
            said="The server speaks TLS itself, with {path}.",
            values={"path": settings.certfile},
        )
    if settings.trusted_proxies:
        return Box(
            name=name,
            status="unknown",
            case="https_proxy",
            said="A proxy speaks TLS for this server; it could not be looked at from here.",
            fix="Ask its public address: `curl -sI https://...`.",
        )
    fix = "Set certfile and keyfile, or put a TLS proxy in front and name it in trusted_proxies."
    if is_loopback(settings.host):
        return Box(
            name=name,
            status="unknown",
            case="https_plain",
            said="The server speaks plain HTTP, to this machine alone.",
            fix=fix,
        )
    return Box(
        name=name,
        status="fail",
        case="https_open",
        said="The server speaks plain HTTP, on {address}.",
        fix=fix,
        values={"address": settings.host},
    )


def _detector(name: str, settings: Settings) -> Box:
    names = _running()
    engine = "crowdsec" in names
    bouncer = any("bouncer" in one for one in names)
    if engine and bouncer:
        return Box(name=name, status="pass", case="crowdsec_pass", said="CrowdSec and a bouncer run.")
    if engine:
        return Box(
            name=name,
            status="fail",
            case="crowdsec_no_bouncer",
            said="CrowdSec runs and no bouncer does: it sees, and nothing is kept out.",
            fix="Install a bouncer and register it: `cscli bouncers add`.",
        )
    return Box(
        name=name,
        status="warn",
        case="crowdsec_none",
        said="No CrowdSec runs on this machine; nothing reads {path}.",
        fix="Install CrowdSec with a bouncer, or have another detector follow that file.",
        values={"path": DataDirectory(settings).state / "security.log"},
    )


def _firewall(name: str, settings: Settings) -> Box:
    try:
        enabled = "ENABLED=yes" in Path("/etc/ufw/ufw.conf").read_text().split()
    except OSError:
        return Box(
            name=name,
            status="unknown",
            case="firewall_unknown",
            said="There is no UFW here; whether another firewall is in force only root can see.",
            fix="As root: `nft list ruleset`.",
        )
    if not enabled:
        return Box(
            name=name, status="fail", case="firewall_off", said="UFW is installed and not enabled.", fix="ufw enable"
        )
    return Box(name=name, status="pass", case="firewall_pass", said="UFW is enabled by its configuration.")


def _ports(name: str, settings: Settings) -> Box:
    shown = sorted({port for address, port in listening() if not is_loopback(address)})
    if settings.port in shown and settings.certfile is None:
        return Box(
            name=name,
            status="fail",
            case="ports_open",
            said="Port {port} is open to other machines without TLS.",
            fix="Listen on 127.0.0.1.",
            values={"port": settings.port},
        )
    others = [str(port) for port in shown if port not in _WEB and port != settings.port]
    if others:
        return Box(
            name=name,
            status="warn",
            case="ports_others",
            said="Open to other machines besides 22, 80 and 443: {ports}.",
            fix="Close what need not be open, or keep it out with a firewall.",
            values={"ports": ", ".join(others)},
        )
    return Box(
        name=name, status="pass", case="ports_pass", said="Nothing but 22, 80 and 443 is open to other machines."
    )


def _rotation(name: str, settings: Settings) -> Box:
    log = DataDirectory(settings).audit_log
    if not log.exists():
        return Box(
            name=name,
            status="unknown",
            case="rotation_unknown",
            said="There is no audit log {path} yet.",
            values={"path": log},
        )
    size, largest = log.stat().st_size, settings.audit_rotate_size >> 20
    if size > settings.audit_rotate_size + (8 << 20):
        return Box(
            name=name,
            status="fail",
            case="rotation_grown",
            said="The audit log has {size} MiB and was not rotated at {largest}.",
            fix="Look into the server's log for why, and make room.",
            values={"size": size >> 20, "largest": largest},
        )
    if settings.audit_keep is None:
        return Box(
            name=name,
            status="pass",
            case="rotation_for_ever",
            said="The audit log is rotated at {largest} MiB and kept for ever.",
            values={"largest": largest},
        )
    return Box(
        name=name,
        status="pass",
        case="rotation_pass",
        said="The audit log is rotated at {largest} MiB and kept {days} days.",
        values={"largest": largest, "days": f"{settings.audit_keep / 86400:g}"},
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
