"""The spawner: one small process that starts every bubblewrap.

It is forked before the host has an event loop or threads, has namespaces of its own (`namespaces.py`), and lives as
long as the host. The host asks over a socket, with the descriptors of the call attached; what those descriptors carry
goes between the host and the sandbox directly, never through here.

    host ── {"do": "launch", "call": 7, "tool_root": ..., "scratch": ..., "roots": [...], ...} + descriptors ──> spawner
         <─ {"call": 7, "pid": 4711, "grouped": true}    bubblewrap runs; with a network, and its listening socket
         <─ {"call": 7, "error": [code, message, hint]}  nothing was started
         ── {"do": "settle", "call": 7} ──>              the sandbox stands: its helper mounts can go
         ── {"do": "cover", "call": 7, "roots": [...]} ──>   what is hidden and protected, just before the call begins
         <─ {"call": 7, "covered": true}                 true: placeholders stand in a root of the host
         ── {"do": "uncover", "call": 7} ──>             nothing of the call is left
         <─ {"call": 7, "covered": false}                placeholders are removed
         ── {"do": "kill", "call": 7} ──>                kill it from here (the host never learned its pid)
         <─ {"call": 7, "gone": 0}                       bubblewrap has ended, and placeholders are removed

When the socket closes (the host ended, or was killed) every sandbox is killed and the spawner ends. While the stop of
`halt.py` is set every sandbox is killed and none is started, whatever the host says, or does not.
"""

from __future__ import annotations

import array
import contextlib
import errno
import gc
import json
import os
import select
import signal
import socket
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from toolhost.sandbox import bubblewrap, kernel
from toolhost.sandbox.call_network import CallNetworks
from toolhost.sandbox.errors import SandboxError, SandboxUnavailable
from toolhost.sandbox.halt import LOOK_MS, SPAWNER, Halt
from toolhost.sandbox.mounts import Mounts
from toolhost.sandbox.namespaces import enter
from toolhost.sandbox.processes import children
from toolhost.sandbox.script import ARGS, CTL, JSON, LAUNCHER, ROOTS, SECCOMP, STDERR

__all__ = ["FIRST_FREE", "HANDED", "serve"]

# The descriptors of a launch message, in this order, and where bubblewrap finds them. Standard error of bubblewrap and
# of the launcher is the status pipe; the tool's own comes at STDERR and is put in place at the last moment.
HANDED = (0, 1, 2, STDERR, CTL, JSON, SECCOMP, ARGS, LAUNCHER)
_SECRETS = 16  # at most (`check.py`); they follow, as many as the message says
_DOORS = 8  # at most, of the call's control group (`call_group.py`); they come last
FIRST_FREE = 64  # everything below is a target of dup2 in the child, so nothing of ours may stand there
_MESSAGE = 1 << 18
_LEFT = 3  # exit status: something may stand in a root that the next host to start has to remove
_DEFAULTS = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]


def serve(connection: socket.socket, bwrap: str, state: str, tool_roots: str, spares: str) -> NoReturn:
    """Be the spawner, until the host is gone. Never returns, and never lets an exception out of the fork.

    Args:
        connection: The host's socket (SOCK_SEQPACKET).
        bwrap: Path of bubblewrap.
        state: The host's state folder, where the stop would be.
        tool_roots: Host folder of the tool roots.
        spares: Host folder of the placeholders that are kept for later calls.
    """
    try:
        _detach_from_host(connection)
        connection = socket.socket(fileno=_high(connection.detach()))
        halt = Halt(
            os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        )  # by its path it could not be found later
        try:
            namespaces = enter(tool_roots)
        except OSError as error:
            connection.send(json.dumps({"fatal": str(error)}).encode())
            os._exit(1)
        connection.send(b'{"up": true}')
        _Spawner(connection, bwrap, Mounts(namespaces, spares), halt).run()
    except BaseException:
        # The only place where it can be said: the socket closes, and the host refuses every call from here on.
        os.write(2, traceback.format_exc().encode())
    os._exit(1)


def _detach_from_host(connection: socket.socket) -> None:
    os.setsid()  # Ctrl-C on the host's terminal ends the host, which ends the spawner
    gc.disable()
    kernel.set_name(SPAWNER)
    kernel.adopt_orphans()
    signal.set_wakeup_fd(-1)
    for number in _DEFAULTS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep = connection.fileno()
    os.dup2(os.open("/dev/null", os.O_RDWR), 0)
    os.dup2(0, 1)
    os.closerange(3, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))
    filler = os.dup(0)
    while filler < FIRST_FREE - 1:
        filler = os.dup(0)
    os.chdir("/")
    os.umask(0o022)


def _high(fd: int) -> int:
    if fd >= FIRST_FREE:
        return fd
    moved = os.dup(fd)
    os.dup2(0, fd, inheritable=False)
    return moved


class _Spawner:
    def __init__(self, connection: socket.socket, bwrap: str, mounts: Mounts, halt: Halt) -> None:
        self._connection = connection
        self._halt = halt
        self._bwrap = bwrap
        self._mounts = mounts
        self._networks = CallNetworks()
        self._poll = select.poll()
        self._pids: dict[int, int] = {}  # call -> pid of its bubblewrap
        self._calls: dict[int, int] = {}  # pidfd -> call

    def run(self) -> NoReturn:
        # In this order it reports: what was mounted is known before the call that was made after it is looked at.
        self._poll.register(self._mounts.changes, select.POLLPRI)
        self._poll.register(self._connection, select.POLLIN)
        while True:
            ready = self._poll.poll(LOOK_MS if self._pids else None)
            if self._pids and self._halt.is_set():
                for call in list(self._pids):
                    self._kill(call)
            for fd, _ in ready:
                if fd in self._calls:
                    self._reap(fd)
                elif fd == self._mounts.changes:
                    self._mounts.renew()
                elif not self._receive():
                    self._end()

    def _receive(self) -> bool:
        room = socket.CMSG_SPACE((len(HANDED) + _SECRETS + _DOORS) * array.array("i").itemsize)
        try:
            data, ancillary, flags, _ = self._connection.recvmsg(_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return False  # the host ended without reading our last words
        handed = array.array("i")
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                handed.frombytes(payload[: len(payload) - len(payload) % handed.itemsize])
        if not data:
            return False
        try:
            message = json.loads(data)
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                cut = SandboxUnavailable(
                    "descriptors_exhausted", "The spawner has no descriptors left.", "Raise the limit on open files."
                )
                self._refuse(message["call"], cut)
            elif message["do"] == "launch":
                self._launch(message, handed)
            elif message["do"] == "settle":
                self._mounts.settle(message["call"])
                self._mounts.make_ahead()
            elif message["do"] == "cover":
                self._cover(message)
            elif message["do"] == "uncover":
                self._uncover(message["call"])
            elif message["do"] == "kill":
                self._kill(message["call"])
        finally:
            for fd in handed:
                os.close(fd)
        return True

    def _launch(self, message: dict[str, Any], handed: array.array[int]) -> None:
        call: int = message["call"]
        roots: list[int] = []
        listener: socket.socket | None = None
        try:
            if self._halt.is_set():
                raise Halt.refusal()
            roots = self._mounts.prepare(call, message["tool_root"], message["scratch"], message["roots"])
            secrets = handed[len(HANDED) : len(HANDED) + message["secrets"]]
            doors = handed[len(HANDED) + len(secrets) :]
            places = [
                *zip(handed[: len(HANDED)], HANDED, strict=True),
                *((fd, ROOTS + number) for number, fd in enumerate((*roots, *secrets))),
            ]
            if places[-1][1] >= FIRST_FREE:
                raise SandboxError("too_many_roots", f"A sandbox can have {FIRST_FREE - ROOTS - 2} roots and secrets.")
            with (
                self._networks.new() if message["network"] else contextlib.nullcontext() as listener,
                _inside(doors) as grouped,
            ):
                pid = os.posix_spawn(
                    self._bwrap,
                    bubblewrap.words(self._bwrap, message["limits"], again=message["again"]),
                    {},  # /proc/1/environ inside would show it (bubblewrap#725)
                    file_actions=[(os.POSIX_SPAWN_DUP2, fd, place) for fd, place in places],
                    setsigmask=(),
                    setsigdef=_DEFAULTS,
                )
        except (SandboxError, OSError) as error:
            self._mounts.settle(call)
            self._refuse(call, error)
            return
        finally:
            for fd in roots:
                os.close(fd)
        self._pids[call] = pid
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:  # what cannot be watched must not run
            self._kill(call)
            os.waitpid(self._pids.pop(call), 0)
            self._kill_orphans()
            self._mounts.settle(call)
            with listener or contextlib.nullcontext():
                self._refuse(call, error)
            return
        self._calls[pidfd] = call
        self._poll.register(pidfd, select.POLLIN)
        with listener or contextlib.nullcontext():
            self._say({"call": call, "pid": pid, "grouped": grouped}, () if listener is None else (listener.fileno(),))

    def _cover(self, message: dict[str, Any]) -> None:
        call: int = message["call"]
        try:
            sandbox = self._sandbox_of(call)
            if not sandbox:
                raise SandboxError("setup_failed", "The sandbox ended before its call began.")
            covered = self._mounts.masks.cover(call, sandbox, message["roots"], again=message["again"])
        except (SandboxError, OSError) as error:
            self._refuse(call, error)
            return
        self._say({"call": call, "covered": covered})

    def _uncover(self, call: int) -> None:
        try:
            self._mounts.masks.uncover(call, self._sandbox_of(call))
        except (SandboxError, OSError) as error:
            self._refuse(call, error)
            return
        self._say({"call": call, "covered": False})
        self._mounts.masks.tidy()

    def _sandbox_of(self, call: int) -> int:
        """Process id of a sandbox's pid 1; 0 where it is gone."""
        # bubblewrap is not reaped yet, so the number is still its own, and so is that of its first child.
        return next(iter(self._children_of(self._pids.get(call, 0))), 0)

    def _refuse(self, call: int, error: SandboxError | OSError) -> None:
        if isinstance(error, SandboxError):
            refusal = [type(error).__name__, error.code, error.message, error.hint]
        elif error.errno in (errno.EMFILE, errno.ENFILE):
            text = f"The sandbox cannot be made: {error.strerror}."
            refusal = ["SandboxUnavailable", "descriptors_exhausted", text, "Raise the limit on open files."]
        else:
            refusal = ["SandboxUnavailable", "launch_failed", f"The sandbox cannot be made: {error}.", ""]
        self._say({"call": call, "error": refusal})

    def _reap(self, pidfd: int) -> None:
        call = self._calls.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(self._pids.pop(call), 0)
        if os.WIFSIGNALED(status):
            self._kill_orphans()
        self._mounts.settle(call)
        self._mounts.masks.release(call)
        self._say({"call": call, "gone": status})
        self._mounts.masks.tidy()

    def _kill(self, call: int) -> None:
        """Kill a sandbox in the making, its pid 1 first: bubblewrap killed alone leaves its command running or hanging.

        Stopped first, so that it cannot fork between the look for its child and its end.
        """
        pid = self._pids.get(call)  # not reaped yet, so the number is still its own
        if pid is None:
            return
        _signal(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        for child in self._children_of(pid):
            _signal(child, signal.SIGKILL)
        _signal(pid, signal.SIGKILL)

    def _kill_orphans(self) -> None:
        """Kill what a bubblewrap that was itself killed left behind: orphans become children of this process."""
        for child in self._children_of(os.getpid()):
            if child not in self._pids.values():
                _signal(child, signal.SIGKILL)
                os.waitpid(child, 0)

    def _children_of(self, pid: int) -> list[int]:
        """What must be killed is found even where no descriptor is left: a low one is given up for the moment."""
        os.close(FIRST_FREE - 1)
        try:
            return children(pid)
        finally:
            os.dup2(0, FIRST_FREE - 1, inheritable=False)

    def _end(self) -> NoReturn:
        for call in list(self._pids):
            self._kill(call)
        with contextlib.suppress(ChildProcessError):
            while True:
                for child in self._children_of(os.getpid()):
                    _signal(child, signal.SIGKILL)
                os.waitpid(-1, 0)
        for call in list(self._pids):
            self._mounts.masks.release(call)
        os._exit(_LEFT if self._mounts.masks.close() else 0)

    def _say(self, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        try:
            socket.send_fds(self._connection, [json.dumps(message).encode()], descriptors)
        except OSError:
            self._end()


@contextlib.contextmanager
def _inside(doors: Sequence[int]) -> Iterator[bool]:
    """Be in a control group: what is started meanwhile is born in it. Says whether that worked.

    Raises:
        RuntimeError: It cannot be left again: this process would be held to a call's limits, and must end.
    """
    half = len(doors) // 2
    try:
        try:
            for door in doors[:half]:
                os.write(door, b"0")
            grouped = half > 0
        except OSError:
            grouped = False
        yield grouped
    finally:
        try:
            for door in doors[half:]:
                os.write(door, b"0")
        except OSError as error:
            raise RuntimeError("the spawner cannot leave a control group") from error


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
