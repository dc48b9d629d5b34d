"""Pieces of page: the server renders messages and cards, the page's scripts only put them in their place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from markupsafe import Markup
from quart import current_app, has_websocket_context, request, websocket

from toolhost.model import ExternalContent
from toolhost.web.cards import Card, card_of_live
from toolhost.web.kept import Kept
from toolhost.web.language import Translator
from toolhost.web.live import Chunk, Draft, LiveCall, Run
from toolhost.web.markdown import readable, rendered
from toolhost.web.site import site
from toolhost.web.streaming import Settling

if TYPE_CHECKING:
    from toolhost.web.thread import Snapshot

__all__ = ["ENTRIES", "Fragments", "language_of_request"]

ENTRIES = Kept(16 << 20)
"""Entries as they were rendered, by everything they were made of."""

_AT_ONCE = 4000  # characters of Markdown that are rendered right away; more of it, beside the loop


def language_of_request() -> Translator:
    """The language of the person behind this request."""
    incoming = websocket if has_websocket_context() else request
    return site().languages.choose(incoming.cookies.get("toolhost-language"), incoming.headers.get("Accept-Language"))


@dataclass(frozen=True, slots=True)
class Fragments:
    """Renders for one person, in their language; or, where `shared`, for whoever has a link, to be read only."""

    environment: Environment
    t: Translator
    shared: bool = False
    _drafts: dict[str, Settling] = field(default_factory=dict)

    @classmethod
    def of_request(cls, *, shared: bool = False) -> Fragments:
        """For whoever sends this request; for a shared link without anything that does something."""
        return cls(current_app.jinja_env, language_of_request(), shared)

    async def render(self, template: str, **values: Any) -> str:
        """Render a template."""
        return await self.environment.get_template(template).render_async(t=self.t, shared=self.shared, **values)

    async def entry(self, entry: Mapping[str, Any], conversation_id: str | None, rating: str | None = None) -> str:
        """A message or a notice."""
        of = (conversation_id, self.t.code, self.shared, rating, json.dumps(entry))
        if (known := ENTRIES.get(of)) is not None:
            return known
        written = entry["kind"] == "assistant" or (entry["kind"] == "user" and not entry["text"].startswith("/"))
        prose = await self.prose(entry["text"], conversation_id, breaks=entry["kind"] == "user") if written else ""
        html = await self.render("_entry.html", entry=entry, prose=prose, rating=rating)
        ENTRIES.put(of, html)
        return html

    async def prose(self, text: str, conversation_id: str | None, *, breaks: bool = False) -> Markup:
        """Markdown that somebody wrote. Images of the conversation's own workspace are shown, no others."""
        files = "" if conversation_id is None or self.shared else f"/api/conversations/{conversation_id}/files/"
        copy = self.t("card.copy")
        if len(text) <= _AT_ONCE:
            return rendered(text, copy=copy, files=files, breaks=breaks)
        return await asyncio.to_thread(rendered, text, copy=copy, files=files, breaks=breaks)

    async def draft(self, draft: Draft, run_id: str, conversation_id: str | None) -> Markup:
        """What a model is writing, as far as it has come."""
        settling = Settling()
        prose = await self.prose(settling.feed(draft.text), conversation_id)
        values = {"draft": draft, "run_id": run_id, "prose": prose, "tail": readable(settling.tail)}
        return Markup(await self.render("_draft.html", **values))  # noqa: S704  # rendered by a template that escapes

    async def card(self, card: Card) -> str:
        """A tool card."""
        return await self.render("_card.html", card=card)

    async def output(self, chunks: Sequence[Chunk]) -> str:
        """Pieces of output."""
        return await self.render("_output.html", chunks=chunks)

    async def external(self, content: Sequence[ExternalContent | Mapping[str, Any]]) -> str:
        """What a conversation has taken in from elsewhere, as the mark in its header."""
        return await self.render("_external.html", external=content)

    async def thread(self, shown: Snapshot) -> Markup:
        """Everything a conversation shows."""
        pieces = []
        cards, conversation_id = shown.cards, shown.conversation.id
        for entry in shown.entries:
            if entry.kind != "call":
                pieces.append(await self.entry(entry.as_json(), conversation_id, shown.ratings.get(entry.id)))
            elif entry.call_id is not None and entry.call_id in cards:
                pieces.append(await self.card(cards[entry.call_id]))
        for run_id, draft in shown.drafts.items():
            pieces.append(await self.draft(draft, run_id, conversation_id))
        return Markup("".join(pieces))  # noqa: S704  # rendered by templates that escape

    async def decorate(self, event: dict[str, Any], run: Run) -> dict[str, Any]:
        """The event, with the fragment that shows it where it has one.

        A fragment shows the moment of its event, not the present: whoever replays sees the same steps, and output that
        follows as events of its own is not there twice.
        """
        if event["type"] == "message.delta":
            return {**event, **await self._of_delta(event, run)}
        html = await self._of_event(event, run)
        return event if html is None else {**event, "html": html}

    async def _of_delta(self, event: dict[str, Any], run: Run) -> dict[str, str]:
        """Of a piece of a message: the blocks that are complete with it, and what is left, where there are any."""
        message_id, seq = event["message_id"], event["seq"]
        state = self._drafts.get(message_id)
        if state is None or state.seq >= seq:
            # The first piece that this side sees, or sees again: read what came before it.
            state = self._drafts[message_id] = Settling()
            for earlier in run.events[: seq - 1]:
                if earlier["type"] == "message.delta" and earlier["message_id"] == message_id:
                    state.feed(earlier["text"])
        state.seq = seq
        settled = state.feed(event["text"])
        if not settled.strip():
            return {"piece": readable(event["text"])}
        return {"html": await self.prose(settled, run.conversation_id), "tail": readable(state.tail)}

    async def _of_event(self, event: dict[str, Any], run: Run) -> str | None:
        kind = event["type"]
        if kind == "entry.added" and event["entry"]["kind"] != "call":
            return await self.entry(event["entry"], run.conversation_id)
        if kind == "message.started":
            draft = Draft(message_id=event["message_id"], model=event["model"])
            return await self.draft(draft, run.id, run.conversation_id)
        if kind == "tool.requested":
            return await self.card(Card(call_id=event["request_id"], tool=event["tool"], state="preparing", summary=""))
        if kind in ("tool.arguments", "message.reasoning"):
            return readable(event["text"])
        if kind == "tool.rejected":
            refused = Card(call_id=event["request_id"], tool=event["tool"], state="error", summary="")
            return await self.card(replace(refused, error=event["error"]))
        if kind == "tool.output":
            return await self.output([Chunk(event["stream"], event["text"])])
        if kind == "conversation.tainted":
            return await self.external(event["external_content"])
        if kind == "message.completed":
            self._drafts.pop(event["message_id"], None)
            return None if event["entry"] is None else await self.entry(event["entry"], run.conversation_id)
        if kind == "entry.added":
            call = run.calls.get(str(event["entry"]["call_id"]))
        else:  # what a running call wants the host to run is shown on its card
            call = run.calls.get(str(event.get("parent_id", event.get("call_id"))))
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
            change=event.get("change"),  # not there in events written down before there was any
            explanation=event.get("explanation", ""),
            asked={event["approval_id"]: event} if "parent_id" in event else {},
        )
    if kind == "tool.asked":
        return replace(bare, state="waiting", approval_id=None, asked={}, inquired={event["inquiry_id"]: event})
    if kind == "tool.answered" or (kind == "approval.answered" and "parent_id" in event):
        if call.state == "waiting" and (call.asked or call.inquired):  # there is another one
            return replace(bare, state="waiting", approval_id=next(iter(call.asked), None))
        return replace(bare, state="running", plan=call.plan, decision=call.decision, started=call.started)
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
