"""What the palette finds: commands by their names, conversations by their words."""

from __future__ import annotations

from dataclasses import dataclass

from quart import Blueprint, render_template, request
from quart.typing import ResponseReturnValue

from toolhost.finding import find
from toolhost.model import Actor
from toolhost.rights import allowed
from toolhost.web.fragments import language_of_request
from toolhost.web.guard import current_actor
from toolhost.web.language import Translator
from toolhost.web.settings import SECTIONS
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("palette", __name__)

_MOST = 12  # conversations
_PLACES = (("new", "/"), ("approvals", "/approvals"))
_ACTIONS = ("waiting", "keys", "light", "dark", "system", "sign_out")


@dataclass(frozen=True, slots=True)
class Command:
    """Something one can do from anywhere.

    Attributes:
        name: What the page's script does; `go` follows the path.
        label: As people read it.
        path: Where it leads, or empty.
    """

    name: str
    label: str
    path: str = ""


@blueprint.get("/ui/search")
async def search() -> ResponseReturnValue:
    """What matches; without words every command, and the conversations that were used last."""
    words = request.args.get("q", "").strip()
    parts, actor = site(), current_actor()
    wanted = words.casefold().split()
    every = _commands(language_of_request(), actor)
    commands = [one for one in every if all(word in one.label.casefold() for word in wanted)]
    if words:
        found: object = await find(parts.host.database, actor.user_id, words, most=_MOST)
    else:
        found = (await parts.conversations.list(actor.user_id))[:_MOST]
    return await render_template("_found.html", commands=commands, found=found)


def _commands(t: Translator, actor: Actor) -> list[Command]:
    places = [Command("go", t(f"command_name.{name}"), path) for name, path in _PLACES]
    if allowed(actor, "admin"):
        places.append(Command("go", t("command_name.welcome"), "/welcome"))
    settings = [
        Command("go", f"{t('settings.title')}{t('app.colon')} {t(f'settings.{one.name}')}", one.path)
        for one in SECTIONS
        if one.right is None or allowed(actor, one.right)
    ]
    return [*places, *(Command(name, t(f"command_name.{name}")) for name in _ACTIONS), *settings]
