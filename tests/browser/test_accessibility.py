"""What people with a screen reader, or without a mouse, meet: axe finds nothing serious on any page, in both themes."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from webserver import Person, WebServer

PATHS = (
    "/",
    "/?tour=1",
    "/approvals",
    "/welcome",
    "/settings/profile",
    "/settings/appearance",
    "/settings/approvals",
    "/settings/data",
    "/settings/security",
    "/settings/sessions",
    "/settings/keys",
    "/admin/people",
    "/admin/policies",
    "/admin/plugins",
    "/admin/models",
    "/admin/security",
    "/admin/incident",
)


def findings(page: Page, where: str, scheme: str) -> list[str]:
    """What axe calls serious or critical. A page in the dark differs in its colours alone."""
    options: dict[str, object] = {"resultTypes": ["violations"]}
    if scheme == "dark":
        options["runOnly"] = {"type": "rule", "values": ["color-contrast"]}
    answer = Axe().run(page, options=options).response
    return [
        f"{where}: {found['id']} ({found['impact']}): {[node['html'][:160] for node in found['nodes'][:3]]}"
        for found in answer["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@pytest.fixture(scope="module")
def talk(server: WebServer, ada: Person) -> str:
    """A conversation with a card in each state that stays, Markdown, and external content."""
    made = ada.conversation(title="everything", workspace="garden")
    with ada.socket() as socket:
        socket.send(
            "message",
            text="# Head\n\n**bold** `code` [link](https://a.example)\n\n```python\nx = 1  # c\n```",
            conversation_id=made,
        )
        socket.to_the_end()
    for tool, arguments in (("git.log", {}), ("git.push", {}), ("files.read", {"path": "missing"})):
        ada.call(tool, made, **arguments)
    asked = ada.call("shell.run", made, script="echo one; cat nothing")
    ada.post(f"/api/approvals/{asked.json['approval_id']}", {"decision": "approve"})
    asked = ada.call("shell.run", made, script="echo two")
    ada.post(f"/api/approvals/{asked.json['approval_id']}", {"decision": "refuse"})
    ada.call("note.take", made, word="three")
    return made


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_finding(chat, watched_page, server, ada, talk, scheme) -> None:
    found: list[str] = []
    door = watched_page(color_scheme=scheme, expected=("status of",))
    for path in ("/login", "/shared", "/nothing-here"):
        door.goto(server.origin + path)
        found += findings(door, path, scheme)
    page = chat(color_scheme=scheme, expected=("status of",))
    for path in PATHS:
        page.goto(server.origin + path)
        expect(page.locator("#main")).to_be_visible()
        found += findings(page, path, scheme)
    page.goto(f"{server.origin}/c/{talk}")
    expect(page.locator(".card[data-state=waiting] [data-decision=approve]").first).to_be_enabled()
    found += findings(page, "conversation", scheme)
    for tab in ("Command", "Sandbox", "JSON"):
        page.locator(".card[data-state=done]").first.get_by_role("tab", name=tab).click()
    for further in page.locator(".card[data-state=waiting] .further summary").all():
        further.click()
    expect(page.locator(".modify-fields [data-kind]").first).to_be_visible()
    found += findings(page, "tabs", scheme)
    page.locator("#files-toggle").click()
    expect(page.locator("#files")).to_be_visible()
    found += findings(page, "files", scheme)
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-list li").first).to_be_visible()
    found += findings(page, "palette", scheme)
    page.keyboard.press("Escape")
    page.locator("#show-tools").click()
    found += findings(page, "tools", scheme)
    page.keyboard.press("Escape")
    page.locator("#user-menu summary").click()
    found += findings(page, "menu", scheme)
    assert found == []


def test_enlarged_four_times_everything_is_in_reach(chat, talk) -> None:
    page = chat(f"/c/{talk}", viewport={"width": 320, "height": 256})
    page.mouse.move(160, 130)
    page.mouse.wheel(0, 1_000_000)
    expect(page.locator("#send")).to_be_in_viewport(ratio=1)
    page.mouse.wheel(0, -1_000_000)
    page.locator(".drawer-open").click()
    page.mouse.wheel(0, 1_000_000)
    expect(page.locator("#user-menu summary")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_on_paper_is_all_that_was_said_and_nothing_to_press(chat, talk) -> None:
    page = chat(f"/c/{talk}", color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator("#sidebar")).to_be_hidden()
    expect(page.locator("#composer")).to_be_hidden()
    assert page.evaluate(
        "[...document.querySelectorAll('#main, .output')].every((one) => getComputedStyle(one).overflowY === 'visible')"
    )
    assert page.evaluate("document.documentElement.scrollHeight >= document.querySelector('#thread').offsetHeight")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 31, 30)"
