"""What Python plugins declared, kept by the digest of their files: an unchanged plugin is not started to be listed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from toolhost.errors import PluginError

__all__ = ["DescriptionCache"]

_FORM = "2"  # of a description; another one where what it holds is another
_SLOW = ".slow"
_PATIENCE = 300.0
"""Seconds for which a plugin that could not be described in time is not tried again."""


class DescriptionCache:
    """A folder of descriptions.

    Args:
        folder: In the host's own state, so nobody else writes to it; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # What a description depends on beside the plugin: the schemas are pydantic's, read by this host's worker.
        self._host = "/".join((_FORM, metadata.version("toolhost"), metadata.version("pydantic"), sys.version))

    def check_patience(self, digest: str) -> None:
        """Refuse at once what took too long a moment ago: every command would wait for it again.

        Raises:
            PluginError: `worker_not_ready`, with what was said then.
        """
        file = self._file(digest).with_suffix(_SLOW)
        try:
            if time.time() - file.stat().st_mtime > _PATIENCE:
                return
            said = json.loads(file.read_bytes())
        except (OSError, ValueError):
            return
        if isinstance(said, str):
            raise PluginError(
                "worker_not_ready", said, f"It is tried again when it changed, or after {_PATIENCE / 60:g} minutes."
            )

    def note_slow(self, digest: str, said: str) -> None:
        """Remember that a description took too long."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file(digest).with_suffix(_SLOW).write_text(json.dumps(said))

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
