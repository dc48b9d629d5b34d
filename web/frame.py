"""What every page of a signed-in person has around it: the sidebar, and what waits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from toolhost.audit.since import NOTICED, since
from toolhost.conversations import Conversation
from toolhost.model import Actor
from toolhost.rights import allowed
from toolhost.web.guard import current, current_actor
from toolhost.web.site import Site, site

__all__ = ["frame"]

_DAY_MS = 24 * 3600 * 1000


async def frame(page: str = "", *, here: str | None = None) -> dict[str, Any]:
    """The values that `_frame.html` needs, for whoever sends this request.

    Args:
        page: Which page it is, for the links that lead to it.
        here: The conversation that is open, or None.
    """
    parts, actor = site(), current_actor()
    waiting = [item.conversation_id for item in await parts.host.pending_approvals(actor)]
    waiting += [item.conversation_id for item in parts.host.inquiries.of(actor)]
    return {
        "page": page,
        "user": current().user,
        "here": here,
        "groups": _by_age(await parts.conversations.list(actor.user_id)),
        "waiting": len(waiting),
        "waiting_in": set(waiting),
        "unseen": await _unseen(parts, actor),
        "sharing": parts.host.settings.shares,
        "problem": parts.host.sandbox_problem,
        "degraded": parts.host.sandbox is None or parts.host.sandbox_problem is not None,
        "stopped": parts.host.stopping.stopped,
    }


async def _unseen(parts: Site, actor: Actor) -> int:
    """What an administrator should look at, and has not."""
    if not allowed(actor, "admin"):
        return 0
    return (await since(parts.host.audit_index, actor.user_id, NOTICED)).noticed


def _by_age(items: Sequence[Conversation]) -> list[tuple[str, list[Conversation]]]:
    """What is pinned, today, the last seven days, and what is older; days are the server's."""
    now = time.localtime()
    midnight = int(time.mktime((now.tm_year, now.tm_mon, now.tm_mday, 0, 0, 0, 0, 0, -1))) * 1000
    groups: dict[str, list[Conversation]] = {"pinned": [], "today": [], "week": [], "older": []}
    for item in items:
        if item.pinned:
            groups["pinned"].append(item)
            continue
        name = "today" if item.updated >= midnight else "week" if item.updated >= midnight - 6 * _DAY_MS else "older"
        groups[name].append(item)
    return [(name, members) for name, members in groups.items() if members]
