"""Messages as people read them: Markdown, code, and text that would rather be something else."""

from __future__ import annotations

import json
import struct
import zlib

import pytest
from driver import own
from playwright.sync_api import Page, expect
from shots import look

HOSTILE = "<img src=https://evil.example/x onerror=alert(1)><svg onload=alert(2)>\u202e\u200b\U000e0041"
LETTER = """# A plan

See [the docs](https://evil.example/?q=secret) or **this**, and ![it](https://evil.example/p.png?d=SECRET).

```python
def water(tree: str) -> int:  # every day
    return len("<script>alert(1)</script>")
```

| tree | litres |
|------|-------:|
| oak  |     12 |

1. first
2. second `code`

> Trees take time.
"""


def say(page: Page, text: str) -> None:
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def picture() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 40, 20, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + bytes((30, 120, 90)) * 40 for _ in range(20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_a_message_is_read_as_it_was_meant(chat, scheme, width) -> None:
    page = chat(color_scheme=scheme, viewport={"width": width, "height": 900})
    say(page, LETTER)
    message = page.locator(".message-user").last
    expect(message.get_by_role("heading", name="A plan")).to_be_visible()
    expect(message.locator(".t-k").first).to_have_text("def")
    expect(message.locator("td.right")).to_have_text("12")
    link = message.get_by_role("link", name="the docs")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(message.locator(".host")).to_have_text(["evil.example", "evil.example"])
    expect(message.locator("img")).to_have_count(0)  # and the fixture sees that nobody was asked for it
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    look(page, f"markdown-{scheme}-{width}")


def test_code_is_copied_as_it_is(chat) -> None:
    page = chat(permissions=["clipboard-read", "clipboard-write"])
    say(page, LETTER)
    page.locator(".message-user").last.locator(".code-copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("def water(tree: str)")


def test_a_picture_of_the_workspace_is_shown_and_what_is_none_is_not(chat, server, ada) -> None:
    page = chat(expected=("status of 415", "status of 403"))
    say(page, "/files.list")
    expect(page.locator(".card[data-state=done]")).to_have_count(1)
    folder = server.data / "workspaces" / page.url.rpartition("/")[2]
    (folder / "plot.png").write_bytes(picture())
    (folder / "page.png").write_text("<script>alert(1)</script>")
    (folder / "away.png").symlink_to("/etc/passwd")
    say(page, "![plot](plot.png) ![page](page.png) ![away](away.png)")
    shown = page.locator(".message-user .figure")
    expect(shown).to_have_count(3)
    expect(shown.nth(0)).to_have_js_property("naturalWidth", 40)
    for at in (1, 2):
        expect(shown.nth(at)).to_have_js_property("complete", True)
        expect(shown.nth(at)).to_have_js_property("naturalWidth", 0)


def test_hostile_text_is_text_wherever_it_stands(chat, server, ada) -> None:
    conversation = ada.conversation(title=HOSTILE)
    asked = ada.call("shell.run", conversation, script="touch '<img src=x onerror=alert(3)>.txt'")
    ada.post(f"/api/approvals/{asked.json['approval_id']}", {"decision": "approve"})
    ada.call("files.list", conversation)
    page = chat(f"/c/{conversation}")
    say(page, HOSTILE)
    expect(page.locator(".message-user").last.locator(".mark")).to_have_count(3)
    expect(page.locator("#page-title")).to_contain_text("<img src=https://evil.example/x")
    expect(page.locator("#conversations")).to_contain_text("<svg onload=alert(2)>")
    expect(page.locator(".card").last).to_contain_text("<img src=x onerror=alert(3)>.txt")
    assert page.evaluate("document.querySelectorAll('#page img, svg[onload], #page script').length") == 0
    assert "\u202e" not in page.title()


def test_hostile_text_of_plugins_and_policies_is_text_on_every_page(chat, server, ada) -> None:
    folder = server.data / "plugins" / "odd"
    folder.mkdir()
    manifest = f'name = "odd"\nversion = "1"\nabout = {json.dumps(HOSTILE, ensure_ascii=False)}\n'
    tool = f'[[tools]]\nname = "say"\nabout = {json.dumps(HOSTILE, ensure_ascii=False)}\ncommand = "echo {{word}}"\n'
    schema = f'input.word = {{ type = "string", description = {json.dumps(HOSTILE, ensure_ascii=False)} }}\n'
    (folder / "plugin.toml").write_text(manifest + tool + schema, encoding="utf-8")
    policy = server.folder / "policies" / "odd.toml"
    # What is wrong in it is quoted on the page; the comment stands on the very line.
    policy.write_text(f'plugin = "odd"\n"<img src=x onerror=alert(4)>" = 1  # {HOSTILE}\n', encoding="utf-8")
    own(server.data / "plugins")
    own(policy)
    page = chat()
    for path in ("/admin/policies", "/admin/plugins", "/welcome", "/"):
        page.goto(server.origin + path)
        expect(page.locator("#main")).to_be_visible()
        assert page.evaluate("document.querySelectorAll('#page img, svg[onload], #page script').length") == 0, path
        assert "\u202e" not in page.content(), path
        if path == "/admin/plugins":
            expect(page.locator("#main")).to_contain_text("<img src=x onerror=alert(5)>")
    policy.unlink()
