"""The REST interface: one module a subject."""

from quart import Quart

from toolhost.web.api import (
    approvals,
    auth,
    calls,
    conversations,
    files,
    grants,
    health,
    keys,
    me,
    sessions,
    tools,
    users,
)

__all__ = ["register"]


def register(app: Quart) -> None:
    """Add every route of the interface."""
    for module in (auth, tools, approvals, calls, conversations, files, grants, health, me, sessions, keys, users):
        app.register_blueprint(module.blueprint)
