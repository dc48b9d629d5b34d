"""What a worker's tool returned, as a terminal or a pipe takes it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from toolhost.cli.terminal import safe
from toolhost.model import CallResult

__all__ = ["contents"]


def contents(result: CallResult) -> Iterator[str]:
    """The pieces to print, each with its line end; none for a command, whose output is its own."""
    if result.sandbox is None or result.sandbox["kind"] != "worker":
        return
    # A value beside a text is the same answer for programs; they take --output json.
    spoken = any(part["type"] == "text" for part in result.content)
    for part in result.content:
        if part["type"] != "json" or not spoken:
            yield _content(part)


def _content(part: Mapping[str, Any]) -> str:
    if part["type"] == "text":
        text = str(part["text"])
    elif part["type"] == "json":
        text = json.dumps(part["value"], indent=2, ensure_ascii=False)
    else:
        # What a server sent whole is in --output json; bytes are nothing for a terminal.
        text = str(part.get("path") or f"({part['type']}, {part['media_type']}, {part['size']} bytes)")
    line = text if text.endswith("\n") else text + "\n"
    return safe(line) if sys.stdout.isatty() else line.encode("utf-8", "replace").decode()
