"""The REST interface: one module a subject."""

from quart import Quart

from toolhost.web.api import (
    approvals,
    audit,
    auth,
    blocks,
    branches,
    calls,
    chat,
    conversations,
    evidence,
    files,
    grants,
    health,
    inquiries,
    keeping,
    keys,
    me,
    metrics,
    models,
    openapi,
    policies,
    reviews,
    sessions,
    shares,
    system,
    tools,
    users,
)

__all__ = ["register"]


def register(app: Quart) -> None:
    """Add every route of the interface."""
    people = (auth, me, sessions, keys, users, blocks, reviews)
    calling = (
        tools,
        approvals,
        inquiries,
        calls,
        conversations,
        keeping,
        shares,
        branches,
        files,
        grants,
        chat,
        models,
    )
    for module in (*people, *calling, health, policies, system, audit, evidence, metrics, openapi):
        app.register_blueprint(module.blueprint)
