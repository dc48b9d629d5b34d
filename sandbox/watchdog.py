"""Looks at what a sandbox's processes use together, where no cgroup does.

Memory is the resident size of every process that is not file-backed. Pages that processes share after a fork would
count once for each, so a sum above the limit is measured again by each process's proportional share before anything
is killed. CPU time is that of the living processes and the children they have waited for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

__all__ = ["Watchdog"]

_FIRST, _EVERY = 0.05, 0.1  # seconds
_TICKS = os.sysconf("SC_CLK_TCK")


class Watchdog:
    """Polls one sandbox until stopped.

    Args:
        pid: The sandbox's pid 1, as the host numbers it.
        memory: Bytes all processes may use together; None is no limit here.
        cpu: CPU seconds they may use together; None is no limit.
        exceeded: Called once with `memory` or `cpu`.
    """

    def __init__(self, pid: int, memory: int | None, cpu: float | None, exceeded: Callable[[str], None]) -> None:
        self._memory = memory
        self._cpu = cpu
        self._exceeded = exceeded
        self._pid = pid
        self._proc = -1
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_FIRST, self._look)

    def stop(self) -> None:
        """Stop looking."""
        self._timer.cancel()
        if self._proc >= 0:
            os.close(self._proc)
            self._proc = -1

    def _look(self) -> None:
        try:
            if self._proc < 0:
                # The sandbox's own /proc lists its processes and no others.
                self._proc = os.open(f"/proc/{self._pid}/root/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            pids = [name for name in os.listdir(self._proc) if name.isdigit()]
        except OSError:
            return  # it has ended
        over = self._judge(pids)
        if over:
            self._exceeded(over)
            return
        self._timer = self._loop.call_later(_EVERY, self._look)

    def _judge(self, pids: list[str]) -> str | None:
        if self._cpu is not None and sum(self._cpu_seconds(pid) for pid in pids) > self._cpu + 1:
            return "cpu"
        if self._memory is None or sum(self._resident(pid) for pid in pids) <= self._memory:
            return None
        return "memory" if sum(self._proportional(pid) for pid in pids) > self._memory else None

    def _read(self, path: str) -> bytes:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        except OSError:
            return b""
        try:
            return os.read(fd, 8192)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def _resident(self, pid: str) -> int:
        total = 0
        for line in self._read(f"{pid}/status").split(b"\n"):
            if line.startswith((b"RssAnon:", b"RssShmem:")):
                total += int(line.split()[1]) * 1024
        return total

    def _proportional(self, pid: str) -> int:
        # Beyond the anonymous share, shared memory counts by Pss too; file-backed pages do not.
        total, known = 0, False
        for line in self._read(f"{pid}/smaps_rollup").split(b"\n"):
            if line.startswith((b"Pss_Anon:", b"Pss_Shmem:")):
                total, known = total + int(line.split()[1]) * 1024, True
        return total if known else self._resident(pid)

    def _cpu_seconds(self, pid: str) -> float:
        fields = self._read(f"{pid}/stat").rpartition(b")")[2].split()
        if len(fields) < 15:
            return 0.0
        # User, system, and of children waited for. A child's own time moves to its parent when it is waited for.
        return sum(int(fields[number]) for number in (11, 12, 13, 14)) / _TICKS
