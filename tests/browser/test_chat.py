"""The page as a person uses it, in a real browser."""

from __future__ import annotations

import json
import re
import threading

import pytest
from playwright.sync_api import Page, expect
from shots import look
from webserver import PASSWORD, WebServer

NARROW = {"viewport": {"width": 320, "height": 640}, "reduced_motion": "no-preference"}


def say(page: Page, text: str) -> None:
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def last(page: Page):
    return page.locator(".card").last


def settled(page: Page, state: str):
    card = page.locator(f".card[data-state={state}]").last
    card.wait_for()
    return card


def approve(page: Page) -> None:
    button = settled(page, "waiting").get_by_role("button", name="Approve once")
    expect(button).to_be_enabled()
    button.click()


def thread(page: Page) -> list[str]:
    """What the thread says, without what moves by itself."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#thread > *")].map((node) => {
             const copy = node.cloneNode(true);
             for (const moving of copy.querySelectorAll(".duration, [data-until]")) moving.remove();
             return copy.textContent.replace(/\\s+/g, " ").trim();
           })"""
    )


def no_sideways_scroll(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_from_the_printed_address_to_a_denied_push(watched_page) -> None:
    server = WebServer().start()
    try:
        page = watched_page(at=server)
        page.goto(server.printed.split("administrator: ")[1].split()[0])
        expect(page).to_have_url(server.origin + "/setup")  # the token is gone from the address
        for language, title in (("Français", "Créer l’administrateur"), ("English", "Create the administrator")):
            page.get_by_role("button", name=language).click()  # the page is another, and still has it
            expect(page.get_by_role("heading", name=title)).to_be_visible()
            page.wait_for_load_state()  # its scripts too
            expect(page.locator("#problem")).to_be_hidden()
            expect(page).to_have_url(server.origin + "/setup")
        page.get_by_label("Name").fill("ada")
        page.locator("#password").fill(PASSWORD)
        page.get_by_label("Password again").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()
        expect(page.locator(".probe").first).to_be_visible()
        expect(page.locator(".tag-fail")).to_have_count(0)
        assert no_sideways_scroll(page)
        look(page, "welcome")
        page.get_by_role("link", name="Start").click()
        page.locator("#connection[data-state=online]").wait_for()
        tour = page.locator("#tour")
        tour.get_by_role("button", name="Do it").click()
        settled(page, "done")
        tour.get_by_role("button", name="Next").click()
        tour.get_by_role("button", name="Do it").click()
        look(page, "tour")
        approve(page)
        expect(tour.get_by_role("button", name="Next")).to_be_visible()
        tour.get_by_role("button", name="Next").click()
        tour.get_by_role("button", name="Do it").click()
        card = settled(page, "denied")
        tour.get_by_role("button", name="Done").click()
        expect(tour).to_have_count(0)
        expect(card).to_contain_text(re.compile(r"Denied by git\.toml:\d+"))
        expect(card).to_contain_text("An administrator can change git.toml")
        page.locator("#user-menu summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(server.origin + "/login")
        page.context.close()
    finally:
        server.close()


def test_the_history_of_a_named_workspace_by_menu_and_form(chat) -> None:
    page = chat()
    page.locator("#workspace").select_option("garden")
    page.locator("#message").press_sequentially("/git.l")
    expect(page.locator("#tool-list [aria-selected=true]")).to_contain_text("/git.log")
    page.keyboard.press("Enter")
    page.locator("#tool-form").get_by_label("limit").fill("5")
    page.locator("#tool-form").get_by_role("button", name="Run").click()
    card = settled(page, "done")
    expect(card.locator(".output").first).to_contain_text("Water the tree")
    expect(page.locator("#workspace-chip")).to_contain_text("garden")
    expect(page.locator("#page-title")).to_contain_text("/git.log")
    card.get_by_role("tab", name="Sandbox").click()
    expect(card.get_by_role("tabpanel")).to_contain_text(re.compile(r"git\.toml:\d+"))
    expect(card.get_by_role("tabpanel")).to_contain_text("/workspace")
    expect(card.get_by_role("tabpanel")).to_contain_text("sha256:")
    card.get_by_role("tab", name="Command").click()
    assert card.locator(".argv li").all_inner_texts()[:2] == ["/usr/bin/git", "log"]


def test_a_script_is_asked_about_approved_and_run(chat) -> None:
    page = chat()
    say(page, "/shell.run script='echo to stdout; echo to stderr >&2'")
    waiting = settled(page, "waiting")
    expect(page.locator("#waiting-bar")).to_contain_text("1 action waits for you")
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    expect(waiting.locator(".panel-ask .argv li")).to_have_text(
        ["/usr/bin/bash", "-c", "echo to stdout; echo to stderr >&2"]
    )
    approve(page)
    card = settled(page, "done")
    expect(card.locator(".output .stdout").first).to_have_text("to stdout\n")
    expect(card.locator(".output .stderr").first).to_have_text("to stderr\n")
    expect(page.locator("#waiting-bar")).to_be_hidden()


def test_a_reload_in_the_middle_shows_the_same_thread(chat) -> None:
    page = chat()
    say(page, "/shell.run script='for i in 1 2 3; do echo line $i; done; sleep 4; echo end'")
    settled(page, "waiting")
    before = thread(page)
    page.reload()
    page.locator("#connection[data-state=online]").wait_for()
    assert thread(page) == before
    approve(page)
    running = settled(page, "running")
    expect(running.locator(".output").first).to_contain_text("line 3")
    before = thread(page)
    page.reload()
    assert thread(page) == before
    card = settled(page, "done")
    expect(card.locator(".output").first).to_have_text("line 1\nline 2\nline 3\nend\n")
    expect(page.locator(".card")).to_have_count(1)
    after = thread(page)
    page.reload()
    assert thread(page) == after


def test_two_tabs_show_the_same_run(chat) -> None:
    page = chat()
    say(page, "/shell.run script='echo both'")
    settled(page, "waiting")
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("#connection[data-state=online]").wait_for()
    approve(other)
    settled(page, "done")
    settled(other, "done")
    assert thread(page) == thread(other)


def test_stop_ends_a_run(chat) -> None:
    page = chat()
    say(page, "/shell.run script='echo started; sleep 60'")
    approve(page)
    expect(settled(page, "running").locator(".output").first).to_contain_text("started")
    expect(page.locator("#waiting-bar")).to_be_hidden()  # it was answered, though the answer goes on
    page.get_by_role("button", name="Stop").click()
    settled(page, "cancelled")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_a_yes_for_the_conversation_shows_what_it_writes_and_answers_the_next_time(chat) -> None:
    page = chat()
    say(page, "/shell.run script='echo the same'")
    card = settled(page, "waiting")
    card.get_by_text("Allow for longer").click()
    expect(card.locator(".further pre")).to_contain_text('run = ["/usr/bin/bash", "-c", "echo the same"]')
    wider = card.get_by_role("button", name="Allow in this conversation")
    expect(wider).to_be_enabled()
    expect(card.get_by_role("button", name="Allow this exact command for 30 days")).to_have_count(0)
    wider.click()
    settled(page, "done")
    say(page, "/shell.run script='echo the same'")
    expect(page.locator('.card[data-state="done"]')).to_have_count(2)
    expect(page.locator("#waiting-bar")).to_be_hidden()


def test_a_refusal_keeps_its_reason_and_the_card_says_so(chat) -> None:
    page = chat()
    say(page, "/shell.run script='rm -rf .'")
    card = settled(page, "waiting")
    card.get_by_label("Reason (optional)").fill("not in this folder")
    card.get_by_label("Reason (optional)").press("Enter")
    expect(settled(page, "waiting")).to_be_visible()  # Enter in the reason answers nothing
    expect(card.get_by_role("button", name="Refuse")).to_be_enabled()
    card.get_by_role("button", name="Refuse").click()
    expect(settled(page, "refused")).to_contain_text("not in this folder")


def test_everything_works_by_keyboard_alone(chat) -> None:
    page = chat()
    page.keyboard.type("/shell")
    page.keyboard.press("Tab")  # writes the command
    expect(page.locator("#message")).to_have_value("/shell.run ")
    page.keyboard.type("script='echo by keyboard'")
    page.keyboard.press("Enter")
    card = settled(page, "waiting")
    expect(page.locator("#message")).to_be_focused()  # the card does not take the focus
    page.keyboard.press("Control+Enter")  # and outside it, this approves nothing
    expect(card.get_by_role("button", name="Approve once")).to_be_enabled()
    expect(settled(page, "waiting")).to_be_visible()
    page.locator("#waiting-show").focus()
    page.keyboard.press("Enter")
    expect(card.locator(".card-head")).to_be_focused()
    page.keyboard.press("Control+Enter")
    done = settled(page, "done")
    tab = done.get_by_role("tab", name="Output")
    tab.focus()
    page.keyboard.press("ArrowRight")
    expect(done.get_by_role("tab", name="Sandbox")).to_be_focused()
    expect(done.get_by_role("tab", name="Sandbox")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Control+Shift+O")
    page.locator("#hero").wait_for()


def test_two_clicks_are_one_answer(chat) -> None:
    page = chat()
    say(page, "/shell.run script='echo once >> twice.txt; cat twice.txt'")
    button = settled(page, "waiting").get_by_role("button", name="Approve once")
    expect(button).to_be_enabled()
    button.dblclick(force=True)
    expect(settled(page, "done").locator(".output").first).to_have_text("once\n")


def test_the_approvals_page_answers_too(chat, server) -> None:
    page = chat()
    say(page, "/shell.run script='echo from the other page; sleep 60'")
    settled(page, "waiting")
    page.goto(server.origin + "/approvals")
    approve(page)
    settled(page, "running").get_by_role("button", name="End this call").click()
    expect(settled(page, "cancelled")).to_contain_text("from the other page")
    expect(page.locator("#waiting-badge")).to_be_hidden()


def test_what_cannot_be_called_comes_back_with_the_reason(chat) -> None:
    page = chat()
    say(page, "/git.log limit=many")
    expect(page.locator("#composer-problem")).to_contain_text("limit")
    expect(page.locator("#message")).to_have_value("/git.log limit=many")
    expect(page.locator(".card")).to_have_count(0)


def test_hostile_text_is_shown_and_not_interpreted(chat) -> None:
    page = chat()
    hostile = "<img src=https://evil.example/x onerror=alert(1)><script>alert(2)</script> \u202eback \u200b \x1b[31m"
    say(page, hostile)
    expect(page.locator(".bubble").last).to_contain_text("<img src=https://evil.example/x onerror=alert(1)>")
    expect(page.locator(".bubble").last.locator(".mark")).to_have_count(3)
    # Sent as a typed line: the shell's own quotes inside the parser's. An escape character itself no policy lets pass.
    say(page, "/shell.run script=" + json.dumps(f"printf '%s\033[31m' '{hostile[:-6]}'", ensure_ascii=False))
    expect(settled(page, "waiting").locator(".panel-ask .mark")).to_have_count(2)
    approve(page)
    output = settled(page, "done").locator(".output").first
    expect(output).to_contain_text("<script>alert(2)</script>")
    expect(output.locator(".mark")).to_have_count(3)
    expect(page.locator("#thread img, #thread script")).to_have_count(0)
    page.reload()
    expect(page.locator("#conversations a[aria-current=page]")).to_contain_text("<img")
    expect(page.locator("#thread img, #thread script")).to_have_count(0)


def test_a_script_is_taken_apart_beside_its_exact_arguments(chat) -> None:
    page = chat()
    script = " rm -rf /tmp/x; cat < in | sort > out; $CMD \u202e " + "long " * 600
    say(page, "/shell.run script=" + json.dumps(script, ensure_ascii=False))
    card = settled(page, "waiting")
    panel = card.locator(".panel-ask")
    expect(panel.locator(".script code")).to_have_text(["rm", "cat", "sort", "< in", "> out"])
    expect(panel.locator(".script")).to_contain_text("put together while it runs")
    expect(panel.locator(".note-external")).to_contain_text("removes everything")
    summary = panel.locator(".argv summary")
    expect(summary).to_contain_text("␠rm -rf /tmp/x; cat < in | sort > out;")
    expect(summary).to_contain_text("‹U+202E›")
    expect(summary).to_contain_text("· sha256:")
    summary.click()
    expect(panel.locator(".argv details")).to_have_attribute("open", "")
    panel.get_by_role("button", name="Refuse").click()
    expect(settled(page, "refused")).to_be_visible()


def test_injected_html_could_not_run_or_load_anything(chat) -> None:
    page = chat(expected=("Content Security Policy",))
    blocked = page.evaluate(
        """() => new Promise((resolve) => {
             const seen = [];
             document.addEventListener("securitypolicyviolation", (event) => {
               seen.push(event.effectiveDirective);
               if (seen.length === 2) resolve(seen.sort());
             });
             const box = document.createElement("div");
             box.innerHTML = "<img src='https://elsewhere.example/x.png'>";
             document.body.append(box);
             const script = document.createElement("script");
             script.textContent = "window.ran = true";
             document.body.append(script);
           })"""
    )
    assert blocked == ["img-src", "script-src-elem"]
    assert page.evaluate("window.ran") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen(chat, scheme, server) -> None:
    page = chat(color_scheme=scheme, expected=("status of 404",), **NARROW)
    assert no_sideways_scroll(page)
    page.locator("#show-tools").click()
    assert no_sideways_scroll(page)
    page.keyboard.press("Escape")
    say(page, "/shell.run script='echo " + "x" * 300 + "; uname -a'")
    settled(page, "waiting")
    assert no_sideways_scroll(page)
    approve(page)
    card = settled(page, "done")
    for name in ("Command", "Output", "Sandbox", "JSON"):
        card.get_by_role("tab", name=name).click()
        assert no_sideways_scroll(page), name
    page.locator(".drawer-open").click()
    expect(page.locator(".sidebar-close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".drawer-open")).to_be_focused()
    for path in ("/approvals", "/nothing-here"):
        page.goto(server.origin + path)
        assert no_sideways_scroll(page)


def test_language_and_theme_are_kept(chat) -> None:
    page = chat(locale="fr-CA")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page.get_by_role("link", name="Nouvelle conversation").first).to_be_visible()
    page.locator("#user-menu summary").click()
    page.get_by_label("Sombre").check(force=True)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_label("English").check(force=True)
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_without_javascript_the_login_page_says_what_is_missing(watched_page, server, ada) -> None:
    page = watched_page(java_script_enabled=False)
    page.goto(server.origin + "/login")
    expect(page.locator("noscript p")).to_contain_text("JavaScript")


def test_a_session_whose_hour_is_over_goes_on_by_itself(chat) -> None:
    page = chat(expected=("status of 401",))
    say(page, "/files.list")
    settled(page, "done")
    here = page.url
    page.context.clear_cookies(name="toolhost-access")
    page.goto(here)
    settled(page, "done")
    expect(page).to_have_url(here)


def test_the_page_reconnects_and_says_so(watched_page) -> None:
    server = WebServer().start()
    try:
        server.set_up()
        page = watched_page(at=server, expected=("ERR_CONNECTION_", "WebSocket connection"))
        page.goto(server.origin + "/login")
        page.get_by_label("Name").fill("ada")
        page.locator("#password").fill(PASSWORD)
        page.locator("#password").press("Enter")
        page.locator("#connection[data-state=online]").wait_for()
        say(page, "/shell.run script='echo still here'")
        settled(page, "waiting")
        port = server.port
        server.end()
        expect(page.locator("#connection")).to_have_text("Reconnecting…")
        again = threading.Thread(target=server.start, kwargs={"port": port})
        again.start()
        again.join(60)
        expect(page.locator("#connection")).to_have_text("Connected", timeout=30_000)
        approve(page)
        expect(settled(page, "done").locator(".output").first).to_have_text("still here\n")
        page.context.close()
    finally:
        server.close()


def test_a_long_output_and_the_rest_of_it(chat) -> None:
    page = chat()
    say(page, "/shell.run script='seq 1 20000'")
    approve(page)
    card = settled(page, "done")
    output = card.locator(".output").first
    expect(output).to_contain_text("\n500\n")
    expect(output).not_to_contain_text("\n20000\n")
    card.get_by_role("button", name=re.compile("Show all")).click()
    expect(output).to_contain_text("\n20000\n")
