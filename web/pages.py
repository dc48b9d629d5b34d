"""The pages people see, and the fragments their scripts fetch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quart import Blueprint, Response, make_response, redirect, render_template, request, send_from_directory, url_for
from quart.typing import ResponseReturnValue

from toolhost.errors import AccessError, ApprovalError
from toolhost.model import Tool
from toolhost.rights import allowed
from toolhost.web.cards import output_of
from toolhost.web.cookies import read_cookie
from toolhost.web.forms import fields_of
from toolhost.web.fragments import Fragments
from toolhost.web.frame import frame
from toolhost.web.guard import current_actor, public, visitor
from toolhost.web.site import site
from toolhost.web.starters import starters
from toolhost.web.thread import Snapshot, card_of_call, snapshot
from toolhost.web.visible import visible_text
from toolhost.web.welcome import tour
from toolhost.web.workspaces import named_workspaces

__all__ = ["blueprint"]

blueprint = Blueprint("pages", __name__)


@blueprint.get("/setup")
@public
async def setup() -> ResponseReturnValue:
    """The first run. The token travels in the address's fragment, which no browser sends."""
    if not await site().accounts.links.setup_needed():
        return redirect(url_for("pages.login"), 303)
    return await render_template("setup.html")


@blueprint.get("/login")
@public
async def login() -> ResponseReturnValue:
    """Sign in; or, where only the hour of the access token is over, be signed in again by the page's script."""
    following = _local(request.args.get("next"))
    if await visitor() is not None:
        return redirect(following, 303)
    if await site().accounts.links.setup_needed():
        return await render_template("setup_hint.html"), 200
    renew = read_cookie(request.cookies, "refresh", request.scheme) is not None
    return await render_template("login.html", next=following, renew=renew)


@blueprint.get("/")
async def home() -> ResponseReturnValue:
    """A new conversation."""
    return await _chat(None)


@blueprint.get("/c/<conversation_id>")
async def conversation(conversation_id: str) -> ResponseReturnValue:
    """A conversation."""
    return await _chat(await snapshot(site(), current_actor(), conversation_id))


@blueprint.get("/c/<conversation_id>/thread")
async def thread(conversation_id: str) -> ResponseReturnValue:
    """A conversation's thread alone: for a page that was away too long to catch up."""
    fragments = Fragments.of_request()
    shown = await snapshot(site(), current_actor(), conversation_id)
    return {
        "html": await fragments.thread(shown),
        "external": await fragments.external(shown.external),
        "seen": shown.seen,
        "alive": shown.alive,
        "queued": shown.queued,
    }


@blueprint.get("/approvals")
async def approvals() -> ResponseReturnValue:
    """Everything that waits for this person."""
    return await render_template("approvals.html", **await _waiting(), **await frame("approvals"))


@blueprint.get("/ui/approvals")
async def waiting() -> ResponseReturnValue:
    """The same without what is around it, for the page that shows it."""
    return await render_template("_approvals.html", **await _waiting())


async def _waiting() -> dict[str, Any]:
    parts, actor = site(), current_actor()
    pending = await parts.host.pending_approvals(actor)
    titles = {item.id: item.title for item in await parts.conversations.list(actor.user_id)}
    cards = []
    for item in pending:
        card = await card_of_call(parts, actor, item.call_id)
        if card is not None:
            where = item.conversation_id
            cards.append({"card": card, "conversation_id": where, "title": titles.get(where or "", "")})
    asked = {where: titles.get(where, "") for one in parts.host.inquiries.of(actor) if (where := one.conversation_id)}
    return {"items": cards, "asked": asked}


@blueprint.get("/shared")
@public
async def shared() -> ResponseReturnValue:
    """A conversation behind a link. Which one, only the page's script knows: the token is in the fragment."""
    return await render_template("shared.html")


@blueprint.get("/ui/form/<name>")
async def form(name: str) -> ResponseReturnValue:
    """The form of one tool."""
    tool = site().runs.granted(current_actor(), name)
    return await render_template("_form.html", tool=tool, fields=fields_of(tool), prefix="f-")


@blueprint.get("/ui/approvals/<approval_id>/form")
async def changing(approval_id: str) -> ResponseReturnValue:
    """The arguments of a call that waits, to be changed."""
    question = await site().host.question(approval_id, current_actor())
    if question.user_id != current_actor().user_id:  # an administrator may refuse it, not change it
        raise ApprovalError("approval_not_found", "There is no such approval among yours.")
    tool = site().runs.granted(current_actor(), question.tool)
    fields = fields_of(tool, question.arguments)
    return await render_template("_modify.html", fields=fields, prefix=f"m-{question.id}-")


@blueprint.get("/ui/tools")
async def tools() -> ResponseReturnValue:
    """What the `/` menu offers now."""
    return await render_template("_tools.html", tools=_by_plugin(site().host.tools_for(current_actor())))


@blueprint.get("/ui/sidebar")
async def sidebar() -> ResponseReturnValue:
    """The list of conversations and what waits, as they are now."""
    here = request.args.get("here")
    around = await frame(here=here)
    title = next((item.title for _, members in around["groups"] for item in members if item.id == here), "")
    return {
        "html": await render_template("_conversations.html", **around),
        "waiting": around["waiting"],
        "title": visible_text(title),
    }


@blueprint.get("/ui/calls/<call_id>")
async def card(call_id: str) -> ResponseReturnValue:
    """One card."""
    fragments = Fragments.of_request()
    found = await card_of_call(site(), current_actor(), call_id)
    if found is None:
        raise AccessError("call_not_found", "There is no such call.", "Check the id.")
    return await fragments.card(found)


@blueprint.get("/ui/calls/<call_id>/output")
async def output(call_id: str) -> ResponseReturnValue:
    """All the output of one call."""
    record = await site().host.call_record(call_id, current_actor())
    if record is None:
        raise AccessError("call_not_found", "There is no such call.", "Check the id.")
    fragments = Fragments.of_request()
    return await fragments.output(output_of(record["result"]))


@blueprint.get("/static/<path:name>")
@public
async def static(name: str) -> Response:
    """The page's own files. Checked again by each visit, so that scripts and server are of one version."""
    response = await send_from_directory(site().static, name, conditional=True)
    response.headers["Cache-Control"] = "no-cache"
    return response


async def _chat(shown: Snapshot | None) -> ResponseReturnValue:
    parts, actor, fragments = site(), current_actor(), Fragments.of_request()
    tools = parts.host.tools_for(actor)
    page = await render_template(
        "chat.html",
        shown=shown,
        thread="" if shown is None else await fragments.thread(shown),
        external=() if shown is None else shown.external,
        tools=_by_plugin(tools),
        may_chat=allowed(actor, "chat"),
        starters=starters(tools),
        workspaces=named_workspaces(parts.host, actor),
        models=await parts.models.of(actor),
        profiles=parts.models.profiles_of(actor),
        tour=tour(parts, actor) if shown is None and "tour" in request.args else [],
        **await frame(here=None if shown is None else shown.conversation.id),
    )
    return await make_response(page)


def _by_plugin(tools: Sequence[Tool]) -> dict[str, list[Tool]]:
    groups: dict[str, list[Tool]] = {}
    for tool in tools:
        groups.setdefault(tool.plugin, []).append(tool)
    return groups


def _local(path: str | None) -> str:
    """A path of this server, whatever was asked: `//elsewhere` and `/\\elsewhere` lead away."""
    if path is None or not path.startswith("/") or path[1:2] in ("/", "\\") or not path.isprintable():
        return "/"
    return path
