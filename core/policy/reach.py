"""What one plan lets a call reach and another does not, both as they are shown and recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from toolhost.policy.limit_table import LIMITS, show_limit

__all__ = ["gained"]


def gained(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """What a plan has beyond an earlier one, each in a few words.

    Args:
        before: The earlier plan, from `plan_view`.
        after: The plan, likewise.
    """
    reached, barred = set(_reached(before)), set(_barred(after))
    return (
        *(what for what in _reached(after) if what not in reached),
        *(what for what in _barred(before) if what not in barred),
        *_limits(before["limits"], after["limits"]),
    )


def _reached(plan: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"network {host}" for host in plan["network"] if not host.startswith("!"))
    for mount in plan["mounts"]:
        yield f"read {mount['path']}"
        if mount["mode"] == "write":
            yield f"write {mount['path']}"
            yield from (f"execute in {mount['path']}",) if mount["exec"] else ()
    yield from (f"program {path}" for path in plan["programs"])
    yield from (f"support {path}" for path in plan["support"])


def _barred(plan: Mapping[str, Any]) -> Iterator[str]:
    """What takes something away from what is there."""
    yield from (f"denied network {host[1:]}" for host in plan["network"] if host.startswith("!"))
    for mount in plan["mounts"]:
        yield from (f"{how} {path} in {mount['path']}" for how in ("hidden", "protected") for path in mount[how])


def _limits(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in LIMITS:
        old, new = before.get(name), after.get(name)
        if old is not None and (new is None or new > old):
            yield f"{name} {'without limit' if new is None else show_limit(name, new)}"
