"""After the first administrator: what this machine can do, who may answer, what the plugins ask, and a first chat."""

from __future__ import annotations

from dataclasses import dataclass

from quart import Blueprint, render_template
from quart.typing import ResponseReturnValue

from toolhost.health import probe_all
from toolhost.model import Actor
from toolhost.overviews import plugins_of
from toolhost.web.frame import frame
from toolhost.web.guard import current_actor, requires
from toolhost.web.site import Site, site

__all__ = ["TOUR", "TourStep", "blueprint", "tour"]

blueprint = Blueprint("welcome", __name__)


@dataclass(frozen=True, slots=True)
class TourStep:
    """One step of the guided first chat.

    Attributes:
        name: Its texts are `tour.NAME` and `tour.NAME_after` in the catalogues.
        line: What it types.
        wanted: The states of a card that show what the step is about.
    """

    name: str
    line: str
    wanted: tuple[str, ...]


TOUR = (
    TourStep("read", "/files.list", ("done",)),
    TourStep("ask", "/shell.run script='uname -a; pwd; ls -la'", ("done", "refused", "error")),
    TourStep("deny", "/git.push", ("denied",)),
)
"""One call that is allowed, one that asks, one that is denied."""


def tour(parts: Site, actor: Actor) -> list[TourStep]:
    """The steps whose tools this person may call."""
    granted = {tool.name for tool in parts.host.tools_for(actor)}
    return [step for step in TOUR if step.line[1:].split(" ", 1)[0] in granted]


@blueprint.get("/welcome")
@requires("admin")
async def welcome() -> ResponseReturnValue:
    """The steps of the first run that need no token any more; it can be read again at any time."""
    parts, actor = site(), current_actor()
    return await render_template(
        "welcome.html",
        probes=await probe_all(parts.host),
        models=await parts.models.of(actor),
        plugins=await plugins_of(parts.host),
        **await frame("welcome"),
    )
