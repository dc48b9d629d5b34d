"""Ending what runs in conversations that are about to go."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from toolhost.approvals import Answer
from toolhost.errors import ToolHostError
from toolhost.model import Actor
from toolhost.web.site import Site

__all__ = ["stop_runs"]

_SECONDS = 5.0


async def stop_runs(parts: Site, actor: Actor, conversation_id: str | None = None) -> None:
    """Stop the actor's runs, in one conversation or in all, and wait a bounded time for their ends."""
    if conversation_id is None:
        here = [conversation.id for conversation in await parts.conversations.list(actor.user_id)]
    else:
        here = [conversation_id]
    tasks = []
    for each in here:
        for run in parts.runs.of(actor.user_id, each):
            if not run.ended:
                await parts.messages.stop(actor, run.id)
                if run.task is not None:
                    tasks.append(run.task)
    if tasks:
        await asyncio.wait(tasks, timeout=_SECONDS)
    # A question that no run waits for, such as one asked before the last start, is answered as well.
    for question in await parts.host.pending_approvals(actor):
        if question.conversation_id in here:
            with suppress(ToolHostError):
                await parts.runs.answer(
                    actor, question.id, Answer(approve=False, reason="the conversation was deleted")
                )
