"""Takes out of results what looks like a credential of a well-known service, whoever's it is.

`extensions = ["toolhost.extensions.redactor"]`. The host itself takes out the secrets that it gave to a call; this is
about those that a tool comes across: a key in a file, a token in a log. While it is in use, output is shown with the
result, not as it comes. It is against accidents: a tool that means to give a credential away can write it in a form of
its own.

    [extension.redactor]
    patterns = ["corp_[0-9a-f]{32}"]   # more to take out, for RE2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import re2

from toolhost.extensions.options import options
from toolhost.hookspecs import hookimpl
from toolhost.redaction import MARK

if TYPE_CHECKING:
    from toolhost.model import CallResult
    from toolhost.settings import Settings

__all__ = ["KNOWN", "Redactor", "extension"]

KNOWN: Mapping[str, str] = {
    "AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[0-9A-Za-z]{36,255}|github_pat_[0-9A-Za-z_]{22,255})\b",
    "GitLab token": r"\bglpat-[0-9A-Za-z_-]{20,255}",
    "Slack token": r"\bxox[abeoprs]-[0-9A-Za-z-]{10,255}",
    "Google API key": r"\bAIza[0-9A-Za-z_-]{35}",
    "OpenAI or Anthropic key": r"\bsk-[0-9A-Za-z_-]{20,255}",
    "Stripe key": r"\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,255}\b",
    "npm token": r"\bnpm_[0-9A-Za-z]{36}\b",
    "PyPI token": r"\bpypi-[0-9A-Za-z_-]{50,1000}",
    "JSON Web Token": r"\beyJ[0-9A-Za-z_-]{8,1000}\.eyJ[0-9A-Za-z_-]{8,1000}\.[0-9A-Za-z_-]{8,1000}",
    "key of this host": r"\baio_[0-9A-Za-z_-]{20,255}",
    "private key": r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[0-9A-Za-z+/=\s:,-]*?-----END [A-Z ]{0,40}PRIVATE KEY-----",
    "password in a URL": r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,255}:[^\s/@]{3,255}@",
}
"""What is looked for. Each takes linear time: RE2 has no other."""

_MARK = MARK.decode()


class Redactor:
    """Masks what the patterns find.

    Args:
        patterns: More of them, for RE2.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._pattern = re2.compile("|".join(f"(?:{one})" for one in (*KNOWN.values(), *patterns)))

    @hookimpl
    def transform_result(self, result: CallResult) -> CallResult | None:
        """The result without them; None where there is nothing to take out."""
        made = replace(
            result,
            stdout=self._text(result.stdout),
            stderr=self._text(result.stderr),
            content=self._value(result.content),
            error=self._value(result.error),
        )
        return None if made == result else made

    def _text(self, text: str) -> str:
        try:
            masked: str = self._pattern.sub(_MARK, text)
        except UnicodeEncodeError:  # half a surrogate pair, which RE2 does not read
            return self._text(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        return masked

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {self._value(key): self._value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._value(item) for item in value)
        return value


def extension(settings: Settings) -> Redactor:
    """The extension as the settings want it.

    Raises:
        UsageError: `setting_invalid`.
    """
    with options(settings, "redactor", "patterns") as table:
        patterns = table.strings("patterns")
        for one in patterns:
            try:
                re2.compile(one.text)
            except re2.error as error:
                table.problem(one.place, "bad_value", f"`{one.text}` is no expression that RE2 reads: {error}.")
    return Redactor([one.text for one in patterns])
