"""The pages of those who look after the server, as they use them from day to day and when something is wrong."""

from __future__ import annotations

import tarfile

from playwright.sync_api import Page, expect
from shots import look


def fits(page: Page) -> bool:
    page.wait_for_load_state()  # with its style sheets
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def follow(page: Page, name: str, path: str) -> None:
    """To another page of the settings, until its script has been run."""
    page.locator(".settings-nav").get_by_role("link", name=name).click()
    page.wait_for_url(f"**{path}")


def both_ways(page: Page, name: str) -> None:
    """Look at a page as it is, and as narrow as a page gets."""
    look(page, name)
    page.set_viewport_size({"width": 320, "height": 1400})
    assert fits(page), name
    look(page, f"{name}-320")
    page.set_viewport_size({"width": 1280, "height": 1400})


def test_an_administrator_looks_at_what_happened_reviews_access_and_handles_an_incident(server, ada, chat) -> None:
    eve = server.add_user("eve")
    for _ in range(3):
        assert eve.call("files.read", path="../../etc/shadow").json["status"] == "denied"
    page = chat(viewport={"width": 1280, "height": 1400}, expected=("status of",))
    page.goto(server.origin + "/settings/profile")
    nav = page.locator(".settings-nav")
    expect(nav.locator("[data-unseen]")).to_contain_text("3")
    both_ways(page, "admin-badge")
    follow(page, "Security", "/admin/security")
    expect(page.locator('[data-count="denied"]')).to_have_text("3")
    expect(page.locator("#checklist [data-box]")).to_have_count(8)
    expect(nav.locator("[data-unseen]")).to_have_count(0)  # looking resets it
    both_ways(page, "admin-security")

    follow(page, "People", "/admin/people")
    page.get_by_role("button", name="I have reviewed all of it").click()
    expect(page.locator("#reviewed strong")).to_have_text("ada")
    expect(page.locator("#reviewed time")).not_to_be_empty()
    both_ways(page, "admin-review")

    follow(page, "Incident", "/admin/incident")
    shut_out = page.locator("#take-out").get_by_role("button", name="Shut out")
    expect(shut_out).to_be_disabled()
    both_ways(page, "admin-incident")
    page.get_by_label("One person").select_option("eve")
    shut_out.click()
    expect(page.locator("#take-out [data-said]")).to_have_text("Shut out: eve")
    assert eve.get("/api/auth/me").status == 401
    page.get_by_label("An address or a network").fill("127.0.0.1")
    page.get_by_role("button", name="Block it").click()
    expect(page.locator("#block [data-problem]")).to_be_visible()  # one's own address
    page.get_by_label("An address or a network").fill("203.0.113.7")
    page.get_by_role("button", name="Block it").click()
    expect(page.locator("#blocks")).to_contain_text("203.0.113.7/32")
    page.wait_for_load_state()
    page.get_by_role("button", name="Unblock").click()
    expect(page.locator("#blocks")).to_have_count(0)
    page.wait_for_load_state()
    page.locator("#quarantine select").select_option("note")
    page.get_by_label("Out of service: why?").fill("it repeats more than a word")
    page.get_by_role("button", name="Put it in quarantine").click()
    expect(page.locator("#quarantined")).to_contain_text("it repeats more than a word")
    expect(page.locator("#quarantined")).to_contain_text("toolhost plugin accept note")
    page.wait_for_load_state()
    page.get_by_label("What happened in").select_option("1")
    with page.expect_download() as offered:
        page.get_by_role("button", name="Download the evidence").click()
    with tarfile.open(offered.value.path()) as bundle:
        assert "audit.jsonl" in bundle.getnames()
    assert offered.value.suggested_filename.endswith(".tar.gz")
    expect(page.locator("#evidence [data-said]")).to_contain_text("The audit log is intact.")
    both_ways(page, "admin-quarantined")
    page.get_by_label("Stop everything: why?").fill("somebody got in")
    page.get_by_role("button", name="Stop everything").click()
    expect(page.locator("#stopped")).to_contain_text("somebody got in")
    page.wait_for_load_state()
    both_ways(page, "admin-stopped")
    assert ada.call("files.list").code == "panicked"
    page.goto(server.origin + "/")
    expect(page.locator("#main")).to_contain_text("no tool runs until it is resumed")
    page.goto(server.origin + "/admin/incident")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#stopped")).to_have_count(0)


def test_why_a_plugin_is_out_of_service_is_said_in_the_pages_language(server, chat) -> None:
    page = chat(locale="fr-FR")
    for path in ("/admin/plugins", "/admin/incident"):
        page.goto(server.origin + path)
        reason = page.locator("#main").get_by_text("Son plugin.toml contient une erreur.")
        expect(reason).to_be_visible()
        expect(reason.locator("[lang=en]")).to_contain_text("plugin.toml")  # and in the host's own words, with the line


def test_what_is_refused_is_said_in_the_pages_language(server, chat) -> None:
    page = chat(locale="fr-FR", expected=("status of",))
    page.goto(server.origin + "/settings/keys")
    page.get_by_label("À quoi sert-elle").fill("un éditeur")
    page.get_by_role("button", name="Créer la clé").click()
    expect(page.locator("#new-key [data-problem]")).to_have_text("Choisissez au moins une chose que la clé peut faire.")
    page.goto(server.origin + "/admin/people")
    page.locator("[data-user=ada] select").select_option("user")
    expect(page.locator("#people-problem")).to_have_text("C’est le seul administrateur qui peut se connecter.")


def test_what_is_being_typed_outlives_that_a_page_loads_itself_anew(server, chat, watched_page) -> None:
    page = chat()
    page.goto(server.origin + "/admin/incident")
    page.get_by_label("Stop everything: why?").fill("half a sen")
    page.get_by_label("One person").select_option("ada")
    page.get_by_label("An address or a network").fill("198.51.100.7")
    page.get_by_role("button", name="Block it").click()
    expect(page.locator("#blocks")).to_contain_text("198.51.100.7/32")
    expect(page.get_by_label("Stop everything: why?")).to_have_value("half a sen")
    expect(page.locator("#take-out").get_by_role("button", name="Shut out")).to_be_enabled()
    expect(page.get_by_label("An address or a network")).to_have_value("")  # that was done
    page.goto(server.origin + "/settings/keys")
    page.get_by_label("What is it for").fill("an editor")
    page.get_by_label("tools:run", exact=True).check()
    page.locator("#user-menu summary").click()
    page.locator("#user-menu").get_by_text("Français").click()
    expect(page.get_by_label("À quoi sert-elle")).to_have_value("an editor")
    expect(page.get_by_label("tools:run", exact=True)).to_be_checked()
    door = watched_page()
    door.goto(server.origin + "/login")
    door.get_by_label("Name").fill("ada")
    door.get_by_label("Password", exact=True).fill("correct horse")
    door.get_by_role("button", name="Français").click()
    expect(door.get_by_label("Nom")).to_have_value("ada")
    expect(door.get_by_label("Mot de passe", exact=True)).to_have_value("")  # a password is kept nowhere
