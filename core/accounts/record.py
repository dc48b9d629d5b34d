"""What happens to accounts, in the audit log: who did it, to whom, from where."""

from __future__ import annotations

from typing import Literal

from toolhost.accounts.model import Client, User
from toolhost.audit import AuditLog
from toolhost.model import Actor

__all__ = ["Recorder"]


class Recorder:
    """Writes the records of this room."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def by_user(self, event: str, user: User, client: Client, **details: object) -> None:
        """What a person did, or was refused, to themselves."""
        session = details.get("session")
        actor = Actor(
            user_id=user.id,
            username=user.username,
            role=user.role,
            channel=client.channel,
            session_id=session if isinstance(session, str) else None,
            ip=client.ip,
            request_id=client.request_id,
        )
        self._audit.write(
            "auth", event, {"user": user.username, "ip": client.ip, "ua": client.agent, **details}, actor=actor
        )

    def by_actor(self, event: str, actor: Actor, **details: object) -> None:
        """What somebody did; to whom is `account`, since the record's `user` is who did it."""
        self._audit.write("auth", event, details, actor=actor)

    def failure(
        self, event: str, client: Client, category: Literal["auth", "security"] = "auth", **details: object
    ) -> None:
        """What somebody tried whom nothing proves to be anybody."""
        self._audit.write(
            category,
            event,
            {"ip": client.ip, "ua": client.agent, "request_id": client.request_id, **details},
            level="WARNING",
        )
