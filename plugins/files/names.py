"""Names: glob patterns, what .gitignore files leave out, and walking through folders by both."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path

from toolhost import ToolError

__all__ = ["Ignored", "is_placeholder", "on_one_line", "pattern_of", "walk"]

_ALWAYS = (".git", ".toolhost")
_MOST_OF_IGNORE = 64 << 10  # bytes of a .gitignore
_MOST_RULES = 2_000
_LONGEST_PATTERN = 1_000
_MOST_WAYS = 100  # through the braces of a pattern


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
    if not pattern or pattern.startswith("/") or "\0" in pattern or len(pattern) > _LONGEST_PATTERN:
        raise _no_pattern(pattern)
    ways = list(islice(_ways(pattern), _MOST_WAYS + 1))
    if len(ways) > _MOST_WAYS:
        raise _no_pattern(pattern)
    matchers = [_matcher(way) for way in ways]
    return lambda path: any(matches(path) for matches in matchers)


def _no_pattern(pattern: str) -> ToolError:
    return ToolError(
        f"{pattern[:_LONGEST_PATTERN]!r} is no pattern: write names with *, ?, [abc] or {{a,b}}, and ** for any "
        "folders between.",
        "invalid_arguments",
    )


def _ways(pattern: str) -> Iterator[str]:
    """The patterns without braces that one with braces stands for."""
    start = pattern.find("{")
    depth, cuts = 0, [start]
    for at in range(start, len(pattern)) if start >= 0 else ():
        depth += {"{": 1, "}": -1}.get(pattern[at], 0)
        if depth == 0 or (depth == 1 and pattern[at] == ","):
            cuts.append(at)
        if depth == 0:
            for before, after in pairwise(cuts):
                yield from _ways(pattern[:start] + pattern[before + 1 : after] + pattern[at + 1 :])
            return
    yield pattern


def _matcher(pattern: str) -> Callable[[str], bool]:
    """As `pattern_of`, without braces.

    A pattern can be hostile: a path is walked along once, and not tried in every way to spread the stars over it.
    """
    parts = [part.replace("[^", "[!") for part in pattern.split("/")]
    if parts[-1] == "**":
        parts.append("*")
    each = [None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts]

    def matches(path: str) -> bool:
        names = path.split("/")
        at = name = 0
        again: tuple[int, int] | None = None  # where to go on when the last ** has to hold one folder more
        while name < len(names):
            if at < len(each) and (part := each[at]) is None:
                at += 1
                again = at, name
            elif at < len(each) and part is not None and part.match(names[name]):
                at += 1
                name += 1
            elif again is not None:
                at, name = again[0], again[1] + 1
                again = at, name
            else:
                return False
        return at == len(each)

    return matches


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
            if 0 < len(rule) <= _LONGEST_PATTERN:
                matches = _matcher(rule.lstrip("/") if anchored else f"**/{rule}")
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
