"""A connection that a sandbox made, as the audit log has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolhost.sandbox import Connection

__all__ = ["connection_details"]


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
