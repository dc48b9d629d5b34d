"""The host's settings: one table from which flags, environment variables, help and docs all come.

Precedence: command-line flag, then environment variable, then default. An unknown `TOOLHOST_*` variable is an error, so
that a misspelt one is not silently without effect.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolhost.errors import UsageError

__all__ = ["SETTINGS", "Setting", "Settings"]

SERVICE_DATA = Path("/var/lib/toolhost")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: Name of the field and, with dashes, of the flag.
        variable: Environment variable.
        default: What holds when nothing is set, as text for people.
        help: One sentence.
    """

    name: str
    variable: str
    default: str
    help: str


SETTINGS = (
    Setting(
        "data",
        "TOOLHOST_DATA",
        "/var/lib/toolhost for the service user, else ~/.local/share/toolhost",
        "Folder for the database, keys, audit log, policies, drop-in plugins and workspaces.",
    ),
    Setting(
        "policies",
        "TOOLHOST_POLICIES",
        "$TOOLHOST_DATA/policies",
        "Folder of the policy files; seeded from the packaged ones at first run, never overwritten.",
    ),
    Setting("plugins", "TOOLHOST_PLUGINS", "$TOOLHOST_DATA/plugins", "Folder of drop-in plugins; empty at first."),
    Setting("host", "TOOLHOST_HOST", "127.0.0.1", "Address to listen on."),
    Setting("port", "TOOLHOST_PORT", "8001", "Port to listen on."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in force. See `SETTINGS` for what each means."""

    data: Path
    policies: Path
    plugins: Path
    host: str
    port: int

    @classmethod
    def load(cls, flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings from flags and the environment.

        Raises:
            UsageError: For an unknown `TOOLHOST_*` variable, a relative folder or a port that is none.
        """
        variables = {setting.variable for setting in SETTINGS}
        for name in environ:
            if name.startswith("TOOLHOST_") and name not in variables:
                near = difflib.get_close_matches(name, sorted(variables), n=1)
                raise UsageError(
                    "unknown_setting",
                    f"The environment variable {name} is not a setting.",
                    f"Did you mean {near[0]}?" if near else "See docs/reference/settings.md for the settings.",
                )
        given = {s.name: flags.get(s.name) or environ.get(s.variable) or None for s in SETTINGS}
        data = _folder("data", given["data"] or str(default_data(environ)))
        return cls(
            data=data,
            policies=_folder("policies", given["policies"] or str(data / "policies")),
            plugins=_folder("plugins", given["plugins"] or str(data / "plugins")),
            host=given["host"] or "127.0.0.1",
            port=_port(given["port"] or "8001"),
        )


def default_data(environ: Mapping[str, str]) -> Path:
    """The data directory when none is set: the service's own, or the person's."""
    home = Path(environ.get("HOME") or "/")
    if os.geteuid() == 0 or home == SERVICE_DATA:
        return SERVICE_DATA
    share = environ.get("XDG_DATA_HOME")
    return (Path(share) if share else home / ".local" / "share") / "toolhost"


def _folder(name: str, text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise UsageError("setting_invalid", f"The setting {name} is {text!r}, which is not an absolute path.")
    return Path(os.path.normpath(path))


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UsageError("setting_invalid", f"The setting port is {text!r}; it takes a number from 1 to 65535.")
    return int(text)
