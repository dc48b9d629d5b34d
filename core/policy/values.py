"""A policy and a host policy as they are in force: checked, compiled, frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from toolhost.model import Actor, DecisionOutcome
from toolhost.policy.index import DenyIndex, RuleIndex
from toolhost.policy.problems import Place
from toolhost.policy.template import Template
from toolhost.sandbox.plan import Limits, Program

__all__ = [
    "PROTECTED",
    "ROLES",
    "RUN_SCOPE",
    "SCOPES",
    "WORKSPACE",
    "DenyRule",
    "HostPolicy",
    "NamedWorkspace",
    "Policy",
    "RootGrant",
    "Rule",
    "SecretSource",
    "SourceKind",
    "ToolRule",
    "Who",
]

WORKSPACE = "{workspace}"
"""How a policy writes the folder of a call's conversation."""

ROLES = ("admin", "operator", "user")
"""Roles that may run tools at all; a viewer may not."""

RUN_SCOPE = "tools:run:"
"""Begins the scope of API keys that may run a plugin's tools; its name follows."""

SCOPES = ("admin", "audit:read", "chat", "policies:read", "tools:read", "tools:run")
"""The other scopes of API keys; `tools:run` is that of every plugin."""

PROTECTED = (
    ".git/hooks",
    ".git/config",
    ".git/commondir",  # names another folder to take the configuration and the hooks from
    ".git/config.worktree",
    ".git/modules",
    ".git/worktrees",
    ".bash_profile",
    ".bashrc",
    ".claude",
    ".cursor",
    ".devcontainer",
    ".envrc",
    ".gitconfig",
    ".idea",
    ".mcp.json",
    ".profile",
    ".vscode",
    ".zshrc",
)
"""What other programs run or obey when people open a folder: not writable unless a policy says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One allow or ask of `[commands]`.

    Attributes:
        outcome: `allow` or `ask`.
        text: As the policy writes it.
        template: The same, compiled.
        place: Where it is written.
        limits: Limits of its own, by name.
        network: Hosts in place of the policy's, as a plan has them; None where the policy's hold.
        standing: Whether a person who is asked may say yes for thirty days.
        because: Why it is there, or an empty string.
    """

    outcome: DecisionOutcome
    text: str
    template: Template
    place: Place
    limits: Mapping[str, Any] = field(default_factory=dict)
    network: tuple[str, ...] | None = None
    standing: bool = False
    because: str = ""

    @property
    def precedence(self) -> tuple[bool, bool, int, str]:
        """Of the rules that match, the least decides: the strictest; of equals what fixes most, then by its text."""
        return self.outcome != "ask", self.template.open, -self.template.weight, self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class DenyRule:
    """One deny of `[commands]`.

    Attributes:
        text: As the policy writes it.
        template: The same, compiled.
        place: Where it is written.
        file_id: Device and inode of the program it names, to know it under another name; or None.
        because: Why it is there, or an empty string.
    """

    text: str
    template: Template
    place: Place
    file_id: tuple[int, int] | None = None
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRule:
    """One name in `[tools]`; `standing` as for `Rule`."""

    outcome: DecisionOutcome
    name: str
    place: Place
    standing: bool = False

    @property
    def text(self) -> str:
        """The rule as people read it."""
        return f"[tools] {self.outcome} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RootGrant:
    """One entry of `[paths] read` or `write`: an absolute path or `{workspace}`."""

    path: str
    writable: bool
    place: Place


SourceKind = Literal["env", "file", "credential"]
"""From where the host takes a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """One entry of `[secrets]`: never what the secret holds.

    Attributes:
        name: Its name, and that of its file in /run/secrets.
        kind: From where it is taken.
        where: The variable, the file's path, or the credential's name.
        place: Where it is written.
    """

    name: str
    kind: SourceKind
    where: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Whom a policy serves: the roles, and these users besides; of their API keys those with these scopes.

    Attributes:
        roles: Roles.
        users: Names of users.
        scopes: What an API key must have besides the scope of the plugin.
        place: Where it is written.
    """

    roles: tuple[str, ...] = ROLES
    users: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    place: Place

    def includes(self, actor: Actor) -> bool:
        """Whether the actor is among them, whatever key they use."""
        return actor.role in self.roles or actor.username in self.users


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What one plugin is granted.

    Attributes:
        plugin: Its name.
        file: The policy file's name.
        about: One sentence, or an empty string.
        digest: `sha256:` over host.toml and this file.
        tools: The rules of `[tools]`.
        rules: Allows and asks of `[commands]`.
        denies: Denies of `[commands]`.
        programs: Every program that a rule or `inside` names, pinned; without those this machine does not have.
        inside: Names of the programs that are there for other programs.
        missing: Why a program is not there, by name.
        roots: What may be read and written.
        hidden: Paths that are not there inside a root.
        hidden_globs: Patterns of such paths.
        protected: Paths that cannot be written inside a root.
        network: Hosts that commands may reach, as a plan has them.
        network_place: Where the file lists them; None where it does not.
        executable: Whether files in writable roots may be executed.
        isolation: Whether each call has a sandbox of its own, or the calls of a conversation share one.
        support: Further host files or folders, read-only.
        limits: What `[limits]` sets, by name.
        require: Limits that must hold for the whole process tree.
        env: Variables and their values.
        secrets: Where the secrets of its calls come from.
        config: The plugin's own settings, defaults included.
        who: Whom it serves.
        warnings: What an administrator should know although the file is valid.
    """

    plugin: str
    file: str
    about: str = ""
    digest: str = ""
    tools: tuple[ToolRule, ...] = ()
    rules: tuple[Rule, ...] = ()
    denies: tuple[DenyRule, ...] = ()
    programs: Mapping[str, Program] = field(default_factory=dict)
    inside: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    roots: tuple[RootGrant, ...] = ()
    hidden: tuple[str, ...] = ()
    hidden_globs: tuple[str, ...] = ()
    protected: tuple[str, ...] = PROTECTED
    network: tuple[str, ...] = ()
    network_place: Place | None = None
    executable: bool = False
    isolation: Literal["call", "conversation"] = "call"
    support: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    require: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[SecretSource, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    who: Who
    warnings: tuple[str, ...] = ()

    def network_of(self, rule: Rule) -> tuple[str, ...]:
        """The hosts that a command under a rule may reach."""
        return self.network if rule.network is None else rule.network

    def serves(self, actor: Actor) -> bool:
        """Whether it grants the actor anything."""
        return self.who.includes(actor) and not self.scopes_missing(actor)

    def scopes_missing(self, actor: Actor) -> tuple[str, ...]:
        """The scopes that an actor's API key lacks; none for a person."""
        if actor.scopes is None:
            return ()
        held = actor.scopes
        needed = (RUN_SCOPE + self.plugin, *self.who.scopes)
        return tuple(
            scope for scope in needed if scope not in held and not (scope.startswith(RUN_SCOPE) and "tools:run" in held)
        )

    def tool_rules(self, name: str) -> Iterator[ToolRule]:
        """The rules of `[tools]` for a tool, given without the plugin's prefix."""
        return (rule for rule in self.tools if rule.name == name)

    @cached_property
    def rule_index(self) -> RuleIndex:
        """Finds the allows and asks that can mean a command."""
        return RuleIndex(self.rules)

    @cached_property
    def deny_index(self) -> DenyIndex:
        """Finds the denies that can mean a command."""
        return DenyIndex(self.denies)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedWorkspace:
    """A folder that people may choose for a conversation.

    Attributes:
        name: What they choose.
        path: Absolute host path.
        write: Whether it may be written.
        who: Roles that may choose it.
        place: Where it is written.
    """

    name: str
    path: str
    write: bool = False
    who: tuple[str, ...] = ROLES
    place: Place


@dataclass(frozen=True, kw_only=True)
class HostPolicy:
    """What holds for every plugin.

    Attributes:
        file: Its file's name.
        denies: Programs and commands that nothing may run.
        maxima: The largest value of a limit and where it is written, by name.
        allowed: Places under which roots may lie; None is anywhere but the control plane.
        workspaces: Folders people may choose for a conversation, by name.
        network_denies: Hosts that nothing may reach, and where each is written.
        content: The file's bytes, for digests.
    """

    file: str = "host.toml"
    denies: tuple[DenyRule, ...] = ()
    maxima: Mapping[str, tuple[Any, Place]] = field(default_factory=dict)
    allowed: tuple[str, ...] | None = None
    workspaces: Mapping[str, NamedWorkspace] = field(default_factory=dict)
    network_denies: tuple[tuple[str, Place], ...] = ()
    content: bytes = b""

    @cached_property
    def deny_index(self) -> DenyIndex:
        """Finds the denies that can mean a command."""
        return DenyIndex(self.denies)

    def limits(self, *overrides: Mapping[str, Any]) -> Limits:
        """The defaults, overridden in turn, and never above the maxima."""
        values: dict[str, Any] = {name: getattr(Limits(), name) for name in Limits.__dataclass_fields__}
        for override in overrides:
            values.update(override)
        for name, (most, _) in self.maxima.items():
            if values[name] is None or values[name] > most:
                values[name] = most
        return Limits(**values)
