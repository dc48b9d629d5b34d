"""The plan: one frozen value that says exactly what will run, and the sandbox's only input.

`explain` prints it, the approval card shows it, the sandbox enforces it and the audit log records it. Nothing outside
a plan reaches the spawner: what is not in here cannot be asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar

__all__ = [
    "MOST_SECRETS",
    "NO_SECRETS",
    "SECRETS",
    "HostFile",
    "Limits",
    "Program",
    "Root",
    "SandboxPlan",
    "is_secret_name",
]

_T = TypeVar("_T")

SECRETS = "/run/secrets"
"""Where secrets stand inside, each a file of its name."""

MOST_SECRETS = 16
"""Secrets of one plan."""

NO_SECRETS: Mapping[str, bytes] = MappingProxyType({})
"""For a plan without any."""

_SECRET_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A host program, resolved once when its policy was loaded and pinned to that file.

    Attributes:
        name: As the policy spells it: `git`, or an absolute path.
        path: The absolute path the name stands for (`/usr/bin/awk`); may be a link.
        target: The file itself, every link resolved (`/usr/bin/mawk`).
        device: Device number of `target`.
        inode: Inode number of `target`.
        size: Bytes in `target`.
        modified_ns: Modification time of `target`, nanoseconds since the epoch.
        digest: `sha256:` and the digest of `target`'s bytes.
    """

    name: str
    path: str
    target: str
    device: int
    inode: int
    size: int
    modified_ns: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A host folder or file shown inside a sandbox.

    Attributes:
        source: Absolute host path; opened without following a link in any component.
        target: Where it stands inside.
        device: Device number `source` must have when the sandbox opens it.
        inode: Inode number `source` must have.
        writable: Whether it may be written; a writable root is nosuid and nodev.
        executable: Whether files of a writable root may be executed (otherwise noexec).
        hidden: Paths relative to the root that are not there inside (policy `deny`).
        hidden_globs: Patterns of such paths: what matches when a call begins is hidden, what matches later is found at
            its end.
        protected: Paths relative to the root that cannot be written or created (policy `protect`).
    """

    source: str
    target: str
    device: int
    inode: int
    writable: bool = False
    executable: bool = False
    hidden: tuple[str, ...] = ()
    hidden_globs: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFile:
    """A small file the host writes into the sandbox, read-only.

    Attributes:
        target: Absolute path inside, such as `/etc/gitconfig`.
        text: Its content.
    """

    target: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one call may use. Sizes are bytes, times are seconds, the rest are counts.

    `workspace` (growth of the writable roots during a call) is None where there is no limit.
    """

    wall: float = 30.0
    cpu: float = 30.0
    memory: int = 512 << 20
    processes: int = 64
    open_files: int = 256
    file_size: int = 100 << 20
    output: int = 1 << 20
    scratch: int = 64 << 20
    workspace: int | None = None
    calls: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPlan:
    """Everything one sandbox is made of, and nothing else.

    Attributes:
        kind: `command` runs `argv` to its end; `worker` keeps a plugin's interpreter alive for many calls.
        tool: The tool's name, `plugin.tool`.
        argv: The exact argument vector; `argv[0]` is the absolute path of a program in `programs`.
        cwd: Absolute folder inside, within a root or `/tmp`.
        env: The whole environment, sorted by name.
        programs: Every program that exists inside. The first is the one `argv` starts.
        support: Further host files or folders a program needs, read-only, at their host path.
        files: Files the host writes, read-only.
        secrets: Names of files in /run/secrets; what they hold comes with the call, and is in no plan.
        roots: Host folders, in the order they are mounted (outer before inner).
        limits: What the call may use.
        require: Names of limits that must hold for the whole process tree; else it does not run.
        network: `host:port` allowed through the broker; empty is no network.
        isolation: `call`: a sandbox of its own; `conversation`: one sandbox for the calls of a conversation in turn.
        conversation: Names that conversation, among all users'; empty where there is none: then a sandbox of its own.
        arguments: Canonical JSON of a worker tool's arguments; None for a command.
        config: Canonical JSON of the settings that a plugin's worker is given with each call; None where it has none.
        stdin: What the process is given on standard input, its beginning and its digest; empty where that is nothing.
        labels: What its rule lets it reach, for people and records: the sandbox itself does nothing with them.
        policy_digest: Digest of the policy files that allowed it.
        plugin_digest: Digest of the plugin's declared tools or code.
    """

    kind: Literal["command", "worker"]
    tool: str
    argv: tuple[str, ...]
    cwd: str
    env: tuple[tuple[str, str], ...] = ()
    programs: tuple[Program, ...]
    support: tuple[str, ...] = ()
    files: tuple[HostFile, ...] = ()
    secrets: tuple[str, ...] = ()
    roots: tuple[Root, ...] = ()
    limits: Limits = Limits()
    require: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    isolation: Literal["call", "conversation"] = "call"
    conversation: str = ""
    arguments: str | None = None
    config: str | None = None
    stdin: str = ""
    labels: tuple[str, ...] = ()
    policy_digest: str = ""
    plugin_digest: str = ""
    _derived: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def derived(self, name: str, make: Callable[[SandboxPlan], _T]) -> _T:
        """What follows from the plan alone, made once for all calls that it is the plan of.

        Args:
            name: What it is.
            make: Makes it.
        """
        if name not in self._derived:
            self._derived[name] = make(self)
        made: _T = self._derived[name]
        return made

    @property
    def digest(self) -> str:
        """`sha256:` and the digest of the canonical JSON of every field."""
        return self.derived("digest", lambda plan: "sha256:" + hashlib.sha256(plan.canonical()).hexdigest())

    def canonical(self) -> bytes:
        """The plan as canonical JSON: sorted keys, no spaces, ASCII only (lone surrogates stay escaped)."""
        fields = _fields(self)
        del fields["_derived"]
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_fields).encode()


def is_secret_name(name: str) -> bool:
    """Whether a secret may be called so."""
    return _SECRET_NAME.fullmatch(name) is not None


def _fields(value: Any) -> dict[str, Any]:
    """The fields of one of the values above (`dataclasses.asdict` copies every leaf, which takes ten times as long)."""
    return {name: getattr(value, name) for name in value.__slots__}
