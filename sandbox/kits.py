"""What every sandbox needs whatever its shape, made one ahead of the next: while a call waits it takes time."""

from __future__ import annotations

import asyncio
import contextlib
import os

from toolhost.sandbox.call_group import CallGroup
from toolhost.sandbox.cgroups import Cgroups
from toolhost.sandbox.errors import SandboxUnavailable
from toolhost.sandbox.pipes import Pipes

__all__ = ["Kit", "Kits"]

_SOON = 0.02  # seconds after which another is made ahead


class Kit:
    """The pipes and the control group of one sandbox.

    Args:
        cgroups: What may be used.

    Attributes:
        pipes: Its pipes.
        group: Its control group.
        doors: Of that group; empty where a process is not born in it.

    Raises:
        SandboxUnavailable: `descriptors_exhausted`.
    """

    def __init__(self, cgroups: Cgroups) -> None:
        self.pipes = Pipes()
        self.group = CallGroup(cgroups)
        self.doors = self.group.open_doors()

    def handed_over(self) -> None:
        """Close what the spawner has copies of, or does not want."""
        self.pipes.close(*self.pipes.theirs)
        for fd in self.doors:
            os.close(fd)
        self.doors = ()

    def discard(self) -> None:
        """Let go of it."""
        self.handed_over()
        self.pipes.close_all()
        self.group.remove()


class Kits:
    """Makes them.

    Args:
        cgroups: What may be used.
    """

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._spare: Kit | None = None
        self._making: asyncio.TimerHandle | None = None

    def take(self) -> Kit:
        """One that nobody else has.

        Raises:
            SandboxUnavailable: `descriptors_exhausted`.
        """
        taken, self._spare = self._spare, None
        if self._making is None:
            self._making = asyncio.get_running_loop().call_later(_SOON, self.make_ahead)
        return taken or Kit(self._cgroups)

    def make_ahead(self) -> None:
        """Make one for the next, if there is none."""
        if self._making is not None:
            self._making.cancel()
            self._making = None
        if self._spare is None:
            with contextlib.suppress(SandboxUnavailable):  # whoever needs one then will be told
                self._spare = Kit(self._cgroups)

    def close(self) -> None:
        """Make no more."""
        if self._making is not None:
            self._making.cancel()
        if self._spare is not None:
            self._spare.discard()
            self._spare = None
