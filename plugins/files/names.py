"""Names: glob patterns, what .gitignore files leave out, and walking through folders by both."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from toolhost import ToolError

__all__ = ["Ignored", "is_placeholder", "on_one_line", "pattern_of", "walk"]

_ALWAYS = (".git", ".toolhost")
_MOST_OF_IGNORE = 64 << 10  # bytes of a .gitignore
_MOST_RULES = 2_000


def on_one_line(name: str) -> str:
    """A name as a list shows it: a line break, a control or a direction character in it is written as an escape."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in name
    )


@lru_cache(maxsize=256)
def pattern_of(pattern: str) -> Callable[[str], bool]:
    """What says whether a relative path matches a glob: `*`, `?`, `[a-z]`, `{a,b}`, and `**` for any folders.

    Raises:
        ToolError: `invalid_arguments`.
    """
    try:
        compiled = re.compile(_expression(pattern))
    except (re.error, IndexError):
        raise ToolError(
            f"{pattern!r} is no pattern: write names with *, ?, [abc] or {{a,b}}, and ** for any folders between.",
            "invalid_arguments",
        ) from None
    return lambda path: compiled.fullmatch(path) is not None


def _expression(pattern: str) -> str:
    """The regular expression of a glob."""
    if not pattern or pattern.startswith("/") or "\0" in pattern:
        raise IndexError
    out = []
    depth = 0
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**/", at):
            out.append("(?:[^/]+/)*")
            at += 3
            continue
        if pattern.startswith("**", at):
            out.append(".*")
            at += 2
            continue
        if char == "[":
            end = pattern.index("]", at + 2) if "]" in pattern[at + 2 :] else -1
            if end > 0:
                inner = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
                out.append(f"[^{inner[1:]}]" if inner[0] in "!^" else f"[{inner}]")
                at = end + 1
                continue
        if char == "{" and "}" in pattern[at:]:
            depth += 1
            out.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            out.append(")")
        elif char == "," and depth:
            out.append("|")
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)))
        at += 1
    return "".join(out)


class Ignored:
    """What a walk passes over: hidden names, and what the .gitignore files on the way leave out.

    Args:
        everything: Pass over nothing but Git's own folder and this plugin's.
    """

    def __init__(self, *, everything: bool = False) -> None:
        self._everything = everything
        self._rules: dict[str, list[tuple[Callable[[str], bool], bool, bool]]] = {}  # by folder, relative to the walk

    def enter(self, folder: Path, relative: str) -> None:
        """Read the .gitignore of a folder."""
        if self._everything:
            return
        try:
            fd = os.open(folder / ".gitignore", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            with os.fdopen(fd, "rb") as file:
                text = file.read(_MOST_OF_IGNORE).decode(errors="replace")
        except OSError:
            return
        rules = []
        for line in text.splitlines()[:_MOST_RULES]:
            rule = line.rstrip()
            if not rule or rule.startswith("#"):
                continue
            back = rule.startswith("!")
            rule = rule.removeprefix("!")
            only_folders = rule.endswith("/")
            rule = rule.rstrip("/")
            anchored = "/" in rule
            try:
                matches = pattern_of(rule.lstrip("/") if anchored else f"**/{rule}")
            except ToolError:
                continue
            rules.append((matches, only_folders, back))
        if rules:
            self._rules[relative] = rules

    def passes_over(self, relative: str, *, is_folder: bool) -> bool:
        """Whether a path, relative to the walk's start, is passed over."""
        name = relative.rpartition("/")[2]
        if name in _ALWAYS:
            return True
        if self._everything:
            return False
        if name.startswith("."):
            return True
        ignored = False
        folder = ""
        for part in ("", *relative.split("/")[:-1]):
            folder = f"{folder}/{part}".strip("/")
            inner = relative[len(folder) :].lstrip("/")
            for matches, only_folders, back in self._rules.get(folder, ()):
                if (is_folder or not only_folders) and matches(inner):
                    ignored = not back
        return ignored


def walk(start: Path, ignored: Ignored, *, folders: bool = False) -> Iterator[tuple[Path, bool]]:
    """Everything below a folder in the order of names, and whether it is a folder; links are named and not followed.

    Args:
        start: The folder.
        ignored: What is passed over.
        folders: Also name folders.
    """
    for folder, inner, files in os.walk(start):
        here = Path(folder)
        relative = "" if here == start else str(here.relative_to(start))
        ignored.enter(here, relative)
        prefix = f"{relative}/" if relative else ""
        inner[:] = sorted(name for name in inner if not ignored.passes_over(prefix + name, is_folder=True))
        for name in sorted([*files, *inner] if folders else files):
            if name.startswith(".") and is_placeholder(here / name):
                continue
            is_folder = name in inner and not (here / name).is_symlink()
            if name in inner or not ignored.passes_over(prefix + name, is_folder=False):
                yield here / name, is_folder


def is_placeholder(path: Path) -> bool:
    """Whether the host put this where a protected name is not there: nothing is in it, and it ends with the call."""
    try:
        facts = path.lstat()
        mode = stat.S_IMODE(facts.st_mode)
        if stat.S_ISDIR(facts.st_mode):
            return mode in (0, stat.S_ISVTX) or (mode == 0o500 and not any(path.iterdir()))
        return facts.st_size == 0 and mode in (0, stat.S_ISVTX)
    except OSError:
        return False
