"""Source text with its words told apart by colour: classes only, every character through `visible`."""

from __future__ import annotations

from functools import lru_cache
from time import thread_time
from typing import Any

from markupsafe import Markup
from pygments.lexers import get_lexer_by_name
from pygments.token import Token
from pygments.util import ClassNotFound

from toolhost.web.visible import visible

__all__ = ["LARGEST", "highlighted", "language_of"]

LARGEST = 24 * 1024
"""Characters that are taken apart; a longer text is shown as it is."""

_SECONDS = 0.05  # a lexer is many regular expressions, and text can be made to be slow: what it did not get to is plain
_LOOK = 8  # tokens; the clock is a call of the kernel's
_LINE = 1000  # characters; one match looks at a line, or at few

_LANGUAGES = frozenset(
    (
        *("bash", "c", "console", "cpp", "css", "diff", "docker", "go", "html", "ini", "java", "javascript", "json"),
        *("kotlin", "lua", "make", "markdown", "nginx", "perl", "php", "python", "ruby", "rust", "sql", "toml"),
        *("typescript", "xml", "yaml"),
    )
)
_ALSO = {
    **dict.fromkeys(("sh", "shell", "zsh"), "bash"),
    **dict.fromkeys(("c++", "cc", "hpp"), "cpp"),
    **dict.fromkeys(("js", "mjs"), "javascript"),
    **dict.fromkeys(("py", "python3"), "python"),
    **dict.fromkeys(("cfg", "conf"), "ini"),
    "h": "c",
    "ts": "typescript",
    "rb": "ruby",
    "rs": "rust",
    "yml": "yaml",
    "md": "markdown",
    "kt": "kotlin",
    "dockerfile": "docker",
    "makefile": "make",
    "patch": "diff",
    "htm": "html",
    "svg": "xml",
    "jsonl": "json",
    "pl": "perl",
}

_CLASSES = (
    (Token.Comment, "c"),
    (Token.Keyword, "k"),
    (Token.Literal.String, "s"),
    (Token.Literal.Number, "n"),
    (Token.Operator.Word, "k"),
    (Token.Name.Function, "f"),
    (Token.Name.Class, "t"),
    (Token.Name.Tag, "k"),
    (Token.Name.Attribute, "v"),
    (Token.Name.Builtin, "f"),
    (Token.Name.Variable, "v"),
    (Token.Generic.Inserted, "i"),
    (Token.Generic.Deleted, "d"),
    (Token.Generic.Subheading, "g"),
    (Token.Generic.Heading, "g"),
)


def highlighted(code: str, language: str) -> Markup:
    """The text as HTML, coloured where the language is known and the text is not too long."""
    name = language_of(language)
    if name is None or len(code) > LARGEST or any(len(line) > _LINE for line in code.split("\n")):
        return visible(code)
    pieces: list[str] = []
    late = thread_time() + _SECONDS
    for number, (at, kind, value) in enumerate(_lexer(name).get_tokens_unprocessed(code), 1):
        if not number % _LOOK and thread_time() > late:
            pieces.append(visible(code[at:]))
            break
        style = _class_of(kind)
        pieces.append(f'<span class="t-{style}">{visible(value)}</span>' if style else visible(value))
    return Markup("".join(pieces))  # noqa: S704  # every piece is escaped


def language_of(name: str) -> str | None:
    """The language that a word, such as the ending of a file's name, stands for; None where it is not known."""
    lower = name.lower()
    lower = _ALSO.get(lower, lower)
    return lower if lower in _LANGUAGES else None


@lru_cache(maxsize=64)
def _lexer(name: str) -> Any:
    try:
        return get_lexer_by_name(name, stripnl=False, ensurenl=False)
    except ClassNotFound:  # pragma: no cover  # every name above is one of its own
        return get_lexer_by_name("text", stripnl=False, ensurenl=False)


@lru_cache(maxsize=512)
def _class_of(kind: Any) -> str:
    return next((style for group, style in _CLASSES if kind in group), "")
