"""The policies folder as administrators see it: each file, what of it is in force, and everything that is wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from toolhost.policy.document import parse_document
from toolhost.policy.lint import lint
from toolhost.policy.policy_set import PolicyFile, PolicySet
from toolhost.policy.values import HostPolicy, Policy

__all__ = ["overview"]


def overview(policies: PolicySet, tools: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Every file with its state, problems and findings, as plain JSON values.

    Takes milliseconds for each policy: not to be called in an event loop.

    Args:
        policies: The policies.
        tools: The tools of each plugin that is known, without its name.
    """
    return {
        "host": _file(policies.host_file, policies.digest("host"), policies.host.file),
        "policies": [
            {
                "plugin": name,
                **_file(file, policies.digest(name), file.name),
                "about": policy.about if (policy := policies.policy(name)) is not None else "",
                "findings": [found.as_json() for found in _findings(policy, file, policies.host, tools.get(name))],
                "warnings": list(policy.warnings) if policy is not None else [],
            }
            for name, file in sorted(policies.files.items())
        ],
        "problems": [problem.as_json() for problem in policies.problems],
    }


def _file(file: PolicyFile, digest: str, name: str) -> dict[str, Any]:
    in_force = file.content is not None
    return {
        "file": name,
        "state": file.state,
        "digest": digest if in_force else None,
        "since": file.since if in_force else None,
        "problems": [problem.as_json() for problem in file.problems],
    }


def _findings(
    policy: Policy | None, file: PolicyFile, host: HostPolicy, tools: Collection[str] | None
) -> tuple[Any, ...]:
    """What lint says of what is in force, which need not be what the file says now."""
    if policy is None or file.content is None:
        return ()
    return lint(policy, parse_document(file.content, file.name), host, tools)
