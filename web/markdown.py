"""Markdown that people and models wrote, as HTML of ours: nothing of it runs, loads or hides anything.

Markdown alone decides what stands there (raw HTML is text), our own renderer writes every tag, and a sanitiser with a
short list of tags sees the outcome before anybody else. A link is a link and says where it leads; an image is shown
only where it is a file of the conversation's own workspace. Characters that cannot be seen are marked, as everywhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from toolhost.shown import shown
from toolhost.web.code import highlighted
from toolhost.web.visible import visible

__all__ = ["LARGEST", "forget_rendered", "readable", "rendered"]

LARGEST = 32 * 1024
"""Characters that are read as Markdown; what comes after them stands there as plain text."""

_JOINING = frozenset("\u00a0\u202f\ufe0f\u200d")
_KEPT = 512  # rendered texts that are kept: a thread is shown more often than it changes
_NESTING = 20
_HEADING = 3  # a message stands below a heading of this level
_SCHEMES = frozenset({"http", "https", "mailto"})

_TAGS = {"a", "blockquote", "br", "button", "code", "div", "em", "h4", "h5", "h6", "hr", "img", "li", "ol", "p", "pre",
         "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}  # fmt: skip
_ATTRIBUTES = {
    "a": {"href", "target", "title"},
    "button": {"type", "data-code", "aria-label", "title"},
    "img": {"src", "alt", "loading"},
    "ol": {"start"},
    "pre": {"tabindex", "data-language"},
    "span": {"title"},
}


def rendered(text: str, *, copy: str, files: str = "", breaks: bool = False) -> Markup:
    """The text as HTML.

    Args:
        text: Anything.
        copy: What the button that copies a block of code is called.
        files: The address beneath which images of the workspace are; empty where there are none to be shown.
        breaks: Whether a line end ends the line, as in what a person types.
    """
    head, rest = text[:LARGEST], text[LARGEST:]
    html = _rendered(head, copy, files, breaks)
    return html + Markup('<pre class="rest">{}</pre>').format(visible(rest)) if rest else html


def readable(text: str) -> Markup:
    """As `visible`, but for what reading needs: spaces that do not break, and what emoji are put together with."""
    if text.isascii() or _JOINING.isdisjoint(text):
        return visible(text)
    pieces: list[Markup] = []
    plain = ""
    for at, char in enumerate(text):
        if char in "\u00a0\u202f" or (char in "\ufe0f\u200d" and at and _is_emoji(text[at - 1])):
            pieces += (visible(plain), Markup(char))  # noqa: S704  # one of four characters
            plain = ""
        else:
            plain += char
    return Markup("").join((*pieces, visible(plain)))


def forget_rendered() -> None:
    """Keep nothing that was rendered: to measure what it costs the first time."""
    _rendered.cache_clear()


@lru_cache(maxsize=_KEPT)
def _rendered(text: str, copy: str, files: str, breaks: bool) -> Markup:
    html = _MARKDOWN.render(text, {"copy": copy, "files": files, "breaks": breaks})
    return Markup(_CLEANER.clean(html))  # noqa: S704  # that is what it is for


_CLASSES = {
    "button": {"link", "code-copy"},
    "div": {"code-block", "code-head", "table"},
    "img": {"figure"},
    "pre": {"code"},
    "span": {"mark", "host", "picture", "code-language", *("t-" + name for name in
             ("c", "k", "s", "n", "o", "f", "t", "i", "d", "g", "v"))},
    "td": {"right", "center"},
    "th": {"right", "center"},
}  # fmt: skip

_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes=_ATTRIBUTES,
    url_schemes=set(_SCHEMES),
    link_rel="noopener noreferrer nofollow",
    generic_attribute_prefixes=set(),
    allowed_classes=_CLASSES,
    strip_comments=True,
)


class _Renderer(RendererHTML):
    """Writes every text through `visible`, and the few things that are more than a tag."""

    def text(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return str(readable(tokens[idx].content))

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<code>{visible(tokens[idx].content)}</code>"

    def softbreak(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "<br>\n" if env["breaks"] else "\n"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        language = tokens[idx].info.split(maxsplit=1)[0] if tokens[idx].info.strip() else ""
        return _block(tokens[idx].content, language, str(env["copy"]))

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _block(tokens[idx].content, "", str(env["copy"]))

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        source = str(tokens[idx].attrs.get("src", ""))
        about = tokens[idx].content
        path = _own_path(source)
        if path is not None and env["files"]:
            place = f"{env['files']}{quote(path)}"
            return f'<img class="figure" src="{escape(place)}" alt="{escape(shown(about))}" loading="lazy">'
        # Never loaded: whoever wrote it could learn that it was read, and what was put into its address.
        name = str(readable(about)) or "image"
        return f'<span class="picture">{name}</span>{_host(source, about)}'

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        target = str(tokens[idx].attrs.get("href", ""))
        return f'<a href="{escape(target)}" target="_blank" title="{escape(shown(target))}">'

    def link_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        level = tokens[idx].level
        opened = next(at for at in range(idx, -1, -1) if tokens[at].type == "link_open" and tokens[at].level == level)
        said = "".join(token.content for token in tokens[opened + 1 : idx])
        return "</a>" + _host(str(tokens[opened].attrs.get("href", "")), said)

    def heading_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<h{_level(tokens[idx])}>"

    def heading_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"</h{_level(tokens[idx])}>\n"

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="table"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _cell("th", tokens[idx])

    def td_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _cell("td", tokens[idx])


def _markdown() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "maxNesting": _NESTING}, renderer_cls=_Renderer)
    reader.enable(["table", "strikethrough"])
    reader.validateLink = _may_link  # type: ignore[method-assign]
    return reader


def _may_link(url: str) -> bool:
    """A link has a scheme that we know; an image may also be a path of the workspace. Anything else stays text."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False
    if parts.scheme:
        return parts.scheme.lower() in _SCHEMES
    return _own_path(url) is not None


def _own_path(url: str) -> str | None:
    """The path in the workspace that an address means, or None where it leads elsewhere."""
    path = unquote(url.strip()).removeprefix("./")
    if not path or path.startswith(("/", "\\", "#", "?")) or ":" in path or "\\" in path or not path.isprintable():
        return None
    return None if ".." in path.split("/") else path


def _host(url: str, said: str) -> str:
    """Where a link leads, where its words do not say so."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return f' <span class="host">{escape(shown(host))}</span>' if host and host not in said.lower() else ""


def _block(code: str, language: str, copy: str) -> str:
    name = escape(shown(language[:30]))
    return (
        f'<div class="code-block"><div class="code-head"><span class="code-language">{name}</span>'
        f'<button type="button" class="link code-copy" data-code="copy">{escape(copy)}</button></div>'
        f'<pre class="code" tabindex="0"><code>{highlighted(code, language)}</code></pre></div>\n'
    )


def _cell(tag: str, token: Token) -> str:
    style = str(token.attrs.get("style", ""))
    align = next((side for side in ("right", "center") if style.endswith(side)), "")
    return f'<{tag} class="{align}">' if align else f"<{tag}>"


def _level(token: Token) -> int:
    return min(6, int(token.tag[1:]) + _HEADING)


def _is_emoji(char: str) -> bool:
    return char == "\ufe0f" or unicodedata.category(char) in ("So", "Sk")


_MARKDOWN: Any = _markdown()
