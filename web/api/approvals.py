"""The questions that wait for a person, and their answers."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.web.answers import read_answer
from toolhost.web.api.tools import status_of_result
from toolhost.web.bodies import read_object
from toolhost.web.guard import current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("approvals", __name__, url_prefix="/api/approvals")


@blueprint.get("")
@requires("look")
async def index() -> ResponseReturnValue:
    """The open questions of this person."""
    return {"approvals": [question.as_json() for question in await site().host.pending_approvals(current_actor())]}


@blueprint.post("/<approval_id>")
@requires("approve")
async def answer(approval_id: str) -> ResponseReturnValue:
    """Answer one. On a yes its call runs, also when the page that asked is closed; this waits for its result.

    `modify` refuses it and makes the call anew with other arguments; this waits for its result or its question.
    """
    body, runs = await read_object(), site().runs
    if body.get("decision") == "modify":
        result = await runs.modify(current_actor(), approval_id, body.get("arguments"))
    else:
        result = await runs.answer(current_actor(), approval_id, read_answer(body.get("decision"), body))
    return result.as_json(), status_of_result(result)
