"""Pieces of page: the server renders messages and cards, the page's scripts only put them in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from quart import current_app, has_websocket_context, request, websocket

from toolhost.conversations import Entry
from toolhost.model import ExternalContent
from toolhost.web.cards import Card, card_of_live
from toolhost.web.language import Translator
from toolhost.web.live import Chunk, LiveCall, Run
from toolhost.web.site import site

__all__ = ["Fragments", "language_of_request"]


def language_of_request() -> Translator:
    """The language of the person behind this request."""
    incoming = websocket if has_websocket_context() else request
    return site().languages.choose(incoming.cookies.get("toolhost-language"), incoming.headers.get("Accept-Language"))


@dataclass(frozen=True, slots=True)
class Fragments:
    """Renders for one person, in their language."""

    environment: Environment
    t: Translator

    @classmethod
    def of_request(cls) -> Fragments:
        """For whoever sends this request."""
        return cls(current_app.jinja_env, language_of_request())

    async def render(self, template: str, **values: Any) -> str:
        """Render a template."""
        return await self.environment.get_template(template).render_async(t=self.t, **values)

    async def entry(self, entry: Mapping[str, Any]) -> str:
        """A message or a notice."""
        return await self.render("_entry.html", entry=entry)

    async def card(self, card: Card) -> str:
        """A tool card."""
        return await self.render("_card.html", card=card)

    async def output(self, chunks: Sequence[Chunk]) -> str:
        """Pieces of output."""
        return await self.render("_output.html", chunks=chunks)

    async def external(self, content: Sequence[ExternalContent | Mapping[str, Any]]) -> str:
        """What a conversation has taken in from elsewhere, as the mark in its header."""
        return await self.render("_external.html", external=content)

    async def thread(self, entries: Sequence[Entry], cards: Mapping[str, Card]) -> Markup:
        """Everything a conversation shows."""
        pieces = []
        for entry in entries:
            if entry.kind != "call":
                pieces.append(await self.entry(entry.as_json()))
            elif entry.call_id is not None and entry.call_id in cards:
                pieces.append(await self.card(cards[entry.call_id]))
        return Markup("".join(pieces))  # noqa: S704  # rendered by templates that escape

    async def decorate(self, event: dict[str, Any], run: Run) -> dict[str, Any]:
        """The event, with the fragment that shows it where it has one.

        A fragment shows the moment of its event, not the present: whoever replays sees the same steps, and output that
        follows as events of its own is not there twice.
        """
        html = await self._of_event(event, run)
        return event if html is None else {**event, "html": html}

    async def _of_event(self, event: dict[str, Any], run: Run) -> str | None:
        kind = event["type"]
        if kind == "entry.added" and event["entry"]["kind"] != "call":
            return await self.entry(event["entry"])
        if kind == "tool.output":
            return await self.output([Chunk(event["stream"], event["text"])])
        if kind == "conversation.tainted":
            return await self.external(event["external_content"])
        if kind == "message.completed" and event["entry"] is not None:
            return await self.entry(event["entry"])
        call = run.calls.get(str(event["entry"]["call_id"] if kind == "entry.added" else event.get("call_id")))
        if call is None:
            return None
        then = _at(event, call)
        return None if then is None else await self.card(card_of_live(then))


def _at(event: Mapping[str, Any], call: LiveCall) -> LiveCall | None:
    """The call as it was at an event that changes how its card looks."""
    kind = event["type"]
    bare = replace(call, state="preparing", plan=None, decision=None, result=None, error=None, output=[])
    if kind == "entry.added":
        return bare
    if kind == "approval.required":
        return replace(
            bare,
            state="waiting",
            plan=event["plan"],
            decision=event["decision"],
            approval_id=event["approval_id"],
            expires=event["expires"],
            offers=event["grants"],
        )
    if kind == "approval.expired":
        return replace(call, state="expired", result=None)
    if kind == "tool.started":
        return replace(
            bare, state="running", plan=event["plan"], decision=event["decision"], started=event["timestamp"]
        )
    if kind == "tool.completed":
        return replace(call, result=event["result"])
    if kind == "tool.ended":
        return replace(call, state="failed", error=event.get("error"))
    return None
