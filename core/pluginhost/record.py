"""What is known of a plugin, and what a worker answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from toolhost.errors import ToolHostError
from toolhost.model import Status, Tool
from toolhost.sandbox.outcome import LimitReport

__all__ = ["PluginRecord", "WorkerReply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRecord:
    """One plugin as `plugin list` shows it.

    Attributes:
        name: The plugin's name; where it is unknown or taken, the place it came from.
        version: As its manifest says; empty where that cannot be read.
        about: One sentence.
        kind: `python` for a module in a worker, `mcp` for a server in one, `toml` for command tools alone.
        server: The command of its MCP server, or empty.
        state: `quarantined` plugins have no tools.
        code: Stable code of the reason, or an empty string.
        reason: One sentence that says why it is quarantined, or an empty string.
        tools: Its tools, sorted by name.
        source: `entry point` or `folder`.
        bundled: Whether it is part of toolhost itself.
        location: The folder its files are in, or the entry point where that is unknown.
        digest: `sha256:` and the digest of its files.
    """

    name: str
    version: str = ""
    about: str = ""
    kind: Literal["python", "mcp", "toml"] = "toml"
    server: tuple[str, ...] = ()
    state: Literal["active", "quarantined"] = "active"
    code: str = ""
    reason: str = ""
    tools: tuple[Tool, ...] = ()
    source: Literal["entry point", "folder"]
    bundled: bool = False
    location: str
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReply:
    """What came of one call of a worker tool.

    Attributes:
        status: `ok`, `error`, `limit`, `timeout` or `unavailable`.
        content: Parts for people and models: `{"type": "text" | "json", ...}`.
        value: The structured result, or None.
        error: Set for every status but `ok`.
        stderr: What the tool printed or logged, up to the output limit.
        truncated: Whether `stderr` was cut.
        limits: Every limit of the worker and the mechanism that enforces it.
        armed: Whether the worker was running before the call came.
    """

    status: Status = "ok"
    content: tuple[Mapping[str, Any], ...] = ()
    value: Any = None
    error: ToolHostError | None = None
    stderr: str = ""
    truncated: bool = False
    limits: Mapping[str, LimitReport] = field(default_factory=dict)
    armed: bool = False
