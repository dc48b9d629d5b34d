"""A conversation as it stands now: its entries, and each call's card from its run or from its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from toolhost.conversations import Conversation, Entry
from toolhost.model import Actor, ExternalContent
from toolhost.web.cards import Card, card_of_live, card_of_record
from toolhost.web.live import Draft, Run
from toolhost.web.site import Site
from toolhost.web.spelling import attempted_argv

__all__ = ["Snapshot", "card_of_call", "snapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A conversation at one moment.

    Attributes:
        conversation: The conversation.
        entries: What it shows, in order.
        cards: The card of each call among the entries.
        external: What it has taken in from elsewhere.
        seen: For each run that can still be followed, the number of the last event that is in here.
        alive: The runs that go on, and whether each waits for a person.
        drafts: What models are writing, by run.
        queued: The messages that wait for their turn: run and text, in their order.
        ratings: What this person said of answers, by entry.
    """

    conversation: Conversation
    entries: tuple[Entry, ...]
    cards: dict[str, Card]
    external: tuple[ExternalContent, ...]
    seen: dict[str, int]
    alive: dict[str, bool]
    drafts: dict[str, Draft]
    queued: tuple[tuple[str, str], ...]
    ratings: dict[int, str]


async def snapshot(parts: Site, actor: Actor, conversation_id: str) -> Snapshot:
    """Read a conversation.

    Raises:
        AccessError: `conversation_not_found`.
    """
    conversation = await parts.conversations.get(actor.user_id, conversation_id)
    entries = await parts.conversations.entries(actor.user_id, conversation_id)
    stored = await _stored(parts, actor, entries)
    external = await parts.host.taints.of(actor.user_id, conversation_id)
    ratings = await parts.feedback.of(actor.user_id, conversation_id)
    # From here on without a wait: the live cards, the entries that came meanwhile and the numbers are of one moment.
    runs = parts.runs.of(actor.user_id, conversation_id)
    cards = dict(stored)
    known = {entry.id for entry in entries}
    late: list[Entry] = []
    for run in runs:
        for call in run.calls.values():
            cards[call.call_id] = card_of_live(call, output=call.output)
        for event in run.events:
            if event.get("entry") is not None and event["entry"]["id"] not in known:
                late.append(Entry.from_json(event["entry"]))
    return Snapshot(
        conversation=conversation,
        entries=_continued(entries, late),
        cards=cards,
        external=external,
        seen={run.id: run.seq for run in runs},
        alive={run.id: run.waiting for run in runs if not run.ended and not _queued(run)},
        queued=tuple((run.id, run.text) for run in sorted(filter(_queued, runs), key=_position)),
        ratings=dict(ratings),
        drafts={run.id: replace(run.draft) for run in runs if run.draft is not None},
    )


def _continued(entries: tuple[Entry, ...], late: list[Entry]) -> tuple[Entry, ...]:
    """The branch that is shown, with what came to its end since it was read; other branches' entries are not of it."""
    shown = list(entries)
    for entry in sorted(late, key=lambda entry: entry.id):
        if entry.parent_id == (shown[-1].id if shown else None):
            shown.append(entry)
    return tuple(shown)


def _queued(run: Run) -> bool:
    """Whether a run waits for its turn."""
    return not run.ended and bool(run.events) and run.events[-1]["type"] == "run.queued"


def _position(run: Run) -> int:
    return int(run.events[-1]["position"])


async def card_of_call(parts: Site, actor: Actor, call_id: str) -> Card | None:
    """The card of one call, or None. While it is carried out its run has it: its record still says that it waits."""
    for run in parts.runs.alive_of_all():
        call = run.calls.get(call_id)
        if run.actor.user_id == actor.user_id and call is not None and call.started is not None:
            return card_of_live(call, output=call.output)
    waiting = {pending.call_id: pending for pending in await parts.host.pending_approvals(actor)}
    record = await parts.host.call_record(call_id, actor)
    return (
        None
        if record is None
        else card_of_record(
            record, waiting.get(call_id), attempted_argv(parts.host, record["tool"], record["arguments"])
        )
    )


async def _stored(parts: Site, actor: Actor, entries: Sequence[Entry]) -> dict[str, Card]:
    waiting = {pending.call_id: pending for pending in await parts.host.pending_approvals(actor)}
    cards: dict[str, Card] = {}
    made = [entry.call_id for entry in entries if entry.call_id is not None]
    records = await parts.host.call_records(made, actor)
    for call_id in made:
        record = records.get(call_id)
        if record is None:
            # Written down before it was made, and never made: the host stopped in between.
            cards[call_id] = Card(call_id=call_id, tool="", state="interrupted", summary="")
        else:
            cards[call_id] = card_of_record(
                record, waiting.get(call_id), attempted_argv(parts.host, record["tool"], record["arguments"])
            )
    return cards
