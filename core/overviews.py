"""What administrators see of a host's policies and plugins, as plain JSON values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from toolhost.identifiers import now_ms
from toolhost.pluginhost.overview import plugin_overview
from toolhost.policy.overview import overview

if TYPE_CHECKING:
    from toolhost.host import Host
    from toolhost.pluginhost.record import PluginRecord

__all__ = ["plugin_of", "plugins_of", "policies_of"]

_DAY_MS = 24 * 3600 * 1000


async def policies_of(host: Host) -> dict[str, Any]:
    """Every policy file with its state, problems and findings, and whether changes of them are noticed."""
    tools = {
        name: [tool.name.removeprefix(f"{name}.") for tool in record.tools]
        for name, record in host.plugins.plugins.items()
        if record.state == "active"
    }
    found = await asyncio.to_thread(overview, host.policies.current, tools)
    return {**found, "followed": bool(host.followed)}


async def plugins_of(host: Host) -> list[dict[str, Any]]:
    """Every plugin: what it is, what it asks for, what it is granted, and how often it failed in the last day."""
    return await _overviews(host, host.plugins.plugins.values())


async def plugin_of(host: Host, name: str) -> dict[str, Any]:
    """The same of one plugin.

    Raises:
        UsageError: `unknown_plugin`.
    """
    (found,) = await _overviews(host, (host.plugins.record(name),))
    return found


async def _overviews(host: Host, records: Iterable[PluginRecord]) -> list[dict[str, Any]]:
    found = await asyncio.to_thread(plugin_overview, records, host.policies.current)
    faults = await host.plugin_faults(now_ms() - _DAY_MS)
    return [{**one, "faults": faults.get(one["name"])} for one in found]
