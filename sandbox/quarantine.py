"""Patterns of hidden paths, from the beginning of a call to its end.

At the beginning what matches is masked. At the end what matches newly was made by the call: it is moved out of the root
into the host's quarantine folder, where only the host is, and reported. On another file system it stays, closed to
everybody, and the next call masks it like anything else that matches.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from toolhost.sandbox.beneath import open_strictly_beneath
from toolhost.sandbox.collect import spelled
from toolhost.sandbox.errors import PlanRefused
from toolhost.sandbox.globs import matching
from toolhost.sandbox.mounts import open_root

__all__ = ["Quarantine"]

_logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Quarantine:
    """What the patterns of one call match at its beginning, and where goes what matches newly at its end.

    Attributes:
        folder: The host's quarantine folder; made when it is first needed.
        roots: As a launch message describes them.
    """

    folder: str
    roots: Sequence[dict[str, Any]]
    _masked: dict[str, frozenset[str]] = field(default_factory=dict)

    def begin(self) -> tuple[dict[str, Any], ...]:
        """The roots with what the patterns match now among what is hidden.

        Raises:
            PlanRefused: `too_many_hidden`, or as `open_root`.
        """
        made = []
        for root in self.roots:
            found = _found(root) if root["hidden_globs"] else ()
            made.append({**root, "hidden": tuple(dict.fromkeys((*root["hidden"], *found)))})
            self._masked[root["target"]] = frozenset(found)
        return tuple(made)

    def collect(self) -> tuple[str, ...]:
        """Move away what matches newly.

        Returns:
            The paths inside, fit to be shown.
        """
        reported: list[str] = []
        for root in self.roots:
            if not root["hidden_globs"] or not root["writable"]:
                continue
            try:
                found = _found(root)
            except PlanRefused as refused:
                # The next call finds the same, and is refused until a person puts the folder in order.
                reported.append(f"{spelled(root['target'])}: {refused.message}")
                continue
            new = [path for path in found if path not in self._masked[root["target"]]]
            if new:
                fd = open_root(root["source"], root["device"], root["inode"])
                try:
                    for path in new:
                        self._take(fd, path)
                        reported.append(spelled(f"{root['target']}/{path}"))
                finally:
                    os.close(fd)
        if reported:
            _logger.warning("a call made what its policy denies: %s", ", ".join(reported))
        return tuple(reported)

    def _take(self, root_fd: int, path: str) -> None:
        above, _, name = path.rpartition("/")
        try:
            parent = open_strictly_beneath(root_fd, above or ".", os.O_PATH | os.O_DIRECTORY)
        except OSError:
            return
        try:
            _close_to_everybody(parent, name)
            os.makedirs(self.folder, 0o700, exist_ok=True)
            try:
                os.rename(name, f"{self.folder}/{os.urandom(8).hex()}", src_dir_fd=parent)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
        except OSError as error:
            _logger.warning("%s matches a deny and cannot be quarantined: %s", spelled(path), error.strerror)
        finally:
            os.close(parent)


def _found(root: dict[str, Any]) -> tuple[str, ...]:
    fd = open_root(root["source"], root["device"], root["inode"])
    try:
        return matching(fd, root["hidden_globs"])
    finally:
        os.close(fd)


def _close_to_everybody(parent: int, name: str) -> None:
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISLNK(mode):
            # A folder can only be moved by who may write in it: moving rewrites its `..`.
            os.chmod(f"/proc/self/fd/{fd}", 0o700 if stat.S_ISDIR(mode) else 0)
    finally:
        os.close(fd)
