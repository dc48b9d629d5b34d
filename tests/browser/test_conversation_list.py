"""The list of conversations as a person keeps it in order, and the palette."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect
from shots import look


def say(page: Page, text: str) -> None:
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")
    expect(page.locator(".message-notice")).to_have_count(1)


def choose(page: Page, title: str, action: str) -> None:
    item = page.locator("#conversations li").filter(has_text=title)
    item.hover()
    item.locator(".item-more").click()
    page.get_by_role("menuitem", name=action).click()


def test_a_conversation_is_renamed_pinned_deleted_and_taken_back(chat) -> None:
    page = chat()
    say(page, "plant an oak")
    page.keyboard.press("F2")
    page.locator(".rename").fill("Oaks")
    page.locator(".rename").press("Enter")
    expect(page.locator("#page-title")).to_have_text("Oaks")
    choose(page, "Oaks", "Pin")
    expect(page.locator(".sidebar-group").filter(has_text="Pinned")).to_contain_text("Oaks")
    expect(page.locator("#conversations li").filter(has_text="Oaks").locator(".item-more")).to_be_focused()
    page.locator("#conversations li").filter(has_text="Oaks").hover()
    page.locator("#conversations li").filter(has_text="Oaks").locator(".item-more").click()
    look(page, "conversation-menu")
    page.get_by_role("menuitem", name="Delete").click()
    page.locator("#hero").wait_for()
    expect(page.locator("#toast")).to_contain_text("Conversation deleted.")
    expect(page.locator("#conversations")).not_to_contain_text("Oaks")
    page.locator("#toast").get_by_role("button", name="Undo").click()
    expect(page.locator("#conversations")).to_contain_text("Oaks")
    expect(page.locator("#toast")).to_be_hidden()


def test_a_conversation_is_taken_along(chat) -> None:
    page = chat()
    say(page, "plant an elm")
    for action, name in (("Export as Markdown", "plant-an-elm.md"), ("Export as JSON", "plant-an-elm.json")):
        with page.expect_download() as coming:
            choose(page, "plant an elm", action)
        assert coming.value.suggested_filename == name


def test_the_palette_finds_conversations_and_commands(chat, server) -> None:
    page = chat()
    say(page, "plant a <b>rowan</b> tree")
    page.goto(server.origin + "/settings/profile")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-input")).to_be_focused()
    page.locator("#palette-input").press_sequentially("rowa")
    expect(page.locator("#palette-list [aria-selected=true]")).to_have_text("plant a <b>rowan</b> tree")
    look(page, "palette")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/c/"))
    page.locator("#connection[data-state=online]").wait_for()
    page.keyboard.press("Control+k")
    page.locator("#palette-input").press_sequentially("dark")
    expect(page.locator("#palette-list [aria-selected=true]")).to_contain_text("Dark theme")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.keyboard.press("Control+k")
    page.locator("#palette-input").press_sequentially("row")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    page.locator("#main").focus()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    look(page, "keys-dark")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("Control+b")
    expect(page.locator("#sidebar")).to_be_hidden()
    page.reload()
    expect(page.locator("#sidebar")).to_be_hidden()
    page.locator(".drawer-open").click()
    expect(page.locator("#sidebar")).to_be_visible()
