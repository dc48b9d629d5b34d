"""Looks at what a sandbox's processes use together, where no cgroup does.

Memory is the resident size of every process that is not file-backed. Pages that processes share after a fork would
count once for each, so a sum above the limit is measured again by each process's proportional share before anything
is killed. CPU time is that of the living processes and the children they have waited for.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

__all__ = ["Watchdog", "held_by"]

_FIRST, _EVERY = 0.05, 0.1  # seconds
_TICKS = os.sysconf("SC_CLK_TCK")


class _Processes:
    """The processes of one sandbox, as its own /proc lists them: no others.

    Raises:
        OSError: It has ended.
    """

    def __init__(self, pid: int) -> None:
        self._proc = os.open(f"/proc/{pid}/root/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._proc)

    def pids(self) -> list[str]:
        """Their numbers inside."""
        return [name for name in os.listdir(self._proc) if name.isdigit()]

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

    def _threads(self, pid: str) -> list[str]:
        try:
            fd = os.open(f"{pid}/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._proc)
        except (FileNotFoundError, ProcessLookupError):
            return []
        try:
            return os.listdir(fd)
        except (FileNotFoundError, ProcessLookupError):
            return []
        finally:
            os.close(fd)

    def _bytes(self, pid: str, file: str, names: tuple[bytes, ...]) -> int | None:
        """What a file says of a process under some names; None where it says nothing of them.

        The first thread may have ended before the others, and has no memory then: they are asked.
        """
        if (found := _sum(self._read(f"{pid}/{file}"), names)) is not None:
            return found
        threads = (thread for thread in self._threads(pid) if thread != pid)
        return next((said for each in threads if (said := _sum(self._read(f"{each}/{file}"), names)) is not None), None)

    def resident(self, pid: str) -> int:
        """Bytes of one that no file backs."""
        return self._bytes(pid, "status", (b"RssAnon:", b"RssShmem:")) or 0

    def proportional(self, pid: str) -> int:
        """The same, and of what it shares its part."""
        part = self._bytes(pid, "smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:"))
        return self.resident(pid) if part is None else part

    def cpu_seconds(self, pid: str) -> float:
        """What one has used, with the children that it has waited for."""
        fields = self._read(f"{pid}/stat").rpartition(b")")[2].split()
        if len(fields) < 15:
            return 0.0
        # User, system, and of children waited for. A child's own time moves to its parent when it is waited for.
        return sum(int(fields[number]) for number in (11, 12, 13, 14)) / _TICKS


def _sum(said: bytes, names: tuple[bytes, ...]) -> int | None:
    found = [int(line.split()[1]) * 1024 for line in said.split(b"\n") if line.startswith(names)]
    return sum(found) if found else None


def held_by(pid: int) -> int:
    """Bytes of memory that the processes of a sandbox hold together; 0 where it has ended.

    Args:
        pid: The sandbox's pid 1, as the host numbers it.
    """
    try:
        processes = _Processes(pid)
    except OSError:
        return 0
    try:
        return sum(processes.proportional(one) for one in processes.pids())
    except OSError:
        return 0
    finally:
        processes.close()


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
        self._processes: _Processes | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_FIRST, self._look)

    def stop(self) -> None:
        """Stop looking."""
        self._timer.cancel()
        if self._processes is not None:
            self._processes.close()
            self._processes = None

    def _look(self) -> None:
        try:
            if self._processes is None:
                self._processes = _Processes(self._pid)
            over = self._judge(self._processes, self._processes.pids())
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                return  # it has ended
            over = None
        if over:
            self._exceeded(over)
            return
        self._timer = self._loop.call_later(_EVERY, self._look)

    def _judge(self, processes: _Processes, pids: list[str]) -> str | None:
        if self._cpu is not None and sum(processes.cpu_seconds(pid) for pid in pids) > self._cpu + 1:
            return "cpu"
        if self._memory is None or sum(processes.resident(pid) for pid in pids) <= self._memory:
            return None
        return "memory" if sum(processes.proportional(pid) for pid in pids) > self._memory else None
