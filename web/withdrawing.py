"""What becomes of runs and questions when somebody's access changes.

Whoever was shut out, or whose session, key or address was taken away, has no run left, neither one that runs nor one
that waits for its turn. Whoever only left (signed out) keeps their runs, but nobody is there any more whom their
questions were shown to: those are refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from toolhost.accounts.standing import Withdrawal
from toolhost.approvals import Answer
from toolhost.errors import ToolHostError
from toolhost.model import Actor
from toolhost.web.site import Site

__all__ = ["following", "withdraw"]

_log = logging.getLogger("toolhost.web")

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 2.0

_REASONS: dict[Withdrawal, str] = {
    "disabled": "the account of whoever asked was disabled",
    "session": "the session that asked has ended",
    "key": "the API key that asked has ended",
    "address": "the address that asked was blocked",
}


async def withdraw(parts: Site) -> None:
    """End what may not go on, and let the rest go on as who its people are now."""
    await _runs(parts)
    if parts.host.audit.failing is not None:
        return  # no refusal could be recorded; the next look after that finds them
    open_questions = await parts.host.pending_approvals_of_all()
    asked = [
        Actor(
            user_id=question.user_id,
            username=question.username,
            role="",
            channel="web",
            session_id=question.session_id,
            key_id=question.key_id,
        )
        for question in open_questions
    ]
    gone = await parts.accounts.standing.withdrawn(set(asked), logouts=True)
    refused = [
        parts.runs.answer(actor, question.id, Answer(approve=False, reason=_REASONS[gone[actor]]))
        for question, actor in zip(open_questions, asked, strict=True)
        if actor in gone
    ]
    # Nobody else's access may wait for what they waited for. What is not refused by then, the next look finds.
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await asyncio.gather(*refused, return_exceptions=True)  # one may be answered in this very moment


async def _runs(parts: Site) -> None:
    alive = parts.runs.alive_of_all()
    gone = await parts.accounts.standing.withdrawn({run.actor for run in alive})
    # What waits for its turn first, so that the end of one run does not begin the next.
    for run in sorted((run for run in alive if run.actor in gone), key=lambda run: run.task is not None):
        with suppress(ToolHostError):  # it ended in this very moment
            await parts.messages.stop(run.actor, run.id)
    roles = await parts.runs.records.standing({run.actor.user_id for run in alive if run.actor not in gone})
    for run in alive:
        role = roles.get(run.actor.user_id)
        if role is not None and role != run.actor.role:
            run.actor = replace(run.actor, role=role)


@asynccontextmanager
async def following(parts: Site) -> AsyncIterator[None]:
    """Notice in the meantime what ends by itself, such as a key, and what a busy machine has left open."""
    task = asyncio.create_task(_look(parts), name="withdrawing")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _look(parts: Site) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            await withdraw(parts)
        except Exception:
            _log.exception("it cannot be seen whose runs and questions may go on; it is tried again")
