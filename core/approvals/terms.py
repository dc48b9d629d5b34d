"""What a yes is a yes to.

A question is bound to its *approval digest*: the person, the conversation and every field of the plan, once. A grant is
bound to its *terms*: what has to be the same for a later call to be the same to a person.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from toolhost.model import Call
from toolhost.policy.environment import BASE, NETWORK, loads_code
from toolhost.policy.programs import runs_code
from toolhost.policy.request import Considered
from toolhost.policy.taint import TAINTED
from toolhost.policy.values import WORKSPACE, Rule, ToolRule
from toolhost.sandbox.plan import Root, SandboxPlan

__all__ = [
    "STANDING_DAYS",
    "Scope",
    "Terms",
    "approval_digest",
    "grant_text",
    "rules_digests",
    "scopes_of",
    "terms_digest",
    "terms_of",
]

Scope = Literal["once", "conversation", "standing"]
"""How far a yes reaches: this call, the same call in this conversation, the same call for thirty days."""

Terms = Mapping[str, Any]
"""What a grant covers, as plain JSON values."""

STANDING_DAYS = 30
"""How long a grant lives, whichever it is: nothing that was said once holds for ever."""


def approval_digest(
    plan: SandboxPlan, user_id: str, conversation_id: str | None, change: str | None = None, *, tainted: bool = False
) -> str:
    """What an answer is bound to: the person, the conversation, every field of the plan, and what else it was shown.

    Args:
        plan: The plan.
        user_id: Who is asked.
        conversation_id: Where, or None.
        change: Digest of what would change in files, where that was shown.
        tainted: Whether it was asked because of what the conversation has taken in.
    """
    bound = json.dumps([user_id, conversation_id, change, tainted]).encode() + b"\n" + plan.canonical()
    return "sha256:" + hashlib.sha256(bound).hexdigest()


def terms_of(plan: SandboxPlan, call: Call) -> Terms:
    """What a later call must have in common with this one to be covered by a grant.

    The folder that a conversation was given has no name that a person chose: `{workspace}` stands for it. Every other
    folder is named by its path on the host. What is in reach is part of them; limits and the version of a program are
    not: with others it is the same call.
    """
    names = {root.target: WORKSPACE if call.workspace_own and root.source == call.workspace else root.source
             for root in plan.roots}  # fmt: skip
    return {
        "user": call.actor.user_id,
        "tool": plan.tool,
        "kind": plan.kind,
        "run": list(plan.argv) if plan.kind == "command" else None,
        "arguments": plan.arguments,
        "stdin": plan.stdin,
        "cwd": _relative(plan.cwd, names),
        "roots": [_root(root, names[root.target]) for root in plan.roots],
        "programs": [program.path for program in plan.programs],
        "support": list(plan.support),
        "network": list(plan.network),
        "secrets": list(plan.secrets),
        "env": _chosen(plan.env),
        "env_digest": _digest(plan.env),
        "config": plan.config,
        "plugin_digest": plan.plugin_digest,
    }


def terms_digest(terms: Terms) -> str:
    """The standing digest: over every term."""
    return _digest(terms)


def rules_digests(rules: Iterable[Rule | ToolRule]) -> tuple[str, ...]:
    """A digest over what each rule says, wherever it stands in its file: another text is another digest."""
    return tuple(
        sorted(
            _digest(["command", rule.outcome, rule.text, rule.standing, dict(rule.limits), rule.network])
            if isinstance(rule, Rule)
            else _digest(["tool", rule.outcome, rule.name, rule.standing])
            for rule in rules
        )
    )


def scopes_of(considered: Considered, call: Call) -> tuple[Scope, ...]:
    """How far a yes to this call may reach.

    What is asked because the conversation holds content from elsewhere is answered each time, and a grant, given by
    somebody who was looking, answers for nobody who is not: a program with an API key. Nor does a grant answer an
    extension, which asks about this very call. A standing yes needs
    `standing = true` on every rule that asks, and is never given to a program that runs any code it is handed.
    """
    if considered.decision.code == TAINTED or considered.in_person or not call.actor.attended:
        return ("once",)
    scopes: list[Scope] = ["once"]
    if call.conversation_id is not None:
        scopes.append("conversation")
    asking = [rule for rule in considered.asked_by if rule.outcome == "ask"]
    if asking and all(rule.standing for rule in asking) and not _runs_code(considered.plan):
        scopes.append("standing")
    return tuple(scopes)


def grant_text(terms: Terms, scope: Scope, *, conversation_id: str | None, source: str | None) -> str:
    """A grant as an administrator would read it, in the spelling of a policy. Nothing in it is left to imagine."""
    of = terms["roots"]
    lines = [
        ("tool", terms["tool"]),
        ("run", terms["run"]) if terms["kind"] == "command" else ("arguments", terms["arguments"]),
        ("stdin", terms.get("stdin") or None),
        ("cwd", terms["cwd"]),
        ("read", [root["folder"] for root in of if not root["write"]]),
        ("write", [root["folder"] for root in of if root["write"]]),
        ("network", terms["network"]),
        ("secrets", terms.get("secrets", [])),
        ("env", terms.get("env", [])),
        ("config", terms.get("config")),
        ("conversation", conversation_id) if scope == "conversation" else ("days", STANDING_DAYS),
        ("while", source or ""),
    ]
    return "\n".join(f"{key} = {_toml(value)}" for key, value in lines if value not in (None, []))


def _runs_code(plan: SandboxPlan | None) -> bool:
    if plan is None or plan.kind == "worker":
        return plan is None
    program = plan.programs[0]
    return any(runs_code(name) is not None for name in (program.name, program.path, program.target))


def _chosen(env: Iterable[tuple[str, str]]) -> list[str]:
    """The variables that a policy has chosen, which are those that differ from one to another."""
    return [name for name, value in env if not (loads_code(name) or name in NETWORK or BASE.get(name) == value)]


def _root(root: Root, name: str) -> dict[str, Any]:
    return {
        "folder": name,
        "at": root.target,
        "write": root.writable,
        "exec": root.executable,
        "hidden": [*root.hidden, *root.hidden_globs],
        "protected": list(root.protected),
    }


def _relative(cwd: str, names: Mapping[str, str]) -> str:
    """The working folder by the root it lies in and the way from there."""
    around = [target for target in names if cwd == target or cwd.startswith(f"{target}/")]
    if not around:
        return cwd
    root = max(around, key=len)
    return names[root] + cwd[len(root) :]


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, int):
        return str(value)
    text = json.dumps(str(value), ensure_ascii=False)
    return "".join(char if unicodedata.category(char)[0] != "C" else f"\\U{ord(char):08X}" for char in text)
