"""The one table of the settings: flags, variables, the file, `config show` and the documentation all come from it."""

# ruff: noqa: RUF009 (`row` makes a field)

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolhost.settings.kinds import (
    BOOLEAN,
    CIDRS,
    DURATION,
    HOSTS,
    LIST,
    ORIGINS,
    PATH,
    RATE,
    SIZE,
    TEXT,
    Kind,
    Network,
    Rate,
    choice,
    integer,
)

if TYPE_CHECKING:
    from toolhost.settings.file import SettingsFile

__all__ = ["SECTIONS", "SETTINGS", "Section", "Setting", "Settings"]

_ROW = "row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting.

    Attributes:
        name: Name of the field, of the key in the file and, with dashes, of the flag.
        kind: Its type.
        default: What holds when nothing is set; None for nothing.
        shown: The default as people read it.
        help: One sentence.
        secret: Whether its value is never shown. A secret has no flag, which every user of the machine could read.
        aliases: Variables that set it besides its own.
        below: For a folder: its place in the data directory when nothing is set.
        in_file: Whether the file may set it.
    """

    name: str
    kind: Kind
    default: Any
    shown: str
    help: str
    secret: bool = False
    aliases: tuple[str, ...] = ()
    below: str = ""
    in_file: bool = True

    @property
    def flag(self) -> str | None:
        """The flag of `toolhost serve`, or None."""
        return None if self.secret else f"--{self.name.replace('_', '-')}"

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that set it."""
        return (f"TOOLHOST_{self.name.upper()}", *self.aliases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the file for things that have parts of their own.

    Attributes:
        name: Its key.
        help: One sentence.
    """

    name: str
    help: str


def row(
    kind: Kind,
    help: str,  # noqa: A002 (as in the table)
    *,
    default: Any = None,
    shown: str | None = None,
    secret: bool = False,
    aliases: tuple[str, ...] = (),
    below: str = "",
    in_file: bool = True,
) -> Any:
    """A field of `Settings`; see `Setting` for what the arguments mean."""
    if shown is None:
        shown = "" if default is None else kind.show(default)
    given = {
        "kind": kind,
        "help": help,
        "default": default,
        "shown": shown,
        "secret": secret,
        "aliases": aliases,
        "below": below,
        "in_file": in_file,
    }
    return field(metadata={_ROW: given}, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in force.

    Attributes:
        origins: For each setting where its value is from: `flag:--port`, `env:TOOLHOST_PORT`, `credential:NAME`,
            `toolhost.toml:3` or `default`.
        file: The settings file, for its sections.
    """

    # Where things are

    data: Path = row(
        PATH,
        "Folder for the database, keys, audit log, policies, drop-in plugins and workspaces.",
        shown="/var/lib/toolhost for the service user, else ~/.local/share/toolhost",
        in_file=False,
    )
    config: Path = row(
        PATH,
        "The settings file; the default one may be missing.",
        shown="$TOOLHOST_DATA/toolhost.toml",
        below="toolhost.toml",
        in_file=False,
    )
    policies: Path = row(
        PATH,
        "Folder of the policy files; seeded from the packaged ones at first run, never overwritten.",
        shown="$TOOLHOST_DATA/policies",
        below="policies",
    )
    plugins: Path = row(
        PATH,
        "Folder of drop-in plugins; empty at first.",
        shown="$TOOLHOST_DATA/plugins",
        below="plugins",
    )

    extensions: tuple[str, ...] = row(
        LIST,
        "Trusted extensions, as `module` or `module:attribute`: imported into the host, with all its power.",
        default=(),
    )

    worker_idle: float = row(DURATION, "How long a plugin's worker or server is kept that nobody uses.", default=60.0)
    worker_memory: int = row(
        SIZE, "Memory that it may hold meanwhile; one that holds more is ended at once.", default=128 << 20
    )

    # Listening

    host: str = row(
        TEXT,
        "Address to listen on. One that other machines reach needs TLS or trusted proxies.",
        default="127.0.0.1",
    )
    port: int = row(integer(1, 65535), "Port to listen on.", default=8001)
    certfile: Path | None = row(PATH, "Certificate chain (PEM) for TLS; goes with `keyfile`.")
    keyfile: Path | None = row(PATH, "Private key (PEM) for TLS; goes with `certfile`.")
    trusted_proxies: tuple[Network, ...] = row(CIDRS, "Proxies in front of the server, by their addresses.", default=())
    allowed_hosts: tuple[str, ...] = row(
        HOSTS, "Names besides the loopback ones under which the server may be addressed.", default=()
    )

    allowed_origins: tuple[str, ...] = row(
        ORIGINS,
        "Origins besides its own whose pages may use the server as its own pages do.",
        default=(),
        aliases=("ALLOWED_ORIGINS",),
    )

    # Signing in

    jwt_secret_key: str | None = row(
        TEXT,
        "Signs the access tokens: 32 random bytes or more. Unset, a key is made in the data directory.",
        secret=True,
        aliases=("JWT_SECRET_KEY",),
    )
    admin_password: str | None = row(
        TEXT,
        "Makes the first administrator, `admin`, who has to choose another password at the first sign-in.",
        secret=True,
        aliases=("ADMIN_PASSWORD",),
    )
    auth_enabled: bool = row(
        BOOLEAN,
        "Signing in is needed. It cannot be switched off: `false` is refused.",
        default=True,
        aliases=("AUTH_ENABLED",),
    )
    allow_anonymous: bool = row(
        BOOLEAN,
        "People who have not signed in may use tools. It cannot be switched on: `true` is refused.",
        default=False,
        aliases=("ALLOW_ANONYMOUS",),
    )

    # What is written down

    audit_sync: str = row(
        choice("grouped", "record"),
        "When an audit record is on the disk: within 50 ms together with others, or each before its call goes on.",
        default="grouped",
    )
    audit_rotate_size: int = row(
        SIZE, "Size after which another audit log, or security log, is begun.", default=64 << 20
    )
    audit_rotate_age: float = row(
        DURATION, "Age of its first record after which another audit log is begun.", default=30 * 86400.0
    )
    audit_keep: float | None = row(
        DURATION,
        "How long full audit logs and security logs are kept, at the least. Unset, they are kept for ever.",
    )

    # How often somebody may ask

    api_rate: Rate = row(
        RATE, "Requests to the API, for each person or, of strangers, each address.", default=Rate(100, 60)
    )
    chat_rate: Rate = row(RATE, "Requests that make a chat or a tool work, likewise.", default=Rate(30, 60))
    socket_rate: Rate = row(
        RATE, "Messages over WebSockets, likewise; one more closes the WebSocket.", default=Rate(60, 60)
    )
    login_rate: Rate = row(
        RATE,
        "Failed attempts to sign in, for each address and each account; then the wait grows each time.",
        default=Rate(5, 300),
    )

    # Conversations

    shares: bool = row(
        BOOLEAN,
        "People may make read-only links to their conversations, which open without signing in.",
        default=False,
    )

    log_format: str = row(
        choice("json", "console"), "How the server writes its log: JSON lines, or lines for people.", default="json"
    )
    log_level: str = row(
        choice("debug", "info", "warning", "error"), "What is logged: entries of this level and above.", default="info"
    )

    # Models; those of the file are in its sections

    ollama: str = row(
        TEXT,
        "Where Ollama is looked for on this machine, to offer its models; `off` for nowhere.",
        default="http://127.0.0.1:11434",
    )

    # Finding faults

    debug: bool = row(
        BOOLEAN,
        "Log everything, and what holds up the event loop. Refused where other machines reach the server.",
        default=False,
        aliases=("DEBUG",),
    )

    origins: Mapping[str, str]
    file: SettingsFile = field(repr=False)


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(name=one.name, **one.metadata[_ROW]) for one in dataclasses.fields(Settings) if _ROW in one.metadata
)
"""Every setting, in the order of the table."""

SECTIONS: tuple[Section, ...] = (
    Section(name="models", help="`[[models]]`: the language models that may answer in the chat."),
    Section(name="profiles", help="`[[profiles]]`: a model, what it is told and the tools it may call, under a name."),
    Section(name="agent", help="`[agent]`: how far one run of a model may go."),
    Section(name="extension", help="`[extension.NAME]`: what a trusted extension is told."),
)
"""Every section that the file may have besides the settings."""
