"""The questions that wait for a person, and their answers."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.errors import UsageError
from toolhost.web.api.tools import status_of_result
from toolhost.web.bodies import read_object
from toolhost.web.guard import current_actor
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("approvals", __name__, url_prefix="/api/approvals")

_LONGEST_REASON = 1000  # characters


@blueprint.get("")
async def index() -> ResponseReturnValue:
    """The open questions of this person."""
    return {"approvals": await site().host.pending_approvals(current_actor())}


@blueprint.post("/<approval_id>")
async def answer(approval_id: str) -> ResponseReturnValue:
    """Answer one. On a yes its call runs, also when the page that asked is closed; this waits for its result."""
    body = await read_object()
    reason, scope = body.get("reason", ""), body.get("scope", "once")
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        raise UsageError(
            "reason_invalid", f"The reason is a text of up to {_LONGEST_REASON} characters.", "Shorten it."
        )
    if scope != "once":
        raise UsageError("scope_not_supported", "An approval counts once; no other scope is offered.", "Send `once`.")
    result = await site().runs.answer(current_actor(), approval_id, str(body.get("decision")), reason)
    return result.as_json(), status_of_result(result)
