"""The settings that plugins declare, read from their manifests alone: what `[config]` of a policy is checked by."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from toolhost.errors import PluginError
from toolhost.pluginhost.discovery import candidates
from toolhost.pluginhost.manifest import MANIFEST, read_manifest

__all__ = ["declared_settings"]


def declared_settings(
    plugins: Path, installed: Collection[str] | None = None
) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """The settings of every plugin whose manifest can be read, by its name.

    Args:
        plugins: The plugins folder.
        installed: As of `candidates`.
    """
    found: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    for candidate in candidates(plugins, installed):
        if candidate.problem is None and candidate.folder is not None:
            try:
                manifest = read_manifest(candidate.folder / MANIFEST)
            except PluginError:
                continue  # `plugin list` says why
            found.setdefault(manifest.name, manifest.config)
    return found
