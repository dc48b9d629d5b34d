"""A server with a repository to work in, and Debian's Chromium looking at it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import own
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from webserver import ROOT, Person, WebServer

expect.set_options(timeout=30_000)  # a machine that is busy is slow, not wrong

CHROMIUM = "/usr/bin/chromium-headless-shell"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def repository(folder: Path) -> None:
    """A repository with two commits, the service user's."""
    folder.mkdir()
    who = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    for role in ("AUTHOR", "COMMITTER"):
        who |= {f"GIT_{role}_NAME": "Ada", f"GIT_{role}_EMAIL": "ada@example.org"}
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, env=who, check=True, timeout=30)
    for message in ("Plant the tree", "Water the tree"):
        (folder / "tree.txt").write_text(message + "\n")
        subprocess.run(["git", "add", "-A"], cwd=folder, env=who, check=True, timeout=30)
        subprocess.run(["git", "commit", "-qm", message], cwd=folder, env=who, check=True, timeout=30)
    if os.geteuid() == 0:
        user = pwd.getpwnam("toolhost")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def standing(running: WebServer, policies: Path) -> None:
    """A plugin whose one tool may be approved for longer."""
    folder = running.data / "plugins" / "note"
    folder.mkdir(parents=True)
    (folder / "plugin.toml").write_text(
        'name = "note"\nversion = "1"\nabout = "A test."\n[[tools]]\nname = "take"\nabout = "Repeats a word."\n'
        'command = "echo {word}"\ninput.word = { type = "string" }\n'
    )
    # And one whose very name would rather be something else: it is listed, and never in service.
    named = running.data / "plugins" / "<img src=x onerror=alert(5)>"
    named.mkdir()
    (named / "plugin.toml").write_text('name = "<svg onload=alert(6)>\u202e"\nversion = "1"\n', encoding="utf-8")
    (policies / "note.toml").write_text(
        'plugin = "note"\n[commands]\nask = [{ run = "echo {text}", standing = true }]\n'
        '[paths]\nwrite = ["{workspace}"]\n'
    )
    own(running.data)
    own(policies)  # its lock is written where the plugin is first seen


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    """A running server with the named workspace `garden`."""
    running = WebServer()
    try:
        repository(running.folder / "garden")
        policies = running.folder / "policies"
        shutil.copytree(ROOT / "policies", policies, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
        with (policies / "host.toml").open("a") as host:
            host.write(f'\n[workspaces]\ngarden = {{ path = "{running.folder}/garden", write = true }}\n')
        standing(running, policies)
        running.variables["TOOLHOST_POLICIES"] = str(policies)
        yield running.start()
    finally:
        running.close()


@pytest.fixture(scope="module")
def ada(server: WebServer) -> Person:
    """The administrator."""
    return server.set_up("ada")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as it is without windows: the same engine, for two thirds of the processor time."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Watched:
    """What a page must not do: ask anybody else for anything, break its policy, or fail."""

    def __init__(self, server: WebServer, context: BrowserContext) -> None:
        self.faults: list[str] = []
        self.expected: set[str] = set()
        context.on("request", lambda request: self._asked(request.url, server.origin))
        context.on("requestfailed", lambda request: self._failed(request.url, request.failure))
        context.on("console", lambda message: self._said(message.type, message.text))
        context.on("weberror", lambda error: self.faults.append(str(error.error)))

    def _asked(self, url: str, origin: str) -> None:
        if not url.startswith((origin + "/", "data:")):
            self.faults.append(f"asked for {url}")

    def _failed(self, url: str, why: str | None) -> None:
        if why == "csp":  # stopped in the browser, as it should be: nothing was asked
            self.faults.remove(f"asked for {url}")

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(part in text for part in self.expected):
            self.faults.append(f"{kind}: {text}")


@pytest.fixture
def watched_page(browser: Browser, server: WebServer) -> Iterator[Callable[..., Page]]:
    """Opens pages in new contexts; at the end nothing may have gone wrong in any of them."""
    opened: list[tuple[BrowserContext, Watched]] = []

    def open_page(*, at: WebServer = server, expected: tuple[str, ...] = (), **options: object) -> Page:
        # Where nothing moves by itself, there is less to draw: a page in software takes a processor for it.
        still = {"viewport": {"width": 1280, "height": 800}, "locale": "en-US", "reduced_motion": "reduce"}
        context = browser.new_context(**{**still, **options})  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        watched = Watched(at, context)
        watched.expected.update(expected)
        opened.append((context, watched))
        return context.new_page()

    yield open_page
    for context, _ in opened:
        context.close()
    assert [fault for _, watched in opened for fault in watched.faults] == []


@pytest.fixture
def chat(watched_page: Callable[..., Page], server: WebServer, ada: Person) -> Callable[..., Page]:
    """Opens the chat, signed in without the login page."""

    def open_chat(path: str = "/", **options: object) -> Page:
        page = watched_page(**options)
        for name, cookie in Person(server).sign_in("ada").cookies.items():
            kept = {"name": name, "value": cookie.value, "sameSite": cookie["samesite"], "httpOnly": True}
            page.context.add_cookies([{**kept, "url": server.origin}])  # type: ignore[list-item]
        page.goto(server.origin + path)
        page.locator("#connection[data-state=online]").wait_for()
        return page

    return open_chat
