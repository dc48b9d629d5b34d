"""People whom a trusted extension vouches for, such as by a proxy that has signed them in."""

from __future__ import annotations

import secrets

from toolhost.accounts.model import Principal
from toolhost.accounts.people import People
from toolhost.errors import AccessError, UsageError
from toolhost.extensions.model import Identity
from toolhost.model import Actor

__all__ = ["vouched"]

_EXTENSION = Actor(user_id="extension", username="extension", role="admin", channel="web")


async def vouched(people: People, identity: Identity) -> Principal:
    """Somebody, as their account is now; one is made where there is none and the identity says with which role.

    Raises:
        AccessError: `not_authenticated`.
    """
    try:
        account = await people.get(identity.username)
    except AccessError:
        if identity.role is None:
            raise _unknown(identity.username) from None
        try:
            # A password that nobody knows: they come by the extension, or an administrator sets another one.
            await people.create(identity.username, secrets.token_urlsafe(32), identity.role, _EXTENSION)
        except UsageError as error:
            if error.code != "username_taken":  # by another request of the same person, a moment ago
                raise AccessError("not_authenticated", error.message, error.hint) from None
        account = await people.get(identity.username)
    except UsageError as error:
        raise AccessError("not_authenticated", error.message, error.hint) from None
    if account.disabled:
        raise AccessError("not_authenticated", "This account is disabled.", "Ask an administrator.")
    return Principal(user=account.user, expires=None, proved=identity.proved)


def _unknown(username: str) -> AccessError:
    return AccessError("not_authenticated", f"There is no account {username!r} here.", "Ask an administrator for one.")
