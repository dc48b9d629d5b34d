"""The settings as a person uses them."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from shots import look

SECTIONS = ("profile", "security", "sessions", "keys", "appearance", "approvals", "data")
ADMIN = ("security", "people", "policies", "plugins", "incident")


def fits(page: Page) -> bool:
    page.wait_for_load_state()  # with its style sheets
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_every_page_of_the_settings_is_reached_and_fits(chat, scheme, width) -> None:
    page = chat(color_scheme=scheme, viewport={"width": width, "height": 760})
    page.goto(page.url.split("/c/")[0].rstrip("/") + "/settings")
    nav = page.locator(".settings-nav")
    for path in (*(f"/settings/{name}" for name in SECTIONS), *(f"/admin/{name}" for name in ADMIN)):
        nav.locator(f'a[href="{path}"]').click()
        name = path.rpartition("/")[2]
        expect(nav.locator("a[aria-current=page]")).to_have_attribute("href", path)
        expect(page.locator(".settings-section h2").first).to_be_visible()
        assert fits(page), name
        look(page, f"settings-{name}-{scheme}-{width}")


def test_language_and_theme_are_chosen_in_the_settings_too(chat, server) -> None:
    page = chat()
    page.goto(server.origin + "/settings/appearance")
    page.locator(".choices").get_by_label("Dark").check()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator(".choices").get_by_label("Français").check()
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page.get_by_role("heading", name="Langue et thème")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_data_is_taken_along_and_deleted_after_the_name_was_typed(chat, server) -> None:
    page = chat()
    page.locator("#message").fill("to be deleted")
    page.locator("#message").press("Enter")
    expect(page.locator(".message-notice")).to_be_visible()
    page.goto(server.origin + "/settings/data")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download").click()
    assert coming.value.suggested_filename == "toolhost-data.zip"
    button = page.get_by_role("button", name="Delete my data")
    page.get_by_label("Type ada to confirm").fill("somebody")
    expect(button).to_be_disabled()
    page.get_by_label("Type ada to confirm").fill("ada")
    button.click()
    expect(page.get_by_role("status").filter(has_text="Your data is deleted.")).to_be_visible()
    page.goto(server.origin + "/")
    expect(page.locator("#conversations")).not_to_contain_text("to be deleted")
