"""A conversation with a model, as a person sees and steers it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from chatting import AGENT, calls, chat_server, script
from modelserver import ModelServer
from playwright.sync_api import Page, expect
from shots import look
from webserver import Person, WebServer


@pytest.fixture(scope="module")
def models() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def server(models: ModelServer) -> Iterator[WebServer]:
    with chat_server(models, more=AGENT) as made:
        made.variables["TOOLHOST_SHARES"] = "true"
        yield made.start()


@pytest.fixture(scope="module")
def ada(server: WebServer) -> Person:
    return server.set_up("ada")


def say(page: Page, text: str) -> None:
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def answers(page: Page):
    return page.locator(".message-assistant:not(.message-draft)")


def quiet(page: Page) -> None:
    expect(page.locator("#stop")).to_be_hidden()


ANSWER = "Let me see.\n\n## Steps\n\n- **one**\n- `two`\n\n```python\nprint('hi')\n```\n\nAnd a last line."


def test_an_answer_appears_block_by_block_and_stays_as_markdown(chat) -> None:
    page = chat()
    say(page, script({"say": ANSWER + " \u202e" + " word" * 60, "delay": 0.05}))
    draft = page.locator(".message-draft")
    expect(draft.locator('[data-draft="settled"]')).to_contain_text("Let me see.")
    page.reload()  # in the middle of it: the same message goes on
    expect(answers(page)).to_have_count(1)
    answer = answers(page)
    expect(answer.get_by_role("heading", name="Steps")).to_be_visible()
    expect(answer.locator("code.x, .code-block")).to_have_count(1)
    expect(answer.locator(".mark")).to_have_count(1)
    expect(draft).to_have_count(0)
    quiet(page)
    look(page, "model-answer")


def test_a_call_of_the_model_asks_and_its_answer_follows(chat) -> None:
    page = chat(color_scheme="dark")
    say(
        page,
        script({"say": "I will run it.", **calls("shell.run", script="echo from the model")}, {"say": "It is done."}),
    )
    card = page.locator(".card[data-state=waiting]")
    expect(card).to_contain_text("echo from the model")
    expect(page.locator("#waiting-bar")).to_be_visible()
    button = card.get_by_role("button", name="Approve once")
    expect(button).to_be_enabled()
    look(page, "model-approval-dark")
    button.click()
    expect(page.locator(".card[data-state=done]")).to_have_count(1)
    expect(answers(page).last).to_contain_text("It is done.")
    expect(page.locator(".card")).to_have_count(1)


def test_a_message_is_edited_into_a_branch_and_back(chat) -> None:
    page = chat()
    say(page, "first words")
    expect(answers(page)).to_have_count(1)
    quiet(page)
    message = page.locator(".message-user")
    message.hover()
    message.get_by_role("button", name="Edit").click()
    page.locator(".entry-edit textarea").fill("second words")
    page.locator(".entry-edit textarea").press("Control+Enter")
    expect(answers(page)).to_contain_text("second words")
    quiet(page)
    expect(page.locator(".branches")).to_contain_text("2/2")
    page.locator(".branches").get_by_role("button", name="Earlier branch").click()
    expect(answers(page)).to_contain_text("first words")
    expect(page.locator(".branches")).to_contain_text("1/2")
    answers(page).get_by_role("button", name="Try again").click()
    expect(answers(page).locator(".branches")).to_contain_text("2/2")
    answers(page).get_by_role("button", name="A good answer", exact=True).click()
    expect(answers(page).get_by_role("button", name="A good answer", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    look(page, "branches")
    page.reload()
    expect(answers(page).get_by_role("button", name="A good answer", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )


def test_messages_wait_for_their_turn_and_stop_ends_what_runs(chat) -> None:
    page = chat()
    say(page, script({"words": 400, "delay": 0.05}))
    expect(page.locator(".message-draft")).to_be_visible()
    say(page, "the next thing")
    say(page, "not this")
    queue = page.locator("#queue li")
    expect(queue).to_have_count(2)
    look(page, "queue")
    queue.nth(1).get_by_role("button", name="Remove").click()
    expect(queue).to_have_count(1)
    queue.get_by_role("button", name="Edit").click()
    expect(page.locator("#message")).to_have_value("the next thing")
    say(page, "the changed thing")
    expect(queue).to_contain_text("the changed thing")
    page.locator("#stop").click()
    expect(answers(page).last).to_contain_text("the changed thing")
    expect(page.locator("#queue")).to_be_hidden()
    quiet(page)


def test_the_model_is_chosen_above_the_thread_and_its_trouble_is_told(chat) -> None:
    page = chat(viewport={"width": 320, "height": 700})
    page.locator("#model").select_option("missing")
    say(page, "hello")
    expect(page.locator(".message-error")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    look(page, "model-trouble-320")
    page.locator("#model").select_option("tiny")
    page.locator(".message-error").get_by_role("button", name="Try again").click()
    expect(answers(page)).to_contain_text("hello")
    page.reload()
    expect(page.locator("#model")).to_have_value("tiny")
    expect(page.locator(".model-note")).to_have_count(0)
    assert re.search("/c/", page.url)


def test_a_profile_is_chosen_above_the_thread_and_the_server_holds_it(chat) -> None:
    page = chat()
    page.locator("#profile").select_option("reader")
    say(page, script(calls("system.uname"), {"say": "I may not."}))
    expect(page.locator(".card[data-state=error]")).to_contain_text("tool_not_in_profile")
    expect(answers(page)).to_contain_text("I may not.")
    quiet(page)
    page.reload()
    expect(page.locator("#profile")).to_have_value("reader")
    look(page, "profile")


def test_a_conversation_is_shared_by_a_link_that_only_reads_and_is_taken_back(chat, watched_page, server) -> None:
    page = chat()
    say(page, "a word for others")
    expect(answers(page)).to_have_count(1)
    quiet(page)
    item = page.locator("#conversations li").filter(has_text="a word for others")
    item.hover()
    item.locator(".item-more").click()
    page.get_by_role("menuitem", name="Share").click()
    dialog = page.locator("#share-dialog")
    expect(dialog).to_be_visible()
    dialog.locator("#share-make").click()
    link = dialog.locator("#share-link")
    expect(link).to_have_value(re.compile("/shared#"))
    expect(dialog.locator("#share-list li")).to_have_count(1)
    look(page, "share-dialog")
    visitor = watched_page(at=server, expected=("status of 404",))
    visitor.goto(link.input_value())
    expect(visitor.locator(".message-assistant")).to_contain_text("a word for others")
    expect(visitor.locator("#thread button:not([data-code], [data-card], [role=tab])")).to_have_count(0)
    expect(visitor.locator("textarea")).to_have_count(0)
    look(visitor, "shared")
    dialog.get_by_role("button", name="Revoke").click()
    expect(dialog.locator("#share-list li")).to_have_count(0)
    visitor.reload()
    expect(visitor.locator("#problem")).to_be_visible()
    expect(visitor.locator(".message")).to_have_count(0)


def test_two_tabs_that_answer_at_once_run_the_call_once(chat) -> None:
    page = chat(expected=("409",))  # the answer that came second
    say(page, "/shell.run script='echo once >> counted; cat counted'")
    expect(page.locator(".card[data-state=waiting]")).to_have_count(1)
    other = page.context.new_page()
    other.goto(page.url)
    for tab in (page, other):
        expect(tab.get_by_role("button", name="Approve once")).to_be_enabled()
    for tab in (page, other):  # neither hears of the other's answer before it is sent
        tab.evaluate(
            "() => { const yes = document.querySelector('[type=submit][data-decision=approve]');"
            " yes?.focus(); yes?.form.requestSubmit(yes); }"
        )
    for tab in (page, other):
        expect(tab.locator(".card[data-state=done] .output").first).to_have_text("once\n")


def test_a_change_of_a_tool_is_undone_in_the_panel(chat) -> None:
    page = chat()
    say(page, "/files.write path=note.txt content=first")
    button = page.locator(".card[data-state=waiting]").get_by_role("button", name="Approve once")
    expect(button).to_be_enabled()
    button.click()
    expect(page.locator(".card[data-state=done]")).to_have_count(1)
    page.locator("#files-toggle").click()
    expect(page.locator(".file")).to_contain_text("note.txt")
    page.locator('[data-files="changes"]').click()
    expect(page.locator(".card[data-state=done]").last).to_contain_text("note.txt")
    page.locator('[data-files="undo"]').click()
    undo = page.locator('.card[data-tool="files.undo"]')
    expect(undo).to_have_attribute("data-state", re.compile("waiting|done"))
    if undo.get_attribute("data-state") == "waiting":
        expect(button).to_be_enabled()
        button.click()
    expect(page.locator(".file")).to_have_count(0)
    look(page, "files-undone")


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="


def test_files_are_dropped_onto_the_page_and_a_tool_s_picture_is_shown_in_its_card(chat) -> None:
    page = chat()
    say(page, "/files.list")
    expect(page.locator(".card[data-state=done]")).to_have_count(1)
    expect(page.locator("#external")).to_be_hidden()
    carried = page.evaluate_handle(
        """(pixel) => {
          const bytes = Uint8Array.from(atob(pixel), (char) => char.charCodeAt(0));
          const carried = new DataTransfer();
          carried.items.add(new File([bytes], "plot.png", { type: "image/png" }));
          return carried;
        }""",
        PIXEL,
    )
    for kind in ("dragenter", "dragover"):
        page.locator("#thread").dispatch_event(kind, {"dataTransfer": carried})
    expect(page.locator("body")).to_have_class(re.compile("dropping"))
    look(page, "files-dropping")
    page.locator("#thread").dispatch_event("drop", {"dataTransfer": carried})
    expect(page.locator(".file")).to_contain_text("plot.png")
    expect(page.locator("body")).not_to_have_class(re.compile("dropping"))
    expect(page.locator("#external")).to_be_visible()  # without a reload
    page.locator("#external summary").click()
    expect(page.locator("#external")).to_contain_text("Files that were uploaded")
    page.locator("#external summary").click()
    say(page, "/files.read path=plot.png")
    picture = page.locator(".card[data-state=done] img.produced")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 1)
    look(page, "card-picture")


def test_models_are_tested_by_a_button_at_the_first_run_and_later(chat, server) -> None:
    page = chat()
    for path in ("/welcome", "/admin/models"):
        page.goto(server.origin + path)
        for name, said in (("tiny", "ms"), ("nowhere", "cannot be reached")):
            row = page.locator("li").filter(has=page.locator(f'[data-test="{name}"]'))
            row.get_by_role("button").click()
            expect(row.get_by_role("status")).to_contain_text(said)
        look(page, "models" + path.replace("/", "-"))
