"""What the settings pages have in common: the way from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolhost.web.frame import frame

__all__ = ["SECTIONS", "Section", "section"]


@dataclass(frozen=True, slots=True)
class Section:
    """One page of the settings.

    Attributes:
        name: Its title is `settings.NAME` in the catalogues.
        path: Where it is.
        icon: Its picture.
    """

    name: str
    path: str
    icon: str


SECTIONS = (
    Section("profile", "/settings/profile", "person"),
    Section("appearance", "/settings/appearance", "sun"),
    Section("approvals", "/settings/approvals", "check"),
    Section("data", "/settings/data", "inbox"),
)
"""Every page, in the order in which they are listed."""


async def section(name: str) -> dict[str, Any]:
    """The values that `_settings.html` needs for one of the pages."""
    return {"sections": SECTIONS, "section": name, **await frame("settings")}
