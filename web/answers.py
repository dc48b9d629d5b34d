"""Reading an answer to an approval, as REST and the WebSocket take it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

from toolhost.approvals import Answer, Scope
from toolhost.errors import UsageError

__all__ = ["read_answer"]

_LONGEST_REASON = 1000  # characters


def read_answer(decision: object, body: Mapping[str, Any]) -> Answer:
    """The answer a message gives.

    Raises:
        UsageError: `decision_invalid`, `reason_invalid`, `scope_unknown`.
    """
    reason, scope = body.get("reason", ""), body.get("scope", "once")
    if decision not in ("approve", "refuse"):
        raise UsageError("decision_invalid", "The decision is `approve`, `refuse` or `modify`.", "Send one of them.")
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        raise UsageError(
            "reason_invalid", f"The reason is a text of up to {_LONGEST_REASON} characters.", "Shorten it."
        )
    if scope not in get_args(Scope):
        raise UsageError("scope_unknown", "There is no such scope.", f"Send one of: {', '.join(get_args(Scope))}.")
    return Answer(approve=decision == "approve", reason=reason, scope=cast(Scope, scope))
