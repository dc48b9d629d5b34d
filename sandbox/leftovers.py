"""What a host leaves in other people's folders when its spawner is killed or cannot remove it: placeholders.

Whoever is about to make placeholders in a root notes the root and the paths first, once, in a file of its own that it
keeps locked. The next host to start finds the files that nobody locks any more, looks through the roots they name, and
removes what bears the mark of a placeholder.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Sequence
from typing import Any

from toolhost.sandbox.errors import PlanRefused, SandboxUnavailable
from toolhost.sandbox.mounts import open_root
from toolhost.sandbox.placeholders import remove_left_behind

__all__ = ["Leftovers"]


class Leftovers:
    """Notes of this host, and those of hosts that are gone.

    Args:
        state: The host's state folder.
    """

    def __init__(self, state: str) -> None:
        self._folder = f"{state}/placeholders"
        self._path = f"{self._folder}/{os.getpid()}"
        self._file = -1
        self._noted: set[tuple[object, ...]] = set()

    def sweep(self) -> None:
        """Remove what hosts that are gone have left. What cannot be removed now is tried again at the next start.

        Raises:
            SandboxUnavailable: `state_not_writable`.
        """
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        for name in os.listdir(self._folder):
            path = f"{self._folder}/{name}"
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with open(fd, encoding="ascii", closefd=False) as file:
                    done = [_clear(line) for line in file]
                if all(done) and os.fstat(fd).st_nlink:  # otherwise the name is another's by now
                    os.unlink(path)
            except OSError:
                continue  # that host lives, or another one sweeps
            finally:
                os.close(fd)

    def note(self, roots: Sequence[dict[str, Any]]) -> None:
        """Say where placeholders may stand from now on.

        Raises:
            SandboxUnavailable: `state_not_writable`.
        """
        for root in roots:
            key = (root["device"], root["inode"], *root["hidden"], "", *root["protected"])
            if not root["writable"] or key in self._noted:
                continue
            line = {name: root[name] for name in ("source", "device", "inode", "hidden", "protected")}
            try:
                os.write(self._open(), json.dumps(line).encode() + b"\n")
            except OSError as error:
                raise self._unwritable(error) from error
            self._noted.add(key)

    def close(self, *, clean: bool) -> None:
        """After the last sandbox is gone.

        Args:
            clean: Whether nothing is left that the next host to start would have to look for.
        """
        if self._file >= 0:
            if clean:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)
            os.close(self._file)
            self._file = -1

    def _unwritable(self, error: OSError) -> SandboxUnavailable:
        return SandboxUnavailable(
            "state_not_writable",
            f"The sandbox's files cannot be prepared in {self._folder}: {error.strerror}.",
            "Make room on the data directory's disk, and let the service user write there.",
        )

    def _open(self) -> int:
        while self._file < 0:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_SH)
            if os.fstat(fd).st_nlink:
                self._file = fd
            else:  # somebody swept it before it was locked
                os.close(fd)
        return self._file


def _clear(line: str) -> bool:
    """Clear one root; False where that has to be tried again."""
    try:
        noted = json.loads(line)
        root = open_root(noted["source"], noted["device"], noted["inode"])
    except (PlanRefused, ValueError, KeyError, TypeError):
        return True  # it is gone, or another folder: then so are the placeholders
    try:
        for path in (*noted["hidden"], *noted["protected"]):
            remove_left_behind(root, path)
    except OSError:
        return False
    finally:
        os.close(root)
    return True
