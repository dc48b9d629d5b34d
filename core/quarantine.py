"""Taking a plugin out of service, by an administrator: now, everywhere, and until somebody accepts it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolhost.errors import UsageError
from toolhost.sandbox.uninterrupted import whole

if TYPE_CHECKING:
    from toolhost.host import Host
    from toolhost.model import Actor

__all__ = ["take_out"]


async def take_out(host: Host, name: str, reason: object, by: Actor) -> None:
    """Quarantine a plugin in the lock, which every process follows: a server ends its calls that run.

    Its policy stays as it is. `toolhost plugin accept` shows what the plugin is and lets it in again.

    Args:
        host: A host of this data directory.
        name: The plugin.
        reason: One line that says why; shown wherever the plugin is.
        by: Who does it.

    Raises:
        UsageError: `unknown_plugin`, `reason_invalid`.
        PluginError: `lock_invalid`, `lock_not_writable`.
        MachineError: `audit_unavailable`: it is out of service all the same, and nobody knows by whom.
    """
    if not isinstance(reason, str):
        raise UsageError("reason_invalid", "The reason is a text.", "Say in a sentence why.")

    async def both() -> None:
        await host.plugins.quarantine(name, reason)
        details = {"plugin": name, "reason": reason}
        host.audit.write("security", "plugin.quarantined", details, actor=by, level="WARNING")

    await whole(both())
