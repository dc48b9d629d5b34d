"""Answers that count again, and many at once, as a person gives and takes them back."""

from __future__ import annotations

import re
import sqlite3

from playwright.sync_api import expect

NARROW = {"viewport": {"width": 360, "height": 740}}


def say(page, text: str) -> None:
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def press(page, name: str) -> None:
    button = page.get_by_role("button", name=name)
    expect(button).to_be_enabled()
    button.click()


def test_a_standing_yes_is_listed_counts_everywhere_and_is_taken_back(chat, server) -> None:
    page = chat(color_scheme="dark")
    say(page, "/note.take word=hello")
    page.get_by_text("Allow for longer").click()
    press(page, "Allow this exact command for 30 days")
    expect(page.locator(".card[data-state=done]")).to_have_count(1)
    page.goto(server.origin + "/")
    say(page, "/note.take word=hello")
    expect(page.locator(".card[data-state=done]")).to_have_count(1)
    page.goto(server.origin + "/settings/approvals")
    grant = page.locator("[data-grant]").filter(has_text="note.take")
    expect(grant.locator(".argv li")).to_have_text(["/usr/bin/echo", "hello"])
    expect(grant).to_contain_text(re.compile(r"Ends.*\d{4}"))
    expect(grant).to_contain_text("(1 in all)")
    expect(grant).to_contain_text("note.toml:3")
    page.set_viewport_size(NARROW["viewport"])
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    grant.get_by_role("button", name="Revoke").click()
    expect(grant).to_have_count(0)
    page.goto(server.origin + "/")
    say(page, "/note.take word=hello")
    expect(page.locator(".card[data-state=waiting]")).to_have_count(1)


def test_everything_shown_is_refused_at_once_and_nothing_approves_more_than_one(chat, server, ada) -> None:
    asked = [ada.call("shell.run", script=f"echo {number}").json["approval_id"] for number in range(3)]
    page = chat()
    page.goto(server.origin + "/approvals")
    expect(page.get_by_role("button", name="Approve all")).to_have_count(0)
    press(page, "Refuse all")
    expect(page.locator(".card[data-state=waiting]")).to_have_count(0)
    expect(page.get_by_role("button", name="Refuse all")).to_be_hidden()
    expect(page.locator(".card[data-state=refused]").first).to_be_visible()
    expect(page.get_by_role("button", name="Call again")).to_have_count(0)  # that is where the conversation is
    expect(page.locator("#waiting-badge")).to_be_hidden()
    assert ada.get("/api/approvals").json["approvals"] == []
    answers = {ada.post(f"/api/approvals/{one}", {"decision": "approve"}).code for one in asked}
    assert answers == {"approval_answered"}


def test_a_question_says_what_runs_and_within_what_and_settles_itself_when_its_time_is_over(chat, server) -> None:
    page = chat()
    say(page, "/note.take word=late")
    card = page.locator(".card[data-state=waiting]")
    expect(card.locator(".panel-ask h4")).to_have_text("Run echo?")
    expect(card.locator(".panel-ask")).to_contain_text("HOME")
    expect(card.locator(".panel-ask")).to_contain_text(re.compile(r"Time \d+ s"))
    with sqlite3.connect(server.data / "state" / "toolhost.db", timeout=20) as database:
        database.execute("UPDATE approvals SET expires = 1 WHERE state = 'pending'")
    expect(page.locator(".card[data-state=expired]")).to_contain_text("Nobody answered in time")
    expect(page.get_by_role("button", name="Approve once")).to_have_count(0)
    expect(page.locator("#waiting-bar")).to_be_hidden()


def test_a_change_is_seen_as_a_diff_and_another_call_is_made_of_it_with_the_keyboard(chat) -> None:
    page = chat()
    say(page, "/files.write path=a.txt content='one two'")
    card = page.locator(".card[data-state=waiting]")
    expect(card.locator(".diff-new")).to_have_text("+one two")
    expect(card.locator(".danger")).to_contain_text("Medium risk")
    expect(card.get_by_role("button", name="Approve once")).to_be_enabled()
    card.get_by_text("Modify…").focus()
    page.keyboard.press("Enter")
    field = card.locator("textarea[name=content]")
    expect(field).to_have_value("one two")
    expect(card.locator("input[name=path]")).to_be_focused()
    card.locator("input[name=path]").fill("")
    page.keyboard.press("Control+Enter")
    expect(card.locator("[data-approval-problem]")).to_contain_text("path is required")
    card.locator("input[name=path]").fill("b.txt")
    field.fill("\nthree\r\n")
    field.press("Control+Enter")
    expect(page.locator(".card[data-state=refused]")).to_contain_text("the arguments were changed")
    expect(card.locator(".diff-new")).to_have_text(["+", "+three"])
    page.set_viewport_size({"width": 320, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    press(page, "Approve once")
    expect(page.locator(".card[data-state=done]")).to_contain_text("b.txt")


def test_a_call_is_changed_on_the_page_of_all_questions(chat, server, ada) -> None:
    ada.call("shell.run", script="echo before")
    page = chat()
    page.goto(server.origin + "/approvals")
    card = page.locator(".card[data-state=waiting]")
    card.get_by_text("Modify…").click()
    card.locator("textarea[name=script]").fill("echo after")
    card.get_by_role("button", name="Make the changed call").click()
    expect(page.locator(".card[data-state=refused]")).to_have_count(1)
    expect(card.locator(".panel-ask .argv li").last).to_have_text("echo after")
    press(page, "Approve once")
    expect(page.locator(".card[data-state=done]")).to_contain_text("after")


def test_what_is_asked_and_answered_elsewhere_is_seen_without_a_reload(chat, server, ada) -> None:
    page = chat()
    beside = chat()
    beside.goto(server.origin + "/settings/appearance")
    page.goto(server.origin + "/approvals")
    expect(page.locator("#connection")).to_have_attribute("data-state", "online")
    refuse_all, before = page.get_by_role("button", name="Refuse all"), len(ada.get("/api/approvals").json["approvals"])
    first, second = (ada.call("shell.run", script=f"echo {word}").json for word in ("first", "second"))
    card = page.locator(f"#call-{first['call_id']}")
    reason = card.get_by_placeholder("Reason")
    reason.fill("not that")
    expect(refuse_all).to_be_visible()
    for one in (page, beside):
        expect(one.locator("#waiting-badge")).to_have_text(str(before + 2))
    ada.post(f"/api/approvals/{second['approval_id']}", {"decision": "approve"})
    expect(page.locator(f"#call-{second['call_id']}[data-state=done]")).to_contain_text("second")
    expect(reason).to_have_value("not that")  # and is still being written
    expect(reason).to_be_focused()
    ada.post(f"/api/approvals/{first['approval_id']}", {"decision": "refuse"})
    expect(page.locator(f"#call-{first['call_id']}[data-state=refused]")).to_be_visible()
    for one in (page, beside):
        expect(one.locator("#waiting-badge")).to_have_text(str(before))
