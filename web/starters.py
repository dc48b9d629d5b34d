"""What an empty conversation offers to begin with: a few calls of tools that are really granted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolhost.model import Tool

__all__ = ["Starter", "starters"]

_SHOWN = 4
# Calls that show something at once in an empty workspace, the best first; only those of granted tools are offered.
_KNOWN = (
    ("list_files", "/files.list", "folder"),
    ("run_script", '/shell.run script="uname -a; pwd; ls -la"', "terminal"),
    ("disk", "/system.df", "disk"),
    ("history", "/git.log limit=10 oneline=true", "branch"),
    ("uptime", "/system.uptime", "clock"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """One offer.

    Attributes:
        key: Names its text in the catalogue; empty where `about` says it.
        about: The tool's own sentence.
        line: What is put into the composer.
        icon: Its picture.
    """

    key: str
    about: str
    line: str
    icon: str


def starters(tools: Sequence[Tool]) -> list[Starter]:
    """Up to four offers."""
    granted = {tool.name: tool for tool in tools}
    offers = [
        Starter(key=key, about=granted[name].about, line=line, icon=icon)
        for key, line, icon in _KNOWN
        if (name := line[1:].split(" ", 1)[0]) in granted
    ]
    taken = {offer.line[1:].split(" ", 1)[0] for offer in offers}
    offers.extend(
        Starter(key="", about=tool.about, line=f"/{tool.name} ", icon="tool")
        for tool in tools
        if tool.name not in taken
    )
    return offers[:_SHOWN]
