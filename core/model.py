"""The values that travel from room to room: who asks, what for, what was decided, what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Actor",
    "Call",
    "CallResult",
    "CommandTemplate",
    "Decision",
    "DecisionOutcome",
    "Errand",
    "ExternalContent",
    "Status",
    "Tool",
]

DecisionOutcome = Literal["allow", "ask", "deny"]
Status = Literal[
    "ok", "error", "denied", "approval_required", "refused", "limit", "timeout", "cancelled", "unavailable"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks.

    Attributes:
        user_id: `u_...`, or `local` for the administrator at the command line.
        username: The name people see.
        role: `admin`, `operator`, `user` or `viewer`.
        channel: How the request came: `cli`, `web`, `rest`, `mcp`.
        session_id: The login session, or None.
        ip: The client's address, or None.
        request_id: Ties log lines of one request together, or None.
        scopes: What an API key may be used for; None for a person.
        key_id: The API key, or None for a person.
    """

    user_id: str
    username: str
    role: str
    channel: str
    session_id: str | None = None
    ip: str | None = None
    request_id: str | None = None
    scopes: frozenset[str] | None = None
    key_id: str | None = None

    @property
    def attended(self) -> bool:
        """Whether a person is there, who can be asked."""
        return self.scopes is None

    def owns(self, began_by: Actor) -> bool:
        """Whether this actor may change or end what another began: a person what they and their keys did, a key only
        what it did itself, since another one may have begun with more rights."""
        return self.user_id == began_by.user_id and self.key_id in (None, began_by.key_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTemplate:
    """The argv template of a command tool as its manifest writes it.

    Attributes:
        text: The template, such as `git log [--oneline] [-n {limit}]`.
        cwd: `{workspace}` or an absolute path.
    """

    text: str
    cwd: str = "{workspace}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One callable thing.

    Attributes:
        name: `plugin.tool`.
        plugin: The plugin's name.
        about: One sentence for people and models.
        input_schema: JSON Schema of the arguments; no additional properties.
        output_schema: JSON Schema of the structured result, or None.
        command: The argv template of a command tool; None for a tool in a worker.
        server: The command of the MCP server that has the tool; empty for every other.
        original: What its server calls it; empty for every other.
        plugin_digest: Digest of the plugin's manifest and code.
        hints: What its author says of it. What is shown follows from the policy: `hints_of` of
            `toolhost.policy.annotations`.
        change: How its author says that it changes files (`toolhost.changes`); empty where it does not.
    """

    name: str
    plugin: str
    about: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None = None
    command: CommandTemplate | None = None
    server: tuple[str, ...] = ()
    original: str = ""
    plugin_digest: str = ""
    hints: Mapping[str, bool] = field(default_factory=dict)
    change: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a running call's worker asks the host to run for it.

    Attributes:
        kind: `run` a command, or `fetch` from a server.
        argv: The command; of a fetch the method and the URL.
        stdin: What it reads on standard input; of a fetch its headers and body.
        cwd: `{workspace}`, or an absolute path.
        wall: Seconds, where it is to have less than the policy gives it; else None.
    """

    kind: Literal["run", "fetch"]
    argv: tuple[str, ...]
    stdin: bytes = b""
    cwd: str = "{workspace}"
    wall: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One tool invocation by one actor.

    Attributes:
        id: `c_...`, sortable by time.
        tool: The tool.
        arguments: After preparation and validation.
        actor: Who asks.
        workspace: Absolute host path of the call's workspace.
        workspace_writable: Whether the workspace may be written at all (a named workspace may be read-only).
        workspace_own: Whether the workspace is the one its conversation was given: only its calls write there.
        conversation_id: Where the call was made, or None.
        attended: Whether somebody is there who can be asked while it runs.
        parent_id: The call whose worker asks for this one; None for a call that somebody made.
        errand: What that worker asks for; None likewise.
        asked: The arguments as they came, where a trusted extension changed them; else None.
        explanation: What a model wrote when it asked for the call; nobody has checked it. Empty where none did.
    """

    id: str
    tool: Tool
    arguments: Mapping[str, Any]
    actor: Actor
    workspace: str
    workspace_writable: bool = True
    workspace_own: bool = False
    conversation_id: str | None = None
    attended: bool = True
    parent_id: str | None = None
    errand: Errand | None = None
    asked: Mapping[str, Any] | None = None
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the policy says of one call.

    Attributes:
        outcome: `allow`, `ask` or `deny`.
        code: Stable code, such as `rule_allow`, `no_rule`, `path_outside_roots`.
        reason: One sentence.
        source: `file:line` of the rule, or None for the default deny.
        hint: What would be allowed instead and who can change it; may be empty.
        rule: The rule as its file writes it, or an empty string.
    """

    outcome: DecisionOutcome
    code: str
    reason: str
    source: str | None = None
    hint: str = ""
    rule: str = ""

    def as_json(self) -> dict[str, object]:
        """The decision object of the API."""
        return {"outcome": self.outcome, "code": self.code, "reason": self.reason, "source": self.source}

    def as_record(self) -> dict[str, object]:
        """All of it, for those who ask later, when the files say something else."""
        return {**self.as_json(), "hint": self.hint, "rule": self.rule}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalContent:
    """Content that a conversation has taken in and did not write itself.

    Attributes:
        tool: The tool that could bring it; `upload` for files that a person put into the workspace.
        call_id: Its first call; `upload` likewise.
        origins: Where it can have come from: hosts, folders, `{workspace}` or `upload`.
        since: Milliseconds since the epoch.
    """

    tool: str
    call_id: str
    origins: tuple[str, ...]
    since: int

    def as_json(self) -> dict[str, object]:
        """The object of the API."""
        return {"tool": self.tool, "call_id": self.call_id, "origins": list(self.origins), "since": self.since}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """The result object: the same for the CLI, REST and the WebSocket. See `docs/reference/result.md`."""

    call_id: str
    tool: str
    status: Status
    exit_code: int | None = None
    signal: int | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    content: tuple[Mapping[str, Any], ...] = ()
    error: Mapping[str, Any] | None = None
    decision: Decision
    approval_id: str | None = None
    sandbox: Mapping[str, Any] | None = field(default=None)
    duration_ms: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The result as the plain JSON object of the contract."""
        return {
            "call_id": self.call_id,
            "tool": self.tool,
            "status": self.status,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "truncated": self.truncated,
            "content": [dict(part) for part in self.content],
            "error": None if self.error is None else dict(self.error),
            "decision": self.decision.as_json(),
            "approval_id": self.approval_id,
            "sandbox": None if self.sandbox is None else dict(self.sandbox),
            "duration_ms": round(self.duration_ms, 3),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CallResult:
        """The result that `as_json` wrote down."""
        decision = Decision(**{key: value["decision"][key] for key in ("outcome", "code", "reason", "source")})
        return cls(**{**value, "content": tuple(value["content"]), "decision": decision})
