"""The control group of one call: made with its sandbox, joined before anything of the call runs, removed after it.

bubblewrap and the launcher are in it too, and everything the tool starts is born in it. `processes` is the tool's, so
the group takes two more; neither of the two needs a new process to say how the tool ended.

Where nobody has moved a process into a group of late the kernel waits for a moment in which none forks, 8 ms and more.
It need not for a thread that moves itself, which v1 allows: there the spawner steps into the group, starts bubblewrap,
which is born in it, and steps out. In v2 bubblewrap is moved while it is busy setting up, which hides the wait.
"""

from __future__ import annotations

import contextlib
import os

from toolhost.sandbox.cgroups import Cgroups, kill, read, remove, write
from toolhost.sandbox.outcome import Enforcement
from toolhost.sandbox.plan import Limits

__all__ = ["CallGroup"]

_OURS = 2  # bubblewrap and the launcher
_PERIOD = 100_000  # microseconds, the kernel's default
_NANO = 1_000_000_000


class CallGroup:
    """One call's group, in every hierarchy there is.

    Attributes:
        holds: What it enforces for the whole tree, by the limit's name: `memory`, `processes`, `cpu`.
    """

    def __init__(self, cgroups: Cgroups) -> None:
        self.holds: dict[str, Enforcement] = {}
        self._cgroups = cgroups
        self._folders = cgroups.folders() if cgroups.version is not None else ()
        self._version = cgroups.version
        self._memory = cgroups.folder_of("memory", self._folders)
        self._pids = cgroups.folder_of("pids", self._folders)
        self._account = cgroups.folder_of("cpuacct", self._folders)
        self._cpu_before = 0.0
        self._limits: Limits | None = None
        self._starved = False
        made: list[str] = []
        try:
            for folder in self._folders:
                os.mkdir(folder, 0o755)
                made.append(folder)
        except OSError:
            self._give_up(made)

    def join(self, pid: int) -> None:
        """Put a process in. Where that fails the group is given up, and holds nothing."""
        try:
            for folder in self._folders:
                write(folder, "cgroup.procs", str(pid))
        except OSError:
            self.give_up()

    def open_doors(self) -> tuple[int, ...]:
        """Descriptors to write "0" to: the first half to step in, the rest to step out; none where it is joined.

        Whoever asks closes them.
        """
        opened: list[int] = []
        if self._version == "cgroup1":
            try:
                for folder in (*self._folders, *map(os.path.dirname, self._folders)):
                    opened.append(os.open(f"{folder}/tasks", os.O_WRONLY | os.O_CLOEXEC))
            except OSError:
                self.give_up()
                for fd in opened:
                    os.close(fd)
                opened = []
        return tuple(opened)

    @property
    def is_joined(self) -> bool:
        """Whether processes have to be put in, because nothing is born in it."""
        return self._version == "cgroup2"

    def give_up(self) -> None:
        """Hold nothing: a process of the call is not in it."""
        self._give_up(list(self._folders))

    def limit(self, limits: Limits) -> None:
        """Set the limits of the call. One that the kernel refuses is not held."""
        if self._version is None or limits == self._limits:
            return
        self._limits = limits
        for name, folder, setter in (
            ("memory", self._memory, self._limit_memory),
            ("processes", self._pids, self._limit_processes),
            ("cpu", self._account, self._begin_cpu),
        ):
            if folder is None:
                continue
            with contextlib.suppress(OSError):
                setter(folder, limits)
                self.holds[name] = self._version

    def begin(self) -> None:
        """Count CPU time from here: another call of the same conversation begins."""
        if self._account is not None:
            with contextlib.suppress(OSError):
                self._cpu_before = self._cpu_used(self._account)

    def cpu_seconds(self) -> float:
        """CPU seconds that every process of the call has used since the limits were set, ended ones too."""
        if self._account is None:
            return 0.0
        try:
            return self._cpu_used(self._account) - self._cpu_before
        except OSError:
            return 0.0

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something because the call was over its memory."""
        if self._memory is None or self._starved or not self._folders:
            return self._starved
        name = "memory.events" if self._version == "cgroup2" else "memory.oom_control"
        try:
            lines = [line.split() for line in read(self._memory, name).splitlines()]
        except OSError:
            return False
        return any(line[0] == "oom_kill" and int(line[1]) > 0 for line in lines if len(line) == 2)

    def kill(self) -> None:
        """Kill everything in it."""
        for folder in self._folders[:1]:
            kill(folder)

    def remove(self) -> None:
        """Remove it, once no process is left in it. What cannot be removed now is swept at the next start."""
        self._starved = self.out_of_memory()
        for folder in self._folders:
            remove(folder)
        self._folders = ()

    def _limit_memory(self, folder: str, limits: Limits) -> None:
        if self._version == "cgroup2":
            write(folder, "memory.max", str(limits.memory))
            with contextlib.suppress(OSError):  # no swap accounting: then there is none to limit
                write(folder, "memory.swap.max", "0")
            write(folder, "memory.oom.group", "1")
            return
        write(folder, "memory.limit_in_bytes", str(limits.memory))
        with contextlib.suppress(OSError):
            write(folder, "memory.memsw.limit_in_bytes", str(limits.memory))

    def _limit_processes(self, folder: str, limits: Limits) -> None:
        write(folder, "pids.max", str(limits.processes + _OURS))

    def _begin_cpu(self, folder: str, limits: Limits) -> None:
        # The time itself is counted by the group and watched; the share keeps one call from starving the others.
        share = self._cgroups.folder_of("cpu", self._folders)
        if share is not None:
            quota = str(_PERIOD * max(self._cgroups.processors - 1, 1))
            with contextlib.suppress(OSError):
                if self._version == "cgroup2":
                    write(share, "cpu.max", f"{quota} {_PERIOD}")
                else:
                    write(share, "cpu.cfs_quota_us", quota)
        self._cpu_before = self._cpu_used(folder)

    def _cpu_used(self, folder: str) -> float:
        if self._version == "cgroup1":
            return int(read(folder, "cpuacct.usage")) / _NANO
        for line in read(folder, "cpu.stat").splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1_000_000
        raise OSError("cpu.stat has no usage_usec")

    def _give_up(self, made: list[str]) -> None:
        for folder in made:
            remove(folder)
        self._folders = ()
        self._version = None
        self.holds = {}
