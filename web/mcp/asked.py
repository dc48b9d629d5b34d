"""Which calls wait for a person, so that the same call made again finds its question and asks no second one.

A client of the protocol of 2026 sends back what it was given with the question. Older ones, and those that cannot show
a question, only make the call again: it is known by who makes it, its tool and its arguments.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from toolhost.calls.arguments import canonical
from toolhost.model import Actor

__all__ = ["Asked"]

_MOST = 2000


class Asked:
    """The questions of calls that came by MCP and were not made again since. Lost with the process, which costs no
    more than a second question."""

    def __init__(self) -> None:
        self._questions: OrderedDict[str, str] = OrderedDict()

    def put(self, actor: Actor, tool: str, arguments: Mapping[str, Any], approval_id: str) -> None:
        """A call waits for the answer to a question."""
        key = _key(actor, tool, arguments)
        self._questions[key] = approval_id
        self._questions.move_to_end(key)
        if len(self._questions) > _MOST:
            self._questions.popitem(last=False)

    def find(self, actor: Actor, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """The question that such a call waits for, if any."""
        return self._questions.get(_key(actor, tool, arguments))

    def drop(self, actor: Actor, tool: str, arguments: Mapping[str, Any]) -> None:
        """The call has its result: the next one like it is a new one."""
        self._questions.pop(_key(actor, tool, arguments), None)


def _key(actor: Actor, tool: str, arguments: Mapping[str, Any]) -> str:
    told = canonical([actor.user_id, actor.key_id, tool, dict(arguments)])
    return hashlib.sha256(told.encode()).hexdigest()
