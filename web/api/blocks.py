"""Blocked addresses, for administrators."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.web.bodies import read_object
from toolhost.web.guard import client, current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("blocks", __name__, url_prefix="/api/blocks")


@blueprint.get("")
@requires("admin", scope="admin")
async def index() -> ResponseReturnValue:
    """What is blocked, the newest first."""
    return {"blocks": [block.as_json() for block in await site().accounts.blocks.list()]}


@blueprint.post("")
@requires("admin", scope="admin", step_up=True)
async def add() -> ResponseReturnValue:
    """Block an `address` or a network, for `seconds` or until it is removed."""
    body = await read_object()
    block = await site().accounts.blocks.add(
        body.get("address"),
        current_actor(),
        reason=body.get("reason", ""),
        seconds=body.get("seconds"),
        own=client().ip,
    )
    return {"block": block.as_json()}, 201


@blueprint.delete("/<path:network>")
@requires("admin", scope="admin", step_up=True)
async def remove(network: str) -> ResponseReturnValue:
    """Take a block back."""
    await site().accounts.blocks.remove(network, current_actor())
    return "", 204
