"""Why a text is no TOML 1.0, in the words of somebody who wants to repair it."""

from __future__ import annotations

import re

__all__ = ["deepest", "explain_syntax", "longest_number"]

# What tomli says first, and what is added to it.
_HINTS = (
    ("Unterminated string", "a string ends on the line on which it begins"),
    ("Illegal character '\\n'", "a string ends on the line on which it begins"),
    (
        "Unescaped '\\' in a string",
        "TOML 1.0 has \\b \\t \\n \\f \\r \\\" \\\\ and \\uXXXX; in 'single quotes' a backslash is a backslash",
    ),
    ("Invalid value", 'a string is quoted ("ls"), and true and false are in lower case'),
    ("Invalid statement", "a line is `key = value` or [table]"),
    ("Expected '=' after a key", "a line is `key = value` or [table]"),
    ("Expected newline or end of document", "each `key = value` has a line of its own, and only a comment follows it"),
    ("Unclosed array", "each entry of a list is followed by a comma or by the `]` that ends it"),
    ("Unclosed inline table", "each entry in braces is followed by a comma or by the `}` that ends them"),
    ("Expected ']'", "a table is written [name], an array of tables [[name]]"),
    ("Cannot mutate immutable namespace", "a table in braces is complete where it stands"),
    ("Cannot overwrite a value", "a name is either a value or a table"),
)
_INLINE = "TOML 1.0 has a table in braces on one line and without a comma at its end; write [a table] for a longer one"
_TOKEN = re.compile(r"""\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|\#[^\n]*|[\[\]{}]""")
_TWICE = re.compile(r"Cannot declare \((.*)\) twice|Cannot redefine namespace \((.*)\)")
_DEEP = 400  # where tomli stops


def explain_syntax(message: str, text: str, at: int) -> str:
    """A sentence: what the parser says, and how it is written.

    Args:
        message: The parser's.
        text: The file.
        at: The character at which it stopped.
    """
    if message == "Invalid initial character for a key part" and _in_braces(text[:at]):
        return f"{message}: {_INLINE}."
    if twice := _TWICE.fullmatch(message):
        name = ".".join(re.findall(r"'([^']*)'", twice[1] or twice[2]))
        return f"`{name}` stood earlier as something else: a name is a value, a table or an array of tables, and once."
    hint = next((hint for start, hint in _HINTS if message.startswith(start)), "")
    return f"{message}: {hint}." if hint else f"{message}."


def deepest(text: str) -> int:
    """The character at which brackets and braces are nested too deeply."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > _DEEP:
            return token.start()
    return 0


def longest_number(text: str) -> int:
    """The character at which the longest number begins."""
    return max(re.finditer(r"[0-9_]+", text), key=lambda found: len(found[0])).start()


def _in_braces(before: str) -> bool:
    """Whether braces are open: a brace that is not in a string."""
    tokens = [token[0] for token in _TOKEN.finditer(before)]
    return tokens.count("{") > tokens.count("}")
