"""Pictures of pages, for people to look at: whoever wants them makes the folder `.shots`, which is in no repository."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

FOLDER = Path(__file__).parents[1] / ".shots"


def look(page: Page, name: str) -> None:
    """Take a picture, where somebody wants them."""
    if FOLDER.is_dir():
        page.screenshot(path=FOLDER / f"{name}.png")
