"""Where the plugin is that somebody works on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from toolhost.errors import UsageError
from toolhost.pluginhost.manifest import MANIFEST

__all__ = ["plugin_folder"]

_SKIPPED = ("node_modules", "site-packages", "__pycache__", "build", "dist")


def plugin_folder(start: str | os.PathLike[str]) -> Path:
    """The one folder with a `plugin.toml` in or below another, as in the sources of a distribution.

    Raises:
        UsageError: `plugin_not_found` where there is none, or more than one.
    """
    folder = Path(start).absolute()
    found = list(_below(folder))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            "plugin_not_found", f"There is no {MANIFEST} in {folder} or below.", "Name the plugin's folder."
        )
    named = ", ".join(str(one.relative_to(folder)) for one in found[:4])
    raise UsageError("plugin_not_found", f"{folder} has several plugins: {named}.", "Name the folder of one.")


def _below(folder: Path) -> Iterator[Path]:
    for base, folders, files in os.walk(folder):
        if MANIFEST in files:
            folders.clear()
            yield Path(base)
        folders[:] = [name for name in sorted(folders) if name not in _SKIPPED and not name.startswith(".")]
