"""The tools of the `files` plugin.

No path is judged here: the host has checked each against the policy, and what the policy does not grant is not there
inside the sandbox. What is left to do well is size, kind, wording, and taking back.
"""

from __future__ import annotations

from collections.abc import Callable

from toolhost import hookimpl
from toolhost.plugins.files.changing import delete, edit, list_changes, move, patch, undo_change, write
from toolhost.plugins.files.comparing import diff
from toolhost.plugins.files.looking import glob, list_folder, read, stat_path
from toolhost.plugins.files.searching import search

__all__ = ["register_tools"]

_LOOKING = (list_folder, glob, read, search, stat_path, diff, list_changes)
_CHANGING = (write, edit, patch, move, delete, undo_change)


@hookimpl
def register_tools(register: Callable[[Callable[..., object]], None]) -> None:
    """All of them."""
    for function in (*_LOOKING, *_CHANGING):
        register(function)
