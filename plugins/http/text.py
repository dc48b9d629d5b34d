"""HTML as text: what a reader sees, with headings, lists, tables and, where asked for, the addresses of links."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

__all__ = ["declared_charset", "to_text"]

_SILENT = {"script", "style", "template", "svg", "noscript", "head", "iframe", "object", "canvas", "select"}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "footer", "form", "header", "hr", "main", "nav", "ol", "p", "section", "summary", "table", "ul",
}  # fmt: skip
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_VOID = {"br", "hr", "img", "input", "link", "meta", "area", "base", "col", "embed", "source", "track", "wbr"}
_SHORTEST_MAIN = 200  # characters, for what is marked as the main content to be taken as such


def to_text(html: str, base: str, *, links: bool = False, whole: bool = False) -> tuple[str, str]:
    """The title and the text of a page.

    Args:
        html: The page.
        base: Its address, which links are relative to.
        links: Give links as `[text](address)`.
        whole: Also what stands around the content that the page marks as its main one.
    """
    reader = _Reader(base, links)
    reader.feed(html)
    reader.close()
    main = _tidy("".join(reader.main))
    text = main if not whole and len(main) >= _SHORTEST_MAIN else _tidy("".join(reader.all))
    return " ".join("".join(reader.title).split()), text


def declared_charset(body: bytes) -> str | None:
    """The charset that a page names in its first bytes."""
    found = re.search(rb"<meta[^>]{0,200}?charset=[\"']?([A-Za-z0-9_-]{1,40})", body[:2048], re.IGNORECASE)
    return found[1].decode() if found else None


def _tidy(text: str) -> str:
    lines = [line.rstrip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Reader(HTMLParser):
    def __init__(self, base: str, links: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.all: list[str] = []
        self.main: list[str] = []
        self._base = base
        self._links = links
        self._silent = 0
        self._main = 0
        self._pre = 0
        self._in_title = False
        self._lists: list[int | None] = []  # the next number of each list around; None where it has none
        self._targets: list[str | None] = []
        self._cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "title" and not self.title:
            self._in_title = True
        if tag == "base" and values.get("href"):
            self._base = urljoin(self._base, values["href"] or "")
        if tag in _SILENT:
            self._silent += 1
        if self._silent:
            return
        if tag in ("main", "article"):
            self._main += 1
        if tag in _HEADINGS:
            self._write(f"\n\n{_HEADINGS[tag]} ")
        elif tag == "br":
            self._write("\n")
        elif tag == "li":
            self._write(f"\n{'  ' * max(0, len(self._lists) - 1)}{self._mark()} ")
        elif tag in ("ol", "ul"):
            self._lists.append(1 if tag == "ol" else None)
            self._write("\n")
        elif tag == "tr":
            self._write("\n")
            self._cell = False
        elif tag in ("td", "th"):
            self._write(" | " if self._cell else "")
            self._cell = True
        elif tag == "pre":
            self._write("\n\n```\n")
            self._pre += 1
        elif tag == "img" and (values.get("alt") or "").strip():
            self._write(f"[image: {' '.join((values['alt'] or '').split())}]")
        elif tag == "a":
            self._open_link(values.get("href"))
        elif tag in _BLOCKS:
            self._write("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
            return
        if self._silent or tag in _VOID:
            return
        if tag == "pre" and self._pre:
            self._pre -= 1
            self._write("\n```\n\n")
        elif tag in ("ol", "ul"):
            if self._lists:
                self._lists.pop()
            self._write("\n")
        elif tag == "a" and self._targets:
            target = self._targets.pop()
            if target:
                self._write(f"]({target})")
        elif tag in _HEADINGS or tag in _BLOCKS:
            self._write("\n\n")
        if tag in ("main", "article"):
            self._main = max(0, self._main - 1)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        if self._silent:
            return
        self._write(data if self._pre else re.sub(r"\s+", " ", data), text=True)

    def _mark(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "-"
        self._lists[-1] = number + 1
        return f"{number}."

    def _open_link(self, address: str | None) -> None:
        target = None
        if self._links and address and not address.startswith(("#", "javascript:", "data:")):
            try:
                target = urljoin(self._base, address.strip())
            except ValueError:
                target = None
        self._targets.append(target)
        if target:
            self._write("[")

    def _write(self, piece: str, *, text: bool = False) -> None:
        for out in (self.all, self.main) if self._main else (self.all,):
            if text and not self._pre and piece[:1] == " " and (not out or out[-1][-1:] in ("\n", " ", "")):
                out.append(piece[1:])
            else:
                out.append(piece)
