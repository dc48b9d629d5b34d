"""What the page does in a browser: the first word on the screen, the first paint, and the worst frame.

Measured by the browser's own clock in Debian's Chromium, headless. The bare proxy serves a page of its own, in which
the same browser reads the same stream: what is between them is what the chat adds.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bareproxy import BareProxy
from modelserver import KEY
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from report import p50, p95
from webserver import PASSWORD, Person, WebServer

__all__ = ["measure"]

_CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
_MESSAGES = 500
_ANSWER = (
    "Tree {n} wants water **twice** a week.\n\n- *Monday*: twelve litres\n- Friday: eight\n\n"
    "```python\ndef water(tree: int = {n}) -> int:\n    return 12 if tree else 8\n```\n"
)

_FIRST_WORD = """(text) => new Promise((done) => {
  const seen = new MutationObserver(() => {
    const found = document.querySelector('[data-draft="tail"]')?.textContent.match(/0:(\\d+\\.\\d+)/);
    if (!found) return;
    seen.disconnect();
    done(performance.timeOrigin + performance.now() - Number(found[1]) * 1000);
  });
  seen.observe(document.querySelector("#thread"), { subtree: true, childList: true, characterData: true });
  document.querySelector("#message").value = text;
  document.querySelector("#composer-form").requestSubmit();
})"""
_FIRST_WORD_BARE = """async ([text, key]) => {
  const body = JSON.stringify({ model: "tiny", messages: [{ role: "user", content: text }] });
  const headers = { Authorization: `Bearer ${key}` };
  const answer = await fetch("/v1/chat/completions", { method: "POST", body, headers });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let all = "";
  for (;;) {
    const { value } = await reader.read();
    all += value;
    const found = all.match(/0:(\\d+\\.\\d+)/);
    if (found) {
      document.body.textContent = found[0];
      const age = performance.timeOrigin + performance.now() - Number(found[1]) * 1000;
      await reader.cancel();
      return age;
    }
  }
}"""
_PAINT = """() => new Promise((done) => {
  const paint = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
  const look = () => (paint() === undefined ? requestAnimationFrame(look) : done(paint()));
  look();
})"""
_FRAMES = """() => {
  if (window.frames_) return void (window.frames_.length = 0);
  window.frames_ = [];
  let before = performance.now();
  const next = () => {
    const now = performance.now();
    window.frames_.push(now - before);
    before = now;
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}"""


def measure(server: WebServer, person: Person, url: str, rounds: int) -> None:
    """Measure, and print. The server has a model `stamped`, whose server is at `url`."""
    with sync_playwright() as playwright, _proxy(url) as port:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-US")
        page = _sign_in(context, server)
        _first_words(page, server, browser, port, rounds)
        thread = _thread(person)
        _paint(page, server, "an empty conversation", "/", rounds)
        _paint(page, server, f"a thread of {_MESSAGES} messages", f"/c/{thread}", rounds)
        _scrolled(page, server, thread)
        _long_output(page, server)
        browser.close()


def _sign_in(context: BrowserContext, server: WebServer) -> Page:
    page = context.new_page()
    page.goto(server.origin + "/login")
    page.get_by_role("textbox").first.fill("ada")
    page.locator("#password").fill(PASSWORD)
    page.locator("#password").press("Enter")
    page.locator("#connection[data-state=online]").wait_for()
    return page


def _first_words(page: Page, server: WebServer, browser: Browser, port: int, rounds: int) -> None:
    text = "script:" + json.dumps([{"words": 3, "stamped": True, "delay": 0.05}])
    bare = browser.new_page()
    bare.goto(f"http://127.0.0.1:{port}/")
    ages: dict[str, list[float]] = {"bare proxy": [], "toolhost": []}
    for _ in range(min(rounds, 40)):
        page.goto(server.origin + "/")  # a conversation of its own: what was said before is not sent along
        page.locator("#connection[data-state=online]").wait_for()
        ages["bare proxy"].append(float(bare.evaluate(_FIRST_WORD_BARE, [text, KEY])))
        ages["toolhost"].append(float(page.evaluate(_FIRST_WORD, text)))
        page.locator(".message-draft").wait_for(state="detached")
    bare.close()
    for name, figures in ages.items():
        print(f"first word in the browser, {name}: p50 {p50(figures):.1f} ms, p95 {p95(figures):.1f} ms")
    more = p50(ages["toolhost"]) - p50(ages["bare proxy"])
    print(f"  more than a bare proxy at p50: {more:.1f} ms ({len(ages['toolhost'])} rounds)")


def _thread(person: Person) -> str:
    """A conversation with so many messages."""
    conversation = person.conversation(title="Trees")
    for number in range(_MESSAGES // 2):
        text = "script:" + json.dumps([{"say": _ANSWER.format(n=number)}])
        body = {"message": text, "conversation_id": conversation, "stream": False}
        assert person.post("/api/chat", body).json["state"] == "completed"
    return conversation


def _paint(page: Page, server: WebServer, what: str, path: str, rounds: int) -> None:
    found = []
    for _ in range(max(5, rounds // 10)):
        page.goto(server.origin + path)
        found.append(float(page.evaluate(_PAINT)))
    print(f"first paint of {what}: p50 {p50(found):.0f} ms, worst {max(found):.0f} ms ({len(found)} loads)")


def _scrolled(page: Page, server: WebServer, thread: str) -> None:
    page.goto(f"{server.origin}/c/{thread}")
    page.locator("#connection[data-state=online]").wait_for()
    page.evaluate(_FRAMES)
    page.wait_for_timeout(2000)
    _frames(page, "of a page on which nothing happens")
    page.mouse.move(600, 300)
    for _ in range(60):
        page.mouse.wheel(0, -1500)
        page.wait_for_timeout(30)
    _frames(page, f"scrolling through {_MESSAGES} messages")


def _long_output(page: Page, server: WebServer) -> None:
    page.goto(server.origin + "/")
    page.locator("#connection[data-state=online]").wait_for()
    script = 'for i in $(seq 1 10000); do echo "line $i of a long output"; done'
    page.locator("#message").fill(f"/shell.run script='{script}'")
    page.locator("#message").press("Enter")
    button = page.locator(".card[data-state=waiting]").get_by_role("button", name="Approve once")
    page.evaluate(_FRAMES)
    button.click()
    card = page.locator(".card[data-state=done]")
    card.wait_for()
    page.wait_for_timeout(300)
    _frames(page, "while 10 000 lines come")
    page.evaluate(_FRAMES)
    card.get_by_role("button", name="Show all").click()
    page.wait_for_timeout(3000)  # nothing looks at the page meanwhile: that would be counted
    _frames(page, "showing all 10 000 lines")
    expect(card.locator(".output").first).to_contain_text("line 10000 ")


def _frames(page: Page, what: str) -> None:
    frames = sorted(page.evaluate("window.frames_.splice(0)"))
    print(f"worst frame {what}: {frames[-1]:.0f} ms, next {frames[-2]:.0f} ms (of {len(frames)})")


@contextmanager
def _proxy(url: str) -> Iterator[int]:
    """The bare proxy, in a thread of its own: the browser is driven by this one."""
    loop = asyncio.new_event_loop()
    ready: list[int] = []
    started = threading.Event()

    async def serve() -> None:
        async with BareProxy(url) as port:
            ready.append(port)
            started.set()
            await stopped.wait()

    stopped = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        loop.close()
