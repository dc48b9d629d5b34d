"""What Python plugins declared, kept by the digest of their files: an unchanged plugin is not started to be listed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["DescriptionCache"]


class DescriptionCache:
    """A folder of descriptions.

    Args:
        folder: In the host's own state, so nobody else writes to it; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # What a description depends on beside the plugin: the schemas are pydantic's, read by this host's worker.
        self._host = "/".join((metadata.version("toolhost"), metadata.version("pydantic"), sys.version))

    def forget(self, digest: str) -> None:
        """Let go of a description that turned out to be old."""
        self._file(digest).unlink(missing_ok=True)

    def get(self, digest: str) -> Mapping[str, Any] | None:
        """The description of the plugin with these files, or None."""
        try:
            described = json.loads(self._file(digest).read_bytes())
        except (OSError, ValueError):
            return None  # not kept, or cut short by a crash: the plugin is described again
        if isinstance(described, dict) and isinstance(described.get("tools"), list) and "info" in described:
            return described
        return None

    def put(self, digest: str, described: Mapping[str, Any]) -> None:
        """Keep a description that was checked."""
        file = self._file(digest)
        if file.exists():
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"info": described["info"], "tools": described["tools"]}))
        temporary.replace(file)

    def _file(self, digest: str) -> Path:
        return self._folder / (hashlib.sha256(f"{self._host}/{digest}".encode()).hexdigest() + ".json")
