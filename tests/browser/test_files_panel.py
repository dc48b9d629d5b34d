"""The panel of the workspace, and what one does with cards, as a person uses them."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect
from shots import look


def say(page: Page, text: str) -> None:
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def test_files_are_uploaded_listed_looked_at_and_downloaded(chat, tmp_path: Path) -> None:
    page = chat()
    say(page, "/files.list")
    expect(page.locator(".card[data-state=done]")).to_have_count(1)
    page.keyboard.press("Alt+f")
    expect(page.locator("#files")).to_contain_text("There are no files yet.")
    for name, text in (("water.py", "def water():\n    return '<b>'\n"), ("<img src=x>.txt", "odd")):
        (tmp_path / name).write_text(text)
    page.locator('[data-files="upload"]').set_input_files([tmp_path / "water.py", tmp_path / "<img src=x>.txt"])
    expect(page.locator(".file")).to_have_count(2)
    expect(page.locator("#files img")).to_have_count(0)
    page.locator(".file").filter(has_text="water.py").get_by_role("button").click()
    expect(page.locator(".preview .t-k").first).to_have_text("def")
    look(page, "files-preview")
    page.get_by_role("button", name="Back to the list").click()
    expect(page.locator("#files-body :focus")).to_have_count(1)
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download water.py").click()
    assert coming.value.suggested_filename == "water.py"
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    look(page, "files-320")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    expect(page.locator("#files")).to_be_hidden()


def test_a_named_workspace_says_that_it_is_not_listed(chat) -> None:
    page = chat(expected=("status of 403",))
    page.locator("#workspace").select_option("garden")
    say(page, "/git.log")
    expect(page.locator(".card[data-state=done]")).to_have_count(1)
    page.locator("#files-toggle").click()
    expect(page.locator("#files")).to_contain_text("not listed here")


def test_an_output_is_searched_and_a_call_is_made_again(chat) -> None:
    page = chat()
    say(page, "/git.push")
    denied = page.locator(".card[data-state=denied]")
    expect(denied).to_have_count(1)
    denied.get_by_role("button", name="Call again").click()
    expect(denied).to_have_count(2)
    say(page, "/shell.run script='seq 1 300'")
    button = page.locator(".card[data-state=waiting]").get_by_role("button", name="Approve once")
    expect(button).to_be_enabled()
    button.click()
    card = page.locator(".card[data-state=done]")
    expect(card).to_have_count(1)
    card.get_by_label("Find").fill("29")
    expect(card.locator("[data-found]")).to_have_text("1/13")
    card.get_by_label("Find").press("Enter")
    expect(card.locator("[data-found]")).to_have_text("2/13")
    with page.expect_download():
        card.get_by_role("link", name="Download the output").click()
    look(page, "card-search")
    say(page, "/shell.run script='echo begun; sleep 60'")
    expect(button).to_be_enabled()
    button.click()
    running = page.locator(".card[data-state=running]")
    running.get_by_role("button", name="End this call").click()
    expect(page.locator(".card[data-state=cancelled]")).to_have_count(1)
