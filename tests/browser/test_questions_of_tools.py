"""What a plugin does to an open page: its tool asks the person something, and its tools come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from driver import own
from playwright.sync_api import Page, expect
from webserver import WebServer

CODE = """
from toolhost import ToolContext, hookimpl, tool

@tool
async def choose(ctx: ToolContext) -> str:
    "Ask which, and then why."
    chosen = await ctx.ask("Which <one>?", ["left", "right"])
    return f"{chosen}, because {await ctx.ask('Why?')}"

@hookimpl
def register_tools(register):
    register(choose)
"""
POLICY = 'plugin = "asks"\n[tools]\nallow = ["choose"]\n'


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    running = WebServer()
    try:
        folder = running.data / "plugins" / "asks"
        folder.mkdir(parents=True)
        (folder / "plugin.toml").write_text('name = "asks"\nversion = "1"\nabout = "A test."\nmodule = "asks_code"\n')
        (folder / "asks_code.py").write_text(CODE)
        (running.data / "policies").mkdir()
        (running.data / "policies" / "asks.toml").write_text(POLICY)
        own(running.data)
        yield running.start()
    finally:
        running.close()


def test_a_person_answers_what_a_tool_asks_and_sees_tools_come_and_go(
    chat: Callable[..., Page], server: WebServer
) -> None:
    page = chat()
    page.locator("#message").fill("/asks.choose")
    page.locator("#message").press("Enter")
    form = page.locator("[data-inquiry]")
    expect(form.locator("h4")).to_have_text("The plugin asks asks you")
    expect(form.locator(".said")).to_have_text("Which <one>?")
    form.get_by_label("right").check()
    form.get_by_role("button", name="Answer").click()
    expect(form.locator(".said")).to_have_text("Why?")
    form.locator("textarea").fill("it is")
    form.get_by_role("button", name="Answer").click()
    expect(page.locator(".card[data-state=done] .output").first).to_contain_text("right, because it is")

    beside = chat()
    beside.goto(server.origin + "/approvals")
    expect(beside.locator("#nothing")).to_be_visible()
    page.locator("#message").fill("/asks.choose")
    page.locator("#message").press("Enter")
    expect(beside.locator("#asked a")).to_have_text("/asks.choose")
    expect(beside.locator("#waiting-badge")).to_have_text("1")
    form.get_by_role("button", name="Say nothing").click()
    expect(page.locator(".card[data-state=error]")).to_contain_text("did not want to answer")
    expect(beside.locator("#asked")).to_be_hidden()
    expect(beside.locator("#nothing")).to_be_visible()

    offered = page.locator('[data-tool="asks.choose"][role=option]')
    expect(offered).to_have_count(1)
    policy = server.data / "policies" / "asks.toml"
    policy.unlink()
    expect(offered).to_have_count(0, timeout=60_000)
    policy.write_text(POLICY)
    expect(offered).to_have_count(1, timeout=60_000)
