"""Toolhost: the names that plugin authors import. Nothing else of the host is theirs to use.

from toolhost import ReadPath, ToolContext, hookimpl, tool
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolhost.authoring import ReadPath, Toolbox, ToolContext, ToolError, ToolOutput, WritePath, tool
from toolhost.errands import Completed, Errand, Piece, Response, Stream

if TYPE_CHECKING:
    from toolhost.hookspecs import hookimpl
    from toolhost.kept_changes import KeptChange, kept_numbers, read_kept_change
    from toolhost.patches import FilePatch, apply_patch, parse_patch

__all__ = [
    "Completed",
    "Errand",
    "FilePatch",
    "KeptChange",
    "Piece",
    "ReadPath",
    "Response",
    "Stream",
    "ToolContext",
    "ToolError",
    "ToolOutput",
    "Toolbox",
    "WritePath",
    "apply_patch",
    "hookimpl",
    "kept_numbers",
    "parse_patch",
    "read_kept_change",
    "tool",
]


def __getattr__(name: str) -> Any:
    # pluggy is imported when a hook is first implemented: `import toolhost` must cost next to nothing.
    if name == "hookimpl":
        from toolhost.hookspecs import hookimpl

        globals()["hookimpl"] = hookimpl
        return hookimpl
    if name in ("FilePatch", "apply_patch", "parse_patch"):
        from toolhost import patches

        globals()[name] = getattr(patches, name)
        return globals()[name]
    if name in ("KeptChange", "kept_numbers", "read_kept_change"):
        from toolhost import kept_changes

        globals()[name] = getattr(kept_changes, name)
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
