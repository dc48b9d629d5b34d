"""The REST interface: one module a subject."""

from quart import Quart

from toolhost.web.api import approvals, auth, calls, conversations, files, grants, health, me, tools

__all__ = ["register"]


def register(app: Quart) -> None:
    """Add every route of the interface."""
    for module in (auth, tools, approvals, calls, conversations, files, grants, health, me):
        app.register_blueprint(module.blueprint)
