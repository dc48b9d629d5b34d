"""Password, second factor, sessions, keys and people, as a person uses the pages."""

from __future__ import annotations

import re
import sqlite3

from passlib.totp import TOTP
from playwright.sync_api import Page, expect
from shots import look
from webserver import PASSWORD


def sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def make_proofs_old(server) -> None:
    """As if everybody had given their password an hour ago."""
    database = sqlite3.connect(server.data / "state" / "toolhost.db", timeout=30)
    with database:
        database.execute("UPDATE sessions SET proved = proved - 3600000")
        database.execute("UPDATE access_changes SET number = number + 1")
    database.close()


def test_a_person_is_invited_sets_up_a_second_factor_and_signs_in_with_it(server, ada, watched_page) -> None:
    link = ada.post("/api/invitations", {"role": "user"}).json["path"]
    page = watched_page(expected=("401",))
    page.goto(server.origin + link)
    assert "token" not in page.url
    look(page, "invite")
    page.get_by_label("Name").fill("iris")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.locator("#message")).to_be_visible()

    page.goto(server.origin + "/settings/security")
    page.get_by_role("button", name="Set it up").click()
    secret = page.locator("#totp-secret")
    expect(secret).to_have_text(re.compile("[A-Z2-7 ]{32,}"))
    expect(page.locator("#totp-qr")).to_have_js_property("complete", True)
    assert page.locator("#totp-qr").evaluate("image => image.naturalWidth") > 100
    look(page, "settings-security-totp")
    device = TOTP(key=secret.inner_text().replace(" ", ""))
    page.get_by_label("The six digits").fill(device.generate().token)
    page.get_by_role("button", name="Turn it on").click()
    expect(page.locator(".codes li")).to_have_count(10)
    code = page.locator(".codes li").first.inner_text()
    look(page, "settings-security-codes")

    again = watched_page(expected=("401",))
    again.goto(server.origin + "/login")
    sign_in(again, "iris")
    again.get_by_label("Code of your second factor").fill(code)
    look(again, "login-totp")
    again.get_by_role("button", name="Sign in").click()
    expect(again.locator("#message")).to_be_visible()
    again.goto(server.origin + "/settings/sessions")
    expect(again.locator("#sessions li.block")).to_have_count(2)
    look(again, "settings-sessions-two")
    again.get_by_role("button", name="End it").click()
    expect(again.locator("#sessions li.block")).to_have_count(1)
    page.goto(server.origin + "/")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_key_is_made_after_the_password_was_given_again_and_is_shown_once(server, ada, watched_page) -> None:
    page = watched_page(expected=("403",))
    page.goto(server.origin + "/login")
    sign_in(page, "ada")
    expect(page.locator("#message")).to_be_visible()
    page.goto(server.origin + "/settings/keys")
    make_proofs_old(server)
    page.get_by_label("What is it for?").fill("backups")
    page.get_by_label("tools:read", exact=True).check()
    while not page.locator("#step-up").is_visible():  # the server notices within a second
        page.get_by_role("button", name="Make the key").click()
        page.locator("#step-up[open], #new-key button:enabled").first.wait_for(state="attached")
        if page.locator("#new-key").is_hidden():
            page.goto(server.origin + "/settings/keys")
            page.get_by_label("What is it for?").fill("backups")
            page.get_by_label("tools:read", exact=True).check()
    dialog = page.locator("#step-up")
    look(page, "step-up")
    dialog.get_by_label("Password").fill("not my password")
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog.get_by_role("alert")).to_have_text("The password is wrong.")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Go on").click()
    token = page.locator("#new-key-shown .token")
    expect(token).to_have_text(re.compile("^aio_[A-Za-z0-9]{32}$"))
    look(page, "settings-keys-shown")
    page.get_by_role("link", name="I have kept it").click()
    expect(page.locator("#keys li.block").first).to_contain_text("backups")
    expect(page.get_by_role("region", name="In an editor or an agent")).to_contain_text(f"{server.origin}/mcp")
    assert token.inner_text() == ""
    look(page, "settings-keys-list")


def test_an_administrator_changes_roles_and_makes_links(server, ada, watched_page) -> None:
    server.add_user("jon")
    page = watched_page(expected=("status of 409",))
    page.goto(server.origin + "/login")
    sign_in(page, "ada")
    expect(page.locator("#message")).to_be_visible()
    page.goto(server.origin + "/admin/people")
    row = page.locator('[data-user="jon"]')
    row.get_by_label("Role").select_option("viewer")
    expect(page.locator("[role=status]").filter(has_text="Done.").first).to_be_attached()
    assert next(one["role"] for one in ada.get("/api/users").json["users"] if one["username"] == "jon") == "viewer"
    expect(page.locator("#toast")).to_contain_text("Done.")
    own = page.locator('[data-user="ada"]').get_by_label("Role")
    own.select_option("user")
    expect(page.locator("#people-problem")).to_contain_text("only administrator")
    expect(own).to_have_value("admin")
    row.get_by_role("button", name="Link for a new password").click()
    expect(page.locator("#link-shown .token")).to_have_text(re.compile("/reset#token=.{43}$"))
    row.get_by_role("button", name="Shut out").click()
    expect(page.locator('[data-user="jon"]')).to_contain_text("shut out")
    look(page, "admin-people-jon")


def test_a_viewer_is_told_what_is_theirs(server, ada, watched_page) -> None:
    server.add_user("vera", "viewer")
    page = watched_page(expected=("status of 403",))
    page.goto(server.origin + "/login")
    sign_in(page, "vera")
    expect(page.locator("#hero .note")).to_have_text(
        "Your role reads and says nothing here. An administrator can change it."
    )
    expect(page.locator("#composer-form")).to_have_attribute("inert", "")
    expect(page.locator(".model-note")).to_have_count(0)  # which tells to call tools
    page.goto(server.origin + "/admin/people")
    expect(page.locator(".lead code").first).to_have_text("viewer")
