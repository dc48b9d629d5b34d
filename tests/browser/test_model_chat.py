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
