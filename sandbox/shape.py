"""Everything about a plan that is fixed when its sandbox is made; all the rest comes with the call's script.

Two plans of one shape can use the same armed sandbox. What is hidden and protected in a root is no part of it: that is
covered when a call begins.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from toolhost.sandbox.mounted import Mounted, mounted_in
from toolhost.sandbox.mounts import open_root
from toolhost.sandbox.plan import SECRETS, Limits, Root, SandboxPlan
from toolhost.sandbox.roots import root

__all__ = ["Places", "Shape", "place"]

_ABOUT_A_ROOT = ("source", "target", "device", "inode", "writable", "executable", "within", "mounted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The roots of a plan, verified, and where they stand.

    Attributes:
        roots: As a launch message describes them, outer before inner.
        points: Mount points of the tool root, and whether each is a folder.
        targets: Where each root that bubblewrap mounts stands inside.
        secrets: Where each secret stands inside; a sandbox with any is made for its call alone.
        version: Of what is mounted in the roots: another whenever that may have changed.
    """

    roots: tuple[dict[str, Any], ...]
    points: tuple[tuple[str, bool], ...]
    targets: tuple[str, ...]
    secrets: tuple[str, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a sandbox is made from.

    Attributes:
        owner: The plugin whose plans it is for.
        kind: Of its plans.
        policy_digest: The policy its plans were made under.
        tool_root: Name of the tool root.
        places: The roots.
        limits: Its size of /tmp, what its launcher sets, and what its control group holds it to.
        network: `host:port` allowed; empty is no network.
        covers: Whether something in a root has to be covered when a call begins.
        key: Equal for two shapes that can use each other's sandboxes; a text, which is hashed but once.
    """

    owner: str
    kind: Literal["command", "worker"]
    policy_digest: str
    tool_root: str
    places: Places
    limits: Limits
    network: tuple[str, ...]
    covers: bool = field(init=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        covers = any(
            root["hidden"] or root["hidden_globs"] or (root["writable"] and root["protected"])
            for root in self.places.roots
        )
        object.__setattr__(self, "covers", covers)
        roots = tuple(tuple(one[name] for name in _ABOUT_A_ROOT) for one in self.places.roots)
        key = self.owner, self.kind, self.policy_digest, self.tool_root, roots, self.limits, self.network
        object.__setattr__(self, "key", repr(key))

    @classmethod
    def of(cls, plan: SandboxPlan, tool_root: str, places: Places) -> Shape:
        """The shape of a plan whose roots and tool root are found."""

        def make(plan: SandboxPlan) -> Shape:
            return cls(
                owner=plan.tool.partition(".")[0],
                kind=plan.kind,
                policy_digest=plan.policy_digest,
                tool_root=tool_root,
                places=places,
                limits=plan.limits,
                network=plan.network,
            )

        return make(plan) if _moves(plan) else plan.derived(f"shape {tool_root} {places.version}", make)


def place(plan: SandboxPlan) -> Places:
    """Verify the roots of a plan, and find which stand in which.

    Raises:
        PlanRefused: A root is gone, a link, out of reach, or another folder than the plan's.
    """
    for each in plan.roots:
        os.close(open_root(each.source, each.device, each.inode))
    roots = (*plan.roots, *_support_below_tmp(plan)) if _moves(plan) else plan.roots
    mounted = dict(zip(roots, mounted_in(*((one.source, one.writable) for one in roots)), strict=True))
    if _moves(plan):
        return _place(plan, mounted)
    version = max((version for version, _ in mounted.values()), default=0)
    return plan.derived(f"places {version}", lambda plan: _place(plan, mounted))


def _moves(plan: SandboxPlan) -> bool:
    """Whether what it stands on may be another with every call."""
    return plan.derived("moves", lambda plan: any(map(_is_below_tmp, plan.support)))


def _place(plan: SandboxPlan, mounted: Mapping[Root, tuple[int, Mounted]]) -> Places:
    roots: list[dict[str, Any]] = []
    points: list[tuple[str, bool]] = []
    for each in sorted(mounted, key=lambda one: one.target.count("/")):
        fd = open_root(each.source, each.device, each.inode)
        folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        os.close(fd)
        within = None
        for number, outer in reversed(list(enumerate(roots))):
            if each.target.startswith(outer["target"] + "/"):
                within = (number, each.target[len(outer["target"]) + 1 :])
                break
        if within is None and not each.target.startswith("/tmp/"):  # noqa: S108
            points.append((each.target, folder))
        roots.append(
            {
                "source": each.source,
                "target": each.target,
                "device": each.device,
                "inode": each.inode,
                "writable": each.writable,
                "executable": each.executable,
                "hidden": each.hidden,
                "hidden_globs": each.hidden_globs,
                "protected": each.protected,
                "within": within,
                "mounted": mounted[each],
            }
        )
    targets = tuple(one["target"] for one in roots if one["within"] is None)
    secrets = tuple(f"{SECRETS}/{name}" for name in plan.secrets)
    points += [(target, False) for target in secrets]
    version = max((version for version, _ in mounted.values()), default=0)
    return Places(roots=tuple(roots), points=tuple(sorted(points)), targets=targets, secrets=secrets, version=version)


def _support_below_tmp(plan: SandboxPlan) -> Iterator[Root]:
    """Support that stands under /tmp: the private /tmp hides the tool root's copy, so it is mounted over that."""
    for path in filter(_is_below_tmp, plan.support):
        yield root(path, path, executable=True)


def _is_below_tmp(path: str) -> bool:
    return path.startswith("/tmp/")  # noqa: S108
