"""What each route asks of whoever comes: nothing, a person, or a right; and for some that the person was just here.

A route without a marker is for people who are signed in, and for no API key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from quart import Quart

from toolhost.rights import Right

__all__ = ["SAFE", "STEP_UP_SECONDS", "Access", "abandonable", "access_of", "is_abandonable", "public", "requires"]

STEP_UP_SECONDS = 600
"""How long a person's password counts for what asks for it again."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

_MARK = "toolhost_access"
_ABANDONABLE = "toolhost_abandonable"

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a route asks.

    Attributes:
        public: Whether strangers may come.
        right: What the role must allow.
        scope: What an API key's scopes must allow besides; None where keys may not come at all.
        step_up: Whether a person must have given their password within the last ten minutes.
        before_change: Whether it is open to somebody who has to choose another password first.
        works: Whether it makes a chat or a tool work, which has a rate limit of its own.
        recorded: Whether it leaves a record although it only reads: then no page of another site may bring it about.
    """

    public: bool = False
    right: Right = "look"
    scope: Right | None = None
    step_up: bool = False
    before_change: bool = False
    works: bool = False
    recorded: bool = False


_PERSON = Access()
_PUBLIC = Access(public=True)


def public(view: View) -> View:
    """Open a route to people who are not signed in."""
    setattr(view, _MARK, _PUBLIC)
    return view


def requires(
    right: Right,
    *,
    scope: Right | None = None,
    step_up: bool = False,
    before_change: bool = False,
    works: bool = False,
    recorded: bool = False,
) -> Callable[[View], View]:
    """Open a route to whoever has a right: people by their role, API keys by their scopes too.

    Args:
        right: What for.
        scope: What an API key needs; without it none may come.
        step_up: Whether people must have given their password within the last ten minutes.
        before_change: Whether it is open to somebody who has to choose another password first.
        works: Whether it makes a chat or a tool work, which has a rate limit of its own.
        recorded: Whether it leaves a record although it only reads: then no page of another site may bring it about.
    """

    def mark(view: View) -> View:
        access = Access(
            right=right,
            scope=scope,
            step_up=step_up,
            before_change=before_change,
            works=works,
            recorded=recorded,
        )
        setattr(view, _MARK, access)
        return view

    return mark


def abandonable(view: View) -> View:
    """Let whoever hangs up end what a route does: it takes long, and how it ended is recorded all the same.

    Such a route asks again by itself, by `ask_again`, once its body is there; for the others that is done.
    """
    setattr(view, _ABANDONABLE, True)
    return view


def is_abandonable(app: Quart, endpoint: str | None) -> bool:
    """Whether a route ends with its client; one that does not exist has nothing to finish."""
    view = app.view_functions.get(endpoint) if endpoint is not None else None
    return view is None or getattr(view, _ABANDONABLE, False)


def access_of(app: Quart, endpoint: str | None) -> Access:
    """What a route asks; one that does not exist asks for a person."""
    view = app.view_functions.get(endpoint) if endpoint is not None else None
    access: Access = getattr(view, _MARK, _PERSON)
    return access
