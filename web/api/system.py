"""`/api/panic` and `/api/resume`: stopping everything, and letting it run again. For administrators, just proven."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.errors import UsageError
from toolhost.web.bodies import read_object
from toolhost.web.guard import current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("system", __name__, url_prefix="/api")


@blueprint.post("/panic")
@requires("admin", scope="admin", step_up=True)
async def panic() -> ResponseReturnValue:
    """Stop every run, kill every sandbox and worker, refuse new calls. `left` is how many processes could not be."""
    reason = (await read_object()).get("reason", "")
    if not isinstance(reason, str):
        raise UsageError("reason_invalid", "The reason is a text.", "Send a string, or leave it out.")
    stopped, left = await site().host.stopping.panic(current_actor(), reason)
    return {"panic": stopped.as_json(), "left": left}


@blueprint.post("/resume")
@requires("admin", scope="admin", step_up=True)
async def resume() -> ResponseReturnValue:
    """Let calls run again."""
    return {"resumed": await site().host.stopping.resume(current_actor())}
