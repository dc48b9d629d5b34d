"""What somebody who is known was refused because of who they are: each is a record, whatever layer said no."""

from __future__ import annotations

from toolhost.errors import ToolHostError
from toolhost.model import Actor
from toolhost.web.site import site

__all__ = ["record_refusal"]

_CODES = frozenset({"key_not_allowed", "role_not_allowed", "scope_missing", "step_up_required"})


def record_refusal(error: ToolHostError, actor: Actor, path: str) -> None:
    """Record an error if it is such a refusal.

    Raises:
        MachineError: `audit_unavailable`.
    """
    if error.code in _CODES:
        details = {"path": path, "reason": error.code, "key": actor.key_id}
        site().host.audit.write("security", "access_refused", details, actor=actor, level="WARNING")
