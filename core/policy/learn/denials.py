"""What a denied call was lacking, by the code of its denial."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolhost.model import Decision
from toolhost.policy.learn.draft import Proposal
from toolhost.policy.learn.observed import Failure, Note
from toolhost.policy.learn.templates import Word, generalised
from toolhost.policy.programs import runs_code
from toolhost.policy.request import Request
from toolhost.policy.resolve import path_format
from toolhost.policy.values import WORKSPACE
from toolhost.sandbox import PlanRefused, pin
from toolhost.sandbox.destinations import EgressRefused, parse_url

__all__ = ["denied"]

_MEANT = {
    "host_deny": "host.toml denies it to every plugin",
    "rule_deny": "a deny of the policy means it",
    "tool_deny": "a deny of the policy means its tool",
    "path_denied": "the policy keeps the path from its tools",
    "path_protected": "the path is protected",
    "actor_not_served": "the policy does not serve who made it; [who] says whom",
    "scope_missing": "the API key lacks a scope",
    "program_missing": "this machine does not have its program",
    "path_escapes_root": "its path leads out of the folder it is in",
}
"""Denials that somebody meant, or that no entry changes."""

_OUTSIDE = ("path_outside_roots", "cwd_outside_roots", "path_read_only", "cwd_missing")


def denied(failures: Sequence[tuple[Failure, Decision]]) -> Iterator[Proposal | Note]:
    """What would let denied calls be asked about.

    Args:
        failures: The calls, and what is decided of each.
    """
    commands: dict[tuple[str, ...], list[Word]] = {}
    callers: dict[tuple[str, ...], list[str]] = {}
    for failure, decision in failures:
        request, calls = failure.request, (failure.call_id,)
        if decision.code in ("no_rule", "no_policy") and request.argv:
            commands.setdefault(request.argv, []).extend(_paths(request))
            callers.setdefault(request.argv, []).append(failure.call_id)
        elif decision.code in ("no_rule", "no_policy"):
            name = request.tool.name.partition(".")[2]
            reason = "no rule named the tool; it asks, so that somebody looks"
            yield Proposal(table="tools", key="ask", value=name, reason=reason, calls=calls)
        elif decision.code in _OUTSIDE:
            yield from _outside(failure)
        elif decision.code == "destination_not_allowed":
            yield from _destinations(failure)
        else:
            why = _MEANT.get(decision.code, decision.reason)
            yield Note(reason=f"{decision.code}: {why}", calls=calls)
    for text, some in generalised(commands):
        asked = tuple(call for argv in some for call in callers[argv])
        yield Proposal(
            table="commands",
            key="ask",
            value=text,
            reason="no rule matched; it asks, so that somebody looks",
            calls=asked,
            needs=_needs(some[0][0], asked),
        )


def _needs(name: str, calls: tuple[str, ...]) -> tuple[Proposal, ...]:
    try:
        kind = runs_code(name) or runs_code(pin(name).target)
    except PlanRefused:
        kind = runs_code(name)
    if kind is None:
        return ()
    return (Proposal(table="", key="runs_code", value=kind, reason="it runs any code it is given", calls=calls),)


def _paths(request: Request) -> Iterator[Word]:
    """The words of a command that are paths by the tool's schema, and whether each is written."""
    properties: Mapping[str, Any] = request.tool.input_schema.get("properties", {})
    for name, value in request.arguments.items():
        write = path_format(properties.get(name, {}))
        if write is not None:
            yield from ((str(item), write) for item in (value if isinstance(value, list) else [value]))


def _outside(failure: Failure) -> Iterator[Proposal | Note]:
    """The folders that its paths lie in: the workspace, or the very path."""
    request, calls = failure.request, (failure.call_id,)
    wanted = [*_paths(request), *([(request.cwd, False)] if request.argv and request.cwd != WORKSPACE else [])]
    for path, write in wanted:
        inside = not path.startswith("/") or f"{path}/".startswith((request.workspace + "/", "/workspace/"))
        if inside and ".." not in path.split("/"):
            reason = "a call named a path of the workspace"
            yield Proposal(table="paths", key="write" if write else "read", value=WORKSPACE, reason=reason, calls=calls)
        elif write:
            yield Note(reason="a call would write outside the workspace: a person chooses such folders", calls=calls)
        elif Path(path).exists():
            yield Proposal(
                table="paths", key="read", value=os.path.normpath(path), reason="a call named it", calls=calls
            )
        else:
            yield Note(reason="path_outside_roots: a call named a path that does not exist", calls=calls)


def _destinations(failure: Failure) -> Iterator[Proposal]:
    for word in failure.request.argv or ():
        try:
            _, host, port = parse_url(word)
        except EgressRefused:
            continue
        yield Proposal(
            table="network",
            key="allow",
            value=f"{host}:{port}",
            reason="a call was given an address there",
            calls=(failure.call_id,),
        )
