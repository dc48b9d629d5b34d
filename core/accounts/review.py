"""Who holds what: what somebody who reviews access looks at, and what is written down when they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolhost.accounts.accounts import Accounts
from toolhost.accounts.keys import ApiKey
from toolhost.accounts.model import Account
from toolhost.accounts.sessions import Session
from toolhost.audit import AuditLog, AuditRecord
from toolhost.model import Actor

__all__ = ["REVIEWED", "Held", "attest", "held_by_all"]

REVIEWED = "access.reviewed"
"""The event by which a review is in the audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one person has to come in by.

    Attributes:
        account: The person.
        sessions: Their open sessions, the last used first.
        keys: Their API keys, expired ones included.
    """

    account: Account
    sessions: Sequence[Session]
    keys: Sequence[ApiKey]


async def held_by_all(accounts: Accounts) -> list[Held]:
    """Everybody, by name, with what they hold."""
    sessions: dict[str, list[Session]] = {}
    for session in await accounts.sessions.list():
        sessions.setdefault(session.username, []).append(session)
    keys: dict[str, list[ApiKey]] = {}
    for key in await accounts.keys.list():
        keys.setdefault(key.owner, []).append(key)
    return [
        Held(account=one, sessions=sessions.get(one.user.username, ()), keys=keys.get(one.user.username, ()))
        for one in await accounts.people.list()
    ]


def attest(audit: AuditLog, held: Sequence[Held], by: Actor) -> tuple[AuditRecord, dict[str, Any]]:
    """Write down that somebody has looked at all of it; returns the record and how much there was.

    Raises:
        MachineError: `audit_unavailable`.
    """
    counts = {
        "people": len(held),
        "administrators": sum(one.account.user.role == "admin" and not one.account.disabled for one in held),
        "disabled": sum(one.account.disabled for one in held),
        "sessions": sum(len(one.sessions) for one in held),
        "keys": sum(len(one.keys) for one in held),
    }
    return audit.write("security", REVIEWED, counts, actor=by), counts
