"""The plugins as administrators see them: what each is, what it asks for, and what it is granted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from toolhost.pluginhost.record import PluginRecord
from toolhost.policy import Policy, PolicySet
from toolhost.policy.grants import REQUEST, beyond, is_there, proposed
from toolhost.policy.words import sentences

__all__ = ["plugin_overview"]


def plugin_overview(records: Iterable[PluginRecord], policies: PolicySet) -> list[dict[str, Any]]:
    """Every plugin by name, as plain JSON values. Reads files: not to be called in an event loop."""
    return [_plugin(record, policies) for record in sorted(records, key=lambda record: record.name)]


def _plugin(record: PluginRecord, policies: PolicySet) -> dict[str, Any]:
    granted = policies.policy(record.name) if record.code != "name_taken" else None
    request, asked = _request(record, granted, policies)
    return {
        "name": record.name,
        "version": record.version,
        "about": record.about,
        "kind": record.kind,
        "server": list(record.server),
        "source": record.source,
        "bundled": record.bundled,
        "location": record.location,
        "digest": record.digest,
        "state": record.state,
        "code": record.code,
        "reason": record.reason,
        "tools": [tool.name for tool in record.tools],
        "request": request,
        "asked": asked,
        "policy": f"{record.name}.toml" if granted is not None else None,
        "granted": list(sentences(granted)) if granted is not None else [],
    }


def _request(record: PluginRecord, granted: Policy | None, policies: PolicySet) -> tuple[str | None, list[str]]:
    """How what a plugin asks for compares with its grant, and what is beyond that; None where it asks for nothing."""
    path = Path(record.location, REQUEST)
    if record.code == "name_taken" or not is_there(path):
        return None, []
    asked = proposed(path, record.name, policies).policy
    if asked is None:
        return "invalid", []
    more = [found.new.sentence for found in beyond(granted, asked) if found.new is not None]
    return ("asks_more", more) if more else ("granted", [])
