"""What is asked of a policy, what was found out about it, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from toolhost.model import Actor, Decision, Tool
from toolhost.policy.policy_set import PolicySet
from toolhost.policy.values import DenyRule, Rule, SecretSource, ToolRule
from toolhost.sandbox.plan import Program, Root, SandboxPlan

__all__ = ["Considered", "Facts", "Match", "Refusal", "Request", "ServerFiles", "WorkerRuntime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRuntime:
    """How a plugin's worker is started: given by the host, never by a policy.

    Attributes:
        argv: The worker's argument vector; `argv[0]` is the path of the first program.
        programs: What exists in its sandbox.
        support: Further host files and folders, read-only.
        env: Variables the worker needs.
    """

    argv: tuple[str, ...]
    programs: tuple[Program, ...]
    support: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFiles:
    """The files of a plugin that is an MCP server: its sandbox has them, read-only, whatever the policy says of paths.

    Attributes:
        folder: The plugin's folder.
        hidden: What of it is not there inside, relative to it: what the plugin's digest is not over.
    """

    folder: str
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, as far as a policy is concerned.

    Attributes:
        tool: The tool.
        actor: Who asks.
        arguments: Checked against the tool's schema.
        argv: For a command tool its argument vector, for a tool of an MCP server the server's, `argv[0]` the program as
            the plugin names it; else None.
        cwd: `{workspace}`, or an absolute path.
        workspace: Absolute host path of the call's workspace.
        workspace_writable: Whether the workspace may be written at all.
        workspace_own: Whether only the calls of this conversation have written into the workspace.
        conversation: Names the conversation it is made in, among all users'; empty where there is none.
        runtime: For a tool of a Python plugin how its worker is started, for a fetch what fetches; else None.
        server: For a tool of an MCP server the plugin's files; else None.
        errand: What a running call's worker asks for: to `run` a command, or to `fetch`, where `argv` is the method and
            the URL; None for a call that somebody made.
        stdin: What is written to its standard input, as a plan has it, or an empty string.
        wall: Seconds, where it is to have less than the policy gives it.
    """

    tool: Tool
    actor: Actor
    arguments: Mapping[str, Any] = field(default_factory=dict)
    argv: tuple[str, ...] | None = None
    cwd: str = "{workspace}"
    workspace: str
    workspace_writable: bool = True
    workspace_own: bool = False
    conversation: str = ""
    runtime: WorkerRuntime | None = None
    server: ServerFiles | None = None
    errand: Literal["run", "fetch"] | None = None
    stdin: str = ""
    wall: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why something cannot be: a code and a sentence."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An allow or ask whose template fits the command.

    Attributes:
        rule: The rule.
        arguments: What follows the program, in the template's spelling and with paths as they are inside.
        refusal: Why one of its paths cannot be used, or None.
    """

    rule: Rule
    arguments: tuple[str, ...] = ()
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a decision depends on besides the policies: looked up once, before it.

    Attributes:
        request: What is asked.
        roots: The folders the sandbox would have, outer before inner.
        cwd: The working folder inside.
        program: The program a command starts, pinned; None where no rule names it or this machine lacks it.
        host_denies: Denies of the host policy that mean the command.
        denies: Denies of the plugin's policy that mean it.
        matches: Allows and asks that mean it, those that decide before the others first; of a call only up to one that
            can be used.
        asks: Asks that mean it once they are read as widely as a deny; looked for where an allow takes any arguments.
        arguments: A worker tool's arguments with their paths as they are inside.
        refusal: Why nothing can run whatever the rules say, or None.
        steady: Whether nothing was looked up but programs and roots: then another look finds the same while these are.
    """

    request: Request
    roots: tuple[Root, ...] = ()
    cwd: str = "/tmp"  # noqa: S108 - the sandbox's own
    program: Program | None = None
    host_denies: tuple[DenyRule, ...] = ()
    denies: tuple[DenyRule, ...] = ()
    matches: tuple[Match, ...] = ()
    asks: tuple[Rule, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    refusal: Refusal | None = None
    steady: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """What came of a request.

    Attributes:
        decision: The decision.
        policies: The policies it was made by.
        plan: What would run; None for a denial.
        arguments: A worker tool's arguments with their paths as they are inside.
        secrets: Where the plan's secrets come from.
        asked_by: For an ask, the rules that are behind it.
        in_person: Whether an extension asks, so that no grant may answer.
        origins: Where content that the conversation did not write can come from, if it runs.
        warnings: What an administrator should know of the policy.
        steady: As of the facts it was made from.
    """

    decision: Decision
    policies: PolicySet
    plan: SandboxPlan | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[SecretSource, ...] = ()
    asked_by: tuple[Rule | ToolRule, ...] = ()
    in_person: bool = False
    origins: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    steady: bool = False
