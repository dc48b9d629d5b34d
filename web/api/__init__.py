"""The REST interface: one module a subject."""

from quart import Quart

from toolhost.web.api import approvals, auth, calls, conversations, files, grants, health, tools

__all__ = ["register"]


def register(app: Quart) -> None:
    """Add every route of the interface."""
    for module in (auth, tools, approvals, calls, conversations, files, grants, health):
        app.register_blueprint(module.blueprint)
