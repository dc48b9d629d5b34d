"""The plan as people read it: one object, and one text of it, wherever a plan is shown or recorded.

`explain`, the approval card, the audit log and the record of a call all hold exactly this. It has everything of a plan
but the contents of files and the values of variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from toolhost.policy.labels import LABELS
from toolhost.policy.limit_table import LIMITS, show_limit
from toolhost.sandbox.outcome import LimitReport
from toolhost.sandbox.plan import SandboxPlan
from toolhost.shown import shown, token

__all__ = ["block", "limits_view", "plan_lines", "plan_view", "visible"]


def plan_view(plan: SandboxPlan) -> dict[str, Any]:
    """The plan as a JSON object."""
    return {
        "kind": plan.kind,
        "argv": list(plan.argv),
        "arguments": plan.arguments,
        "config": plan.config,
        "stdin": plan.stdin,
        "cwd": plan.cwd,
        "mounts": [
            {
                "path": root.target,
                "source": root.source,
                "mode": "write" if root.writable else "read",
                "exec": root.executable,
                "hidden": [*root.hidden, *root.hidden_globs],
                "protected": list(root.protected),
            }
            for root in plan.roots
        ],
        "programs": {program.path: program.digest for program in plan.programs},
        "links": {program.path: program.target for program in plan.programs if program.path != program.target},
        "support": list(plan.support),
        "files": [file.target for file in plan.files],
        "env": [name for name, _ in plan.env],
        "secrets": list(plan.secrets),
        "limits": {name: getattr(plan.limits, name) for name in LIMITS},
        "network": list(plan.network),
        "labels": list(plan.labels),
        "isolation": plan.isolation,
        "plan_digest": plan.digest,
        "policy_digest": plan.policy_digest,
    }


def limits_view(reports: Mapping[str, LimitReport]) -> dict[str, dict[str, Any]]:
    """Each limit's value and what enforces it."""
    return {name: {"value": report.value, "enforced_by": report.enforced_by} for name, report in reports.items()}


def plan_lines(view: Mapping[str, Any], enforced: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The plan as text for people.

    Args:
        view: From `plan_view`, now or when a call was made.
        enforced: From `limits_view`; empty where it is not known what enforces them.
    """
    yield from block("argv", view["argv"], token)
    if view["arguments"] is not None:
        yield f"arguments: {visible(view['arguments'])}"
    if view.get("config") is not None:  # not there in calls recorded before there was any
        yield f"config: {visible(view['config'])}"
    if view.get("stdin"):  # not there in calls recorded before there was any
        yield f"stdin: {visible(view['stdin'])}"
    yield f"cwd: {visible(view['cwd'])}"
    yield from block("mounts", map(_mount, view["mounts"]))
    links = view["links"]
    yield from block(
        "programs",
        (
            f"{path}{f' -> {links[path]}' if path in links else ''} {digest}"
            for path, digest in view["programs"].items()
        ),
    )
    for name in ("support", "files"):
        if view[name]:
            yield from block(name, view[name])
    yield f"env: {' '.join(view['env'])}"
    if view.get("secrets"):  # not there in calls recorded before there were any
        yield f"secrets: {' '.join(view['secrets'])}"
    yield f"limits: {', '.join(_limits(view['limits'], enforced))}"
    yield f"network: {', '.join(view['network']) or 'none'}"
    yield from block("labels", (f"{label}  {words}" for label, words in LABELS.items() if label in view["labels"]))
    if view["isolation"] == "conversation":
        yield "isolation: one sandbox for the calls of a conversation, in turn; /tmp is kept between them"
    yield f"plan: {view['plan_digest']}"


def block(name: str, items: Iterable[str], show: Callable[[str], str] | None = None) -> Iterator[str]:
    """A heading and a line for each item below it."""
    yield f"{name}:"
    found = False
    for item in items:
        found = True
        yield f"  {(show or visible)(item)}"
    if not found:
        yield "  none"


def visible(text: str) -> str:
    """One line, whatever the text holds: what could rewrite the terminal or look like another line is escaped."""
    return shown(text) or '""'


def _mount(mount: Mapping[str, Any]) -> str:
    parts = [mount["path"], "read-write" if mount["mode"] == "write" else "read-only"]
    if mount["source"] != mount["path"]:
        parts.append(f"from {mount['source']}")
    if mount["mode"] == "write" and mount["exec"]:
        parts.append("executable")
    for name in ("hidden", "protected"):
        if mount[name]:
            parts.append(f"{name}: {', '.join(mount[name])}")
    return "  ".join(parts)


def _limits(limits: Mapping[str, Any], enforced: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, value in limits.items():
        if value is not None:
            how = f" ({enforced[name]['enforced_by']})" if name in enforced else ""
            yield f"{name} {show_limit(name, value)}{how}"
