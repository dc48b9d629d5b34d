"""Pictures of pages, for people to look at: `.shots/` is kept by whoever runs the tests, never by the repository."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

FOLDER = Path(__file__).parents[1] / ".shots"


def look(page: Page, name: str) -> None:
    """Take a picture."""
    FOLDER.mkdir(exist_ok=True)
    page.screenshot(path=FOLDER / f"{name}.png")
