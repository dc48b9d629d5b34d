"""What administrators say they have looked at. Each is a record of the audit log; a person makes it, and no key."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.accounts.review import attest, held_by_all
from toolhost.audit.since import note_look
from toolhost.errors import UsageError
from toolhost.web.bodies import read_object
from toolhost.web.guard import current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("reviews", __name__, url_prefix="/api/reviews")


@blueprint.post("/events")
@requires("admin")
async def events() -> ResponseReturnValue:
    """Say that one has seen what happened, up to the record with the sequence number `through`."""
    through = (await read_object()).get("through")
    if not isinstance(through, int) or isinstance(through, bool) or not 0 <= through < 1 << 53:
        raise UsageError("body_invalid", "`through` is the sequence number of a record.", "Send a whole number.")
    note_look(site().host.audit, through, current_actor())
    return "", 204


@blueprint.post("/access")
@requires("admin", step_up=True)
async def access() -> ResponseReturnValue:
    """Attest that one has reviewed who may come in, and by what."""
    await read_object()
    actor = current_actor()
    record, counts = attest(site().host.audit, await held_by_all(site().accounts), actor)
    return {"review": {"by": actor.username, "at": record.timestamp, **counts}}, 201
