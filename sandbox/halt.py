"""The stop that outranks everything: while its file stands in the state folder, nothing starts and nothing goes on.

Every spawner looks for the file itself, before it starts anything and several times a second: the stop does not depend
on a host that answers. Where even a spawner does not, whoever set the stop ends what is below it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from toolhost.sandbox.errors import SandboxUnavailable
from toolhost.sandbox.processes import lives

__all__ = ["HALT", "LOOK_MS", "SPAWNER", "Halt", "end_sandboxes", "sandboxed"]

HALT = "panic"
"""Name of the file."""

LOOK_MS = 250
"""Milliseconds after which a spawner looks for it again."""

SPAWNER = "toolhost-spawn"
"""What a spawner's process is called."""


class Halt:
    """The stop as a spawner sees it.

    Args:
        folder: Descriptor of the state folder: its path means something else in the spawner's namespaces.
    """

    def __init__(self, folder: int) -> None:
        self._folder = folder

    def is_set(self) -> bool:
        """Whether nothing may run. Where that cannot be told, nothing may."""
        try:
            os.stat(HALT, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    @staticmethod
    def refusal() -> SandboxUnavailable:
        """Why nothing starts."""
        return SandboxUnavailable(
            "panicked", "An administrator stopped everything.", "`toolhost resume` lets calls run again."
        )


def sandboxed(state: Path) -> list[int]:
    """Process ids of everything that runs in the sandboxes of a state folder, of every host that uses it."""
    below: dict[int, list[int]] = {}
    spawners = []
    ours = os.stat(state)
    for pid, name, parent in _processes():
        below.setdefault(parent, []).append(pid)
        if name == SPAWNER and _holds(pid, ours):
            spawners.append(pid)
    found: list[int] = []
    waiting = [child for spawner in spawners for child in below.get(spawner, ())]
    while waiting:
        pid = waiting.pop()
        waiting += below.get(pid, ())
        if lives(pid):
            found.append(pid)
    return found


def end_sandboxes(state: Path) -> None:
    """Kill everything that runs in the sandboxes of a state folder, without asking anybody."""
    for pid in sandboxed(state):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _processes() -> Iterator[tuple[int, str, int]]:
    """Process id, name and parent of every process."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{entry}/stat", "rb") as file:
                    head, _, tail = file.read().rpartition(b")")
                yield int(entry), head.partition(b"(")[2].decode(errors="replace"), int(tail.split()[1])


def _holds(pid: int, folder: os.stat_result) -> bool:
    """Whether a process has a folder open."""
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found = os.stat(f"/proc/{pid}/fd/{fd}")
                if (found.st_dev, found.st_ino) == (folder.st_dev, folder.st_ino):
                    return True
    return False
