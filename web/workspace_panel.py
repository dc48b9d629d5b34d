"""The files of a conversation's own workspace as a panel beside its thread: a list, and a look at one of them."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from quart import Blueprint, render_template
from quart.typing import ResponseReturnValue

from toolhost.calls.produced import image_type
from toolhost.downloads import open_download
from toolhost.errors import AccessError
from toolhost.host import Host
from toolhost.model import Actor
from toolhost.sandbox.beneath import open_without_links
from toolhost.sandbox.collect import CollectLimits, Entry, survey
from toolhost.web.code import highlighted
from toolhost.web.guard import current_actor
from toolhost.web.site import site

__all__ = ["blueprint", "listing"]

blueprint = Blueprint("workspace_panel", __name__)

_MOST = CollectLimits(count=2000, depth=16)
_PREVIEWED = 192 * 1024  # bytes of a text that are shown


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a workspace.

    Attributes:
        entries: Files and folders by path, without those of a hidden folder.
        more: Whether there is more than is listed.
    """

    entries: tuple[Entry, ...]
    more: bool


async def listing(host: Host, actor: Actor, conversation_id: str) -> Listing:
    """The files of a conversation's own workspace.

    Raises:
        UsageError: `conversation_not_found`.
        AccessError: `download_not_allowed` in a named workspace.
    """
    folder, own = await host.conversation_workspace(conversation_id, actor)
    if not own:
        raise AccessError(
            "download_not_allowed",
            "The files of a named workspace are not listed here.",
            "Have a tool list them.",
        )
    return await asyncio.to_thread(_list, str(folder))


def _list(folder: str) -> Listing:
    try:
        root = open_without_links(folder, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return Listing((), more=False)
    try:
        found = list(survey(root, _MOST))
    finally:
        os.close(root)
    shown = [one for one in found if not any(name.startswith(".") for name in one.path.split("/"))]
    return Listing(tuple(sorted(shown, key=lambda one: one.path.split("/"))), more=len(found) >= _MOST.count)


@blueprint.get("/c/<conversation_id>/files")
async def panel(conversation_id: str) -> ResponseReturnValue:
    """The list, as a fragment."""
    host, actor = site().host, current_actor()
    tools = {tool.name for tool in host.tools_for(actor)}
    found = await listing(host, actor, conversation_id)
    return await render_template(
        "_files.html",
        listing=found,
        conversation_id=conversation_id,
        undo="files.undo" in tools,
        changes="files.changes" in tools,
    )


@blueprint.get("/c/<conversation_id>/preview/<path:path>")
async def preview(conversation_id: str, path: str) -> ResponseReturnValue:
    """One file, to be looked at: text with its colours, or a picture."""
    fd, size = await open_download(site().host, current_actor(), conversation_id, path)
    try:
        start = await asyncio.to_thread(os.pread, fd, _PREVIEWED, 0)
    finally:
        os.close(fd)
    ending = path.rpartition("/")[2].rpartition(".")[2]
    text = _text(start)
    return await render_template(
        "_preview.html",
        path=path,
        conversation_id=conversation_id,
        size=size,
        picture=image_type(start) is not None,
        code=None if text is None else await asyncio.to_thread(highlighted, text, ending),
        cut=size > _PREVIEWED,
    )


def _text(content: bytes) -> str | None:
    if b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        # The end may have been cut inside a character.
        return content[: error.start].decode() if error.start >= len(content) - 3 and content[: error.start] else None
