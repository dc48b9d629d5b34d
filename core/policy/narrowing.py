"""Whether one plan is the same as another with something taken away."""

from __future__ import annotations

from dataclasses import fields

from toolhost.sandbox.plan import Limits, Root, SandboxPlan

__all__ = ["widened"]

_SAME = (
    "kind",
    "tool",
    "argv",
    "cwd",
    "files",
    "secrets",
    "isolation",
    "conversation",
    "arguments",
    "config",
    "stdin",
    "labels",
    "policy_digest",
    "plugin_digest",
)
_FEWER = ("env", "programs", "support")


def widened(before: SandboxPlan, after: object) -> str | None:
    """What a plan has that the one before it had not, as the end of a sentence; None where there is nothing."""
    if not isinstance(after, SandboxPlan):
        return f"it returned a {type(after).__name__}, not a plan"
    for name in _SAME:
        if getattr(before, name) != getattr(after, name):
            return f"it changed `{name}`, which only the policy decides"
    for name in _FEWER:
        if not set(getattr(after, name)) <= set(getattr(before, name)):
            return f"it added to `{name}`"
    if before.programs[:1] != after.programs[:1]:
        return "it took away the program that runs"
    if not set(after.require) >= set(before.require):
        return "it took something from `require`"
    return _network(before, after) or _limits(before.limits, after.limits) or _roots(before, after)


def _network(before: SandboxPlan, after: SandboxPlan) -> str | None:
    granted = {host for host in before.network if not host.startswith("!")}
    denied = set(before.network) - granted
    left = {host for host in after.network if not host.startswith("!")}
    if not left <= granted or (left and not set(after.network) - left >= denied):
        return "it added to `network`"
    return None


def _limits(before: Limits, after: Limits) -> str | None:
    for one in fields(Limits):
        most, now = getattr(before, one.name), getattr(after, one.name)
        if most is not None and (now is None or now > most):
            return f"it raised the limit `{one.name}`"
    return None


def _roots(before: SandboxPlan, after: SandboxPlan) -> str | None:
    known = {root.target: root for root in before.roots}
    for root in after.roots:
        if root.target not in known or not _within(known[root.target], root):
            return f"it widened the folder {root.target}"
    # A root within another one covers a part of it: without it, what lies beneath would show through.
    left = {root.target for root in after.roots}
    for target in known.keys() - left:
        if any(target.startswith(f"{outer}/") for outer in left):
            return f"it took away {target}, and what it covered would be seen"
    return None


def _within(before: Root, after: Root) -> bool:
    same = all(getattr(before, name) == getattr(after, name) for name in ("source", "device", "inode"))
    no_more = (before.writable or not after.writable) and (before.executable or not after.executable)
    kept = all(set(getattr(after, name)) >= set(getattr(before, name)) for name in ("hidden", "hidden_globs"))
    return same and no_more and kept and (not after.writable or set(after.protected) >= set(before.protected))
