"""What administrators see of a host's policies and plugins, as plain JSON values."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolhost.pluginhost.overview import plugin_overview
from toolhost.policy.overview import overview

if TYPE_CHECKING:
    from toolhost.host import Host

__all__ = ["plugins_of", "policies_of"]


async def policies_of(host: Host) -> dict[str, Any]:
    """Every policy file with its state, problems and findings, and whether changes of them are noticed."""
    found = await asyncio.to_thread(overview, host.policies.current)
    return {**found, "followed": bool(host.followed)}


async def plugins_of(host: Host) -> list[dict[str, Any]]:
    """Every plugin: what it is, what it asks for, what it is granted."""
    return await asyncio.to_thread(plugin_overview, host.plugins.plugins.values(), host.policies.current)
