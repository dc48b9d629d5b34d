"""What comes between a person and what they are doing: lost connections, ended sessions, two things at once."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect
from webserver import PASSWORD, Person, WebServer

CUT = 4000
SIGNED_OUT = 4401


def say(page: Page, text: str) -> None:
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def card(page: Page, state: str):
    return page.locator(f".card[data-state={state}]")


def sign_out(page: Page) -> None:
    page.locator("#user-menu summary").click()
    page.get_by_role("button", name="Sign out").click()


class Line:
    """The sockets of a page, which a test may cut."""

    def __init__(self, page: Page) -> None:
        self.sockets: list[WebSocketRoute] = []
        page.route_web_socket(re.compile("/ws/chat"), self._opened)

    def _opened(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.connect_to_server()

    def cut(self, code: int = CUT) -> None:
        self.sockets[-1].close(code=code)


@pytest.fixture
def signed_in(watched_page: Callable[..., Page], server: WebServer, ada: Person) -> Callable[..., Page]:
    """A page that is signed in and has asked for nothing yet."""

    def open_page(**options: object) -> Page:
        page = watched_page(**options)
        for name, cookie in Person(server).sign_in("ada").cookies.items():
            kept = {"name": name, "value": cookie.value, "sameSite": cookie["samesite"], "httpOnly": True}
            page.context.add_cookies([{**kept, "url": server.origin}])  # type: ignore[list-item]
        return page

    return open_page


def begin(page: Page, server: WebServer, path: str = "/") -> None:
    page.goto(server.origin + path)
    page.locator("#connection[data-state=online]").wait_for()


def test_what_came_while_the_thread_was_read_again_and_what_was_typed_stay(signed_in, server, ada) -> None:
    made = ada.conversation(title="cut off")
    ada.call("files.list", made)
    ada.call("shell.run", made, script="echo asked")
    page = signed_in()
    line = Line(page)
    begin(page, server, f"/c/{made}")
    reason = card(page, "waiting").get_by_label("Reason (optional)")
    reason.fill("half a rea")
    page.locator("#message").fill("/files.list")
    page.evaluate("document.querySelector('.card[data-state=done]').dataset.before = 'yes'")
    held: list[tuple[Route, object]] = []
    page.route("**/thread", lambda route: held.append((route, route.fetch())))
    with page.expect_request("**/thread"):
        line.cut()
    page.locator("#connection[data-state=online]").wait_for()
    page.locator("#message").press("Enter")  # before the thread that the server had rendered arrives
    expect(card(page, "done")).to_have_count(2)
    reason.focus()
    route, response = held[0]
    route.fulfill(response=response)  # type: ignore[arg-type]
    expect(page.locator("[data-before]")).to_have_count(0)
    expect(card(page, "done")).to_have_count(2)
    expect(reason).to_have_value("half a rea")
    expect(reason).to_be_focused()
    page.locator("#message").focus()
    page.unroute("**/thread")


def test_one_lost_connection_is_replaced_by_one(signed_in, server) -> None:
    page = signed_in()
    page.clock.install()
    line = Line(page)
    begin(page, server)
    asked: list[Route] = []
    page.route("**/api/auth/me", lambda route: asked.append(route))
    with page.expect_request("**/api/auth/me"):
        line.cut(SIGNED_OUT)  # the page asks whether its session still stands
    page.evaluate("window.dispatchEvent(new Event('online'))")  # and hurries meanwhile
    page.locator("#connection[data-state=online]").wait_for()
    with page.expect_response("**/api/auth/me"):
        asked[0].continue_()
    page.evaluate("navigator.locks.request('toolhost-refresh', () => {})")  # it has its answer
    page.clock.fast_forward(20_000)
    page.locator("#connection[data-state=online]").wait_for()
    assert len(line.sockets) == 2


def test_a_session_that_ends_leaves_the_draft_where_it_was(signed_in, server) -> None:
    page = signed_in(expected=("status of 401",))
    line = Line(page)
    begin(page, server)
    say(page, "/files.list")
    expect(card(page, "done")).to_have_count(1)
    here = page.url
    page.locator("#message").fill("a long thought")
    page.context.clear_cookies()
    line.cut(SIGNED_OUT)
    page.wait_for_url("**/login?next=*")  # its scripts too
    page.get_by_label("Name").fill("ada")
    page.locator("#password").fill(PASSWORD)
    page.locator("#password").press("Enter")
    page.wait_for_url(here)
    expect(page.locator("#message")).to_have_value("a long thought")
    sign_out(page)
    page.wait_for_url(server.origin + "/login")
    assert "a long thought" not in page.evaluate("JSON.stringify(sessionStorage)")


def test_a_command_that_comes_between_leaves_the_draft_where_it_was(chat) -> None:
    page = chat()
    message = page.locator("#message")
    message.fill("a long thought")
    page.locator("#show-tools").click()
    expect(message).to_have_value("/")
    page.keyboard.press("Escape")
    expect(message).to_have_value("a long thought")
    page.locator("#send").focus()
    page.keyboard.press("/")
    page.keyboard.type("files.list")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(card(page, "done")).to_have_count(1)
    expect(message).to_have_value("a long thought")


def test_a_form_that_is_sent_twice_is_one_call(chat) -> None:
    page = chat()
    page.locator("#message").fill("/files.write")
    page.keyboard.press("Enter")
    form = page.locator("#tool-form")
    form.get_by_label("path").fill("twice.txt")
    form.get_by_label("content").fill("once")
    # Not by the mouse: its second click falls on whatever is there by then.
    form.locator("form").evaluate("form => { form.requestSubmit(); form.requestSubmit(); }")
    expect(form).to_be_hidden()
    say(page, "/files.list")
    expect(page.locator(".card").last).to_contain_text("files.list")
    expect(page.locator('.card[data-tool="files.write"]')).to_have_count(1)


def test_escape_closes_what_is_open_and_stops_what_runs_only_then(chat) -> None:
    page = chat()
    say(page, "/shell.run script='echo started; sleep 60'")
    button = card(page, "waiting").get_by_role("button", name="Approve once")
    expect(button).to_be_enabled()
    button.click()
    expect(card(page, "running").locator(".output").first).to_contain_text("started")
    page.locator("#message").focus()
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    page.locator("#user-menu summary").click()
    page.keyboard.press("Escape")
    expect(page.locator("#user-menu")).not_to_have_attribute("open", "")
    finder = card(page, "running").get_by_label("Find")
    finder.fill("started")
    finder.press("Escape")
    expect(page.locator("#stop")).to_be_visible()
    expect(card(page, "running")).to_have_count(1)
    page.locator("#message").focus()
    page.keyboard.press("Escape")
    expect(card(page, "cancelled")).to_have_count(1)


def test_a_file_dropped_before_there_is_a_conversation_is_told_where_it_can_go(chat) -> None:
    page = chat()
    taken = page.evaluate(
        """() => {
             const files = new DataTransfer();
             files.items.add(new File(["x"], "x.txt"));
             const drop = new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
             document.body.dispatchEvent(drop);
             return drop.defaultPrevented;  // else the browser would leave the page for the file
           }"""
    )
    assert taken
    expect(page.locator("#files")).to_contain_text("send its first message")


def test_an_unreachable_server_is_said_and_the_answer_may_be_given_again(signed_in, server, ada) -> None:
    made = ada.conversation(title="unreachable")
    ada.call("shell.run", made, script="echo unreached")
    page = signed_in(expected=("ERR_FAILED",))
    page.goto(server.origin + "/approvals")
    waiting = page.locator(".card").filter(has_text="echo unreached")
    page.route("**/api/approvals/*", lambda route: route.abort())
    refuse = waiting.get_by_role("button", name="Refuse")
    expect(refuse).to_be_enabled()
    refuse.click()
    expect(waiting.get_by_role("alert")).to_contain_text("The server cannot be reached.")
    page.unroute("**/api/approvals/*")
    expect(refuse).to_be_enabled()
    refuse.click()
    expect(waiting).to_have_attribute("data-state", "refused")


def test_whoever_types_fast_in_the_palette_gets_what_they_typed(chat) -> None:
    page = chat()
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-list li").first).to_be_visible()
    page.locator("#palette-input").fill("Keys")
    page.keyboard.press("Enter")
    expect(page.locator("#keys")).to_be_visible()


def test_a_connection_that_outlives_the_network_is_shown_as_there(chat) -> None:
    page = chat(expected=("ERR_INTERNET_DISCONNECTED",))
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    page.context.set_offline(False)
    expect(page.locator("#connection")).to_have_attribute("data-state", "online")


def test_a_refusal_beside_the_composer_is_in_the_pages_language_and_then_in_the_hosts(chat) -> None:
    page = chat(locale="fr-FR")
    say(page, "/nothing.here")
    problem = page.locator("#composer-problem")
    expect(problem).to_contain_text("Cet outil n’existe pas")
    expect(problem.locator("[lang=en]")).to_contain_text("There is no tool 'nothing.here' here.")
    expect(problem.locator("code")).to_have_text("/")


def test_the_palette_says_that_nobody_answers(chat) -> None:
    page = chat(expected=("ERR_FAILED",))
    page.route("**/ui/search**", lambda route: route.abort())
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-list")).to_have_text("The server cannot be reached. Try again in a moment.")


def test_whoever_cannot_sign_out_goes_on_where_they_were(chat) -> None:
    page = chat(expected=("ERR_FAILED",))
    say(page, "/files.list")
    expect(card(page, "done")).to_have_count(1)
    page.locator("#message").fill("a long thought")
    held: list[Route] = []
    page.route("**/api/auth/logout", lambda route: held.append(route))
    with page.expect_request("**/api/auth/logout"):
        sign_out(page)
    page.keyboard.press("Control+k")  # what it asks for waits, and is not lost
    held[0].abort()
    expect(page.locator("#toast")).to_contain_text("The server cannot be reached.")
    expect(page.locator("#palette-list li").first).to_be_visible()
    page.keyboard.press("Escape")
    page.reload()
    expect(page.locator("#message")).to_have_value("a long thought")


def test_the_connection_of_whoever_cannot_sign_out_comes_back(chat) -> None:
    page = chat(expected=("ERR_FAILED",))
    page.route("**/api/auth/logout", lambda route: route.abort())
    sign_out(page)
    expect(page.locator("#toast")).to_contain_text("The server cannot be reached.")
    say(page, "/files.list")
    expect(card(page, "done")).to_have_count(1)


def test_whoever_signs_out_of_a_session_that_has_ended_leaves_nothing_behind(chat, server) -> None:
    page = chat(expected=("status of 401",))
    page.locator("#message").fill("a long thought")
    page.context.clear_cookies()
    sign_out(page)
    page.wait_for_url(server.origin + "/login")
    assert "a long thought" not in page.evaluate("JSON.stringify(sessionStorage)")
