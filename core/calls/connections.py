"""A connection that a sandbox made, as the audit log has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolhost.audit import AuditLog
    from toolhost.sandbox import Connection

__all__ = ["connection_details", "record_connection"]


def connection_details(made: Connection, host: str) -> dict[str, Any]:
    """What is recorded of it.

    Args:
        made: The connection.
        host: Its host, without secrets.
    """
    return {
        "host": host,
        "port": made.port,
        "address": made.address,
        "sent_bytes": made.sent,
        "received_bytes": made.received,
        "code": made.code,
        "duration_ms": round(made.duration_ms, 3),
    }


def record_connection(audit: AuditLog, plugin: str, made: Connection, calls: tuple[str, ...]) -> None:
    """Record a connection of a plugin's server: of one call where it worked at one alone, else of any of those."""
    audit.write(
        "security",
        "egress.connection",
        {"plugin": plugin, "calls": list(calls), **connection_details(made, made.host)},
        call_id=calls[0] if len(calls) == 1 else None,
        level="INFO" if made.code == "ok" else "WARNING",
    )
