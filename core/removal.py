"""Removing a workspace: all that tools left in it, whatever they made of its folders, and nothing that it points to."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from toolhost.sandbox.beneath import open_strictly_beneath, open_without_links
from toolhost.sandbox.collect import CollectLimits, survey

__all__ = ["remove_folder"]

_ALL = CollectLimits(count=10_000_000, depth=4096)


def remove_folder(folder: Path) -> None:
    """Remove a folder of the host's own and everything in it; one that is not there is removed already.

    No link is followed. A folder that its own tool closed is opened up first.
    """
    with suppress(OSError):
        root = open_without_links(str(folder), os.O_PATH | os.O_DIRECTORY)
        try:
            _open_up(root, ".")
            for entry in survey(root, _ALL):
                if entry.kind == "folder":
                    _open_up(root, entry.path)  # before the survey comes to look into it
        finally:
            os.close(root)
    shutil.rmtree(folder, ignore_errors=True)


def _open_up(root: int, path: str) -> None:
    with suppress(OSError):
        fd = open_strictly_beneath(root, path, os.O_PATH | os.O_DIRECTORY)
        try:
            # By descriptor: by name it could be another folder by now. A path-only descriptor knows no fchmod.
            Path(f"/proc/self/fd/{fd}").chmod(stat.S_IRWXU)
        finally:
            os.close(fd)
