"""How much a person should look at before they say yes: a level and its reasons, from what the plan can do.

It follows from the policy alone: the folders, hosts, secrets and programs that a rule grants. Neither a tool nor a
model has a say in it, and what a call's arguments look like does not lower it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from toolhost.policy.programs import runs_code
from toolhost.policy.resolve import INSIDE_WORKSPACE
from toolhost.policy.taint import TAINTED

__all__ = ["REASONS", "Danger", "Level", "Reason", "danger_of"]

Level = Literal["low", "medium", "high", "critical"]
Reason = Literal[
    "tainted",
    "sends_private",
    "communicates_out",
    "writes_outside_workspace",
    "executes_files",
    "runs_code",
    "reads_private",
    "writes_workspace",
    "reads_only",
]

REASONS: dict[Reason, tuple[Level, str]] = {
    "tainted": ("critical", "content from elsewhere may have asked for it, and its effects leave the conversation"),
    "sends_private": ("high", "it can send what it reads outside the workspace, or a secret, to other machines"),
    "communicates_out": ("high", "it can send to other machines"),
    "writes_outside_workspace": ("high", "it can write outside the workspace"),
    "executes_files": ("medium", "it can execute files that lie in its folders"),
    "runs_code": ("medium", "its program runs whatever code it is handed"),
    "reads_private": ("medium", "it can read what is not in the workspace"),
    "writes_workspace": ("medium", "it can write in the workspace"),
    "reads_only": ("low", "it can only read the workspace"),
}
"""Each reason with the level it stands for, and in plain words; the gravest first."""

_LEVELS: tuple[Level, ...] = get_args(Level)

assert tuple(REASONS) == get_args(Reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Danger:
    """A level and what it follows from, the gravest first."""

    level: Level
    reasons: tuple[Reason, ...]

    def as_json(self) -> dict[str, Any]:
        """The object of the API."""
        return {"level": self.level, "reasons": list(self.reasons)}

    def __str__(self) -> str:
        return f"{self.level}: {'; '.join(REASONS[reason][1] for reason in self.reasons)}"


def danger_of(view: Mapping[str, Any], code: str) -> Danger:
    """How much a plan can do.

    Args:
        view: The plan, from `plan_view`.
        code: The code of its decision.
    """
    labels, mounts = view.get("labels", ()), view["mounts"]  # no labels in calls recorded before there were any
    private = "reads_private" in labels
    outside = "communicates_out" in labels
    program = view["argv"][0] if view["kind"] == "command" and view["argv"] else ""
    names = {program, program.rpartition("/")[2], view["links"].get(program, "")}
    holds: dict[Reason, bool] = {
        "tainted": code == TAINTED,
        "sends_private": outside and private,
        "communicates_out": outside and not private,
        "writes_outside_workspace": "writes_outside_workspace" in labels,
        "executes_files": any(mount["exec"] for mount in mounts),
        "runs_code": any(runs_code(name) is not None for name in names if name),
        "reads_private": private and not outside,
        "writes_workspace": any(mount["mode"] == "write" and mount["path"] == INSIDE_WORKSPACE for mount in mounts),
    }
    found: tuple[Reason, ...] = tuple(reason for reason, is_so in holds.items() if is_so) or ("reads_only",)
    return Danger(level=max((REASONS[reason][0] for reason in found), key=_LEVELS.index), reasons=found)
