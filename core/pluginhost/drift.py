"""How a plugin differs from what was pinned: in a few words for the list, in every detail for whoever accepts it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from toolhost.pluginhost.pins import PluginPin, ToolPin

__all__ = ["Change", "changes", "summary"]

_MOST = 6  # changes that one sentence names


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is not as it was pinned.

    Attributes:
        kind: What became of it.
        tool: The tool it belongs to, or an empty string for the plugin itself.
        what: `tool`, `version`, `code`, `description`, `command`, `folder`, `input` or `output`.
        path: Where in a schema, such as `properties.city.type`, or an empty string.
        before: As it was pinned; None where there was nothing.
        after: As it is; None where it is gone.
    """

    kind: Literal["added", "removed", "changed"]
    tool: str = ""
    what: str
    path: str = ""
    before: str | None = None
    after: str | None = None


def changes(before: PluginPin | None, after: PluginPin) -> Iterator[Change]:
    """Every difference; against nothing, everything the plugin declares.

    Args:
        before: What was pinned, or None.
        after: What is there.
    """
    yield from _text("version", before.version if before else None, after.version)
    yield from _text("code", before.code if before else None, after.code)
    old = {tool.name: tool for tool in before.tools} if before else {}
    new = {tool.name: tool for tool in after.tools}
    for name in sorted(old.keys() | new.keys()):
        yield from _tool(name, old.get(name), new.get(name))


def summary(found: Sequence[Change]) -> str:
    """What changed, in a few words."""
    said = list(dict.fromkeys(map(_words, found)))
    more = len(said) - _MOST
    return "; ".join(said[:_MOST]) + (f"; and {more} more changes" if more > 0 else "")


def _words(change: Change) -> str:
    if change.what == "tool":
        return f"the tool {change.tool} is {'new' if change.kind == 'added' else 'gone'}"
    if change.tool:
        return f"the {change.what} of the tool {change.tool} changed"
    if change.what == "version":
        return f"version {change.before} became {change.after}"
    return f"its {change.what} changed"


def _tool(name: str, before: ToolPin | None, after: ToolPin | None) -> Iterator[Change]:
    if before is None:
        yield Change(kind="added", tool=name, what="tool")
    elif after is None:
        yield Change(kind="removed", tool=name, what="tool")
        return
    assert after is not None
    yield from _text("description", before.about if before else None, after.about, tool=name)
    yield from _text("command", before.command if before else None, after.command, tool=name)
    yield from _text("folder", before.cwd if before else None, after.cwd, tool=name)
    for what, old, new in (
        ("input", before.input if before else "", after.input),
        ("output", before.output if before else "", after.output),
    ):
        if old != new:
            for change in _schema(json.loads(old or "{}"), json.loads(new or "{}"), ()):
                yield Change(
                    kind=change.kind, tool=name, what=what, path=change.path, before=change.before, after=change.after
                )


def _text(what: str, before: str | None, after: str, *, tool: str = "") -> Iterator[Change]:
    if (before or "") != after:
        kind: Literal["added", "removed", "changed"] = (
            "changed" if before and after else "added" if after else "removed"
        )
        yield Change(kind=kind, tool=tool, what=what, before=before or None, after=after or None)


def _schema(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[Change]:
    """The keys of a schema that differ, each by its path."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if key not in before:
                yield Change(kind="added", what="", path=".".join((*path, key)), after=_shown(after[key]))
            elif key not in after:
                yield Change(kind="removed", what="", path=".".join((*path, key)), before=_shown(before[key]))
            else:
                yield from _schema(before[key], after[key], (*path, key))
    elif before != after:
        yield Change(kind="changed", what="", path=".".join(path), before=_shown(before), after=_shown(after))


def _shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
