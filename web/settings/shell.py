"""What the settings pages have in common: the way from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolhost.rights import Right, allowed
from toolhost.web.frame import frame
from toolhost.web.guard import current_actor

__all__ = ["SECTIONS", "Section", "section"]


@dataclass(frozen=True, slots=True)
class Section:
    """One page of the settings.

    Attributes:
        name: Its title is `settings.NAME` in the catalogues.
        path: Where it is.
        icon: Its picture.
        right: What one needs for it, beside being signed in; None for one's own things.
    """

    name: str
    path: str
    icon: str
    right: Right | None = None


SECTIONS = (
    Section("profile", "/settings/profile", "person"),
    Section("security", "/settings/security", "lock"),
    Section("sessions", "/settings/sessions", "screen"),
    Section("keys", "/settings/keys", "key", "keys"),
    Section("appearance", "/settings/appearance", "sun"),
    Section("approvals", "/settings/approvals", "check"),
    Section("data", "/settings/data", "inbox"),
    Section("watch", "/admin/security", "shield", "admin"),
    Section("people", "/admin/people", "person", "admin"),
    Section("policies", "/admin/policies", "file", "policies:read"),
    Section("plugins", "/admin/plugins", "tool", "policies:read"),
    Section("models", "/admin/models", "model", "admin"),
    Section("incident", "/admin/incident", "alert", "admin"),
)
"""Every page, in the order in which they are listed."""


async def section(name: str) -> dict[str, Any]:
    """The values that `_settings.html` needs for one of the pages."""
    actor = current_actor()
    open_ones = [one for one in SECTIONS if one.right is None or allowed(actor, one.right)]
    return {"sections": open_ones, "section": name, **await frame("settings")}
