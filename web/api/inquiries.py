"""What running tools want to know from their persons, and the answers."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.errors import UsageError
from toolhost.web.bodies import read_object
from toolhost.web.guard import current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("inquiries", __name__, url_prefix="/api/inquiries")


@blueprint.get("")
@requires("look")
async def index() -> ResponseReturnValue:
    """What running tools ask this person now."""
    return {"inquiries": [inquiry.as_json() for inquiry in site().host.inquiries.of(current_actor())]}


@blueprint.post("/<inquiry_id>")
@requires("approve")
async def answer(inquiry_id: str) -> ResponseReturnValue:
    """Answer one, or decline with null. The answer goes to the tool that asked; it approves nothing."""
    body = await read_object()
    if "answer" not in body:
        raise UsageError("answer_invalid", "An answer is under the key `answer`.", "Send a text, or null to decline.")
    site().host.inquiries.answer(inquiry_id, current_actor(), body["answer"])
    return "", 204
