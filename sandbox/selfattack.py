"""Making the attempts of `attacks.py`: all of them one by one, or the quick ones together in one sandbox."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from toolhost.sandbox import seccomp
from toolhost.sandbox.attacks import ATTACKS, CALLS, PROGRAMS, Attack
from toolhost.sandbox.errors import SandboxError, SandboxUnavailable
from toolhost.sandbox.outcome import Outcome
from toolhost.sandbox.plan import Limits, Program, SandboxPlan
from toolhost.sandbox.programs import pin
from toolhost.sandbox.roots import root
from toolhost.sandbox.sandbox import Sandbox

__all__ = ["Result", "attack_all", "attack_quickly", "proven"]

_CANARY = "toolhost-canary"
_LIMITS = Limits(wall=20.0, cpu=10.0, memory=256 << 20, processes=32, scratch=32 << 20)
_MODES = (
    "open", "openat", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "chmod", "fchmodat", "fchmodat2", "setxattr",
)  # fmt: skip
_BEGUN = b"begun\n"
_BEGIN = {"bash": "echo begun\n", "python3": "print('begun', flush=True)\n"}
_TRACE = Attack(group="files", what="a trace on the host's disk or network", code="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How an attempt went.

    Attributes:
        attack: What was tried.
        contained: Whether it failed, as it must.
        said: What it said, shortened, where it was not contained.
    """

    attack: Attack
    contained: bool
    said: str = ""


async def attack_quickly(sandbox: Sandbox) -> list[Result]:
    """Make the quick attempts, all in one sandbox; takes about as long as a dozen commands.

    Raises:
        SandboxError: No attempt could be made: there is no sandbox, or not the programs to try with.
    """
    quick = [attack for attack in ATTACKS if attack.quick]
    parts = (f"echo '#{number}'\n({attack.code})" for number, attack in enumerate(quick))
    script = "exec 2>/dev/null\n" + "\n".join((*parts, "echo '#end'"))
    with _Target() as target:
        outcome = await sandbox.run(target.plan("bash", script))
        said = outcome.stdout.decode("utf-8", "backslashreplace").split("#")
        if len(said) != len(quick) + 2 or said[-1] != "end\n":
            # What did not run was not contained either.
            raise SandboxUnavailable(
                "selfattack_failed",
                f"The sandbox's own test did not run to its end ({outcome.status}).",
                "Run `toolhost selfattack`.",
            )
        results = [_judge(attack, text) for attack, text in zip(quick, said[1:-1], strict=True)]
        if traces := target.traces():
            results.append(Result(attack=_TRACE, contained=False, said=traces))
        return results


async def attack_all(sandbox: Sandbox, attacks: Sequence[Attack] = ATTACKS) -> AsyncIterator[Result]:
    """Make every attempt, each in a sandbox of its own.

    Raises:
        SandboxError: No attempt could be made.
    """
    for attack in attacks:
        with _Target() as target:
            outcome = await sandbox.run(target.plan(attack.by, _BEGIN[attack.by] + attack.code))
            result = _judge(attack, (outcome.stdout + outcome.stderr).decode("utf-8", "backslashreplace"))
            if result.contained and not _ran(outcome):
                result = Result(attack=attack, contained=False, said=f"it did not run to its end: {outcome.status}")
            if result.contained and (traces := target.traces()):
                result = Result(attack=attack, contained=False, said=traces)
            yield result


async def proven(sandbox: Sandbox) -> SandboxUnavailable | None:
    """Make the quick attempts; why no tool may run here where one was not contained, or could not be made."""
    try:
        results = await attack_quickly(sandbox)
    except SandboxError as error:
        return SandboxUnavailable(error.code, error.message, error.hint)
    held = [result.attack.what for result in results if not result.contained]
    if not held:
        return None
    return SandboxUnavailable(
        "selfattack_failed",
        f"An escape from the sandbox succeeded on this machine: {', '.join(held)}.",
        "Do not run tools here; `toolhost selfattack` shows more. Report it as SECURITY.md says.",
    )


def _judge(attack: Attack, text: str) -> Result:
    escaped = "ESCAPED" in text or _CANARY in text
    return Result(attack=attack, contained=not escaped, said=text.strip()[:300] if escaped else "")


def _ran(outcome: Outcome) -> bool:
    """Whether it was carried out: an interpreter that cannot start would pass for contained."""
    if _BEGUN not in outcome.stdout or b"Traceback" in outcome.stderr:
        return False
    # SIGSYS is the filter's answer to a foreign architecture.
    return outcome.status == "exited" or outcome.signal == signal.SIGSYS


def _programs(by: str) -> tuple[Program, ...]:
    # The interpreter that workers run on, by its real path as they do.
    first = pin(os.path.realpath(sys.executable)) if by == "python3" else pin("bash")
    return (first, *(pin(name) for name in PROGRAMS if name != "bash"))


def _numbers() -> dict[str, int]:
    """Numbers of system calls on this architecture, by name."""
    return {name: number for name in (*CALLS, *_MODES) if (number := seccomp.number_of(name)) is not None}


class _Target:
    """What the attempts are aimed at: a folder, a listener, and what is left afterwards."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="toolhost-attack-")).resolve()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        try:
            work = self._folder / "work"
            for name in ("hidden", "kept"):
                (work / name).mkdir(parents=True)
            (self._folder / "canary").write_text(_CANARY + "\n")
            (work / "hidden" / "x").write_text(_CANARY + "\n")
            (work / "kept" / "file").write_text("kept\n")
            (work / "link").symlink_to(self._folder / "canary")
            shutil.copy("/bin/true", work / "program")
            self._listen(socket.AF_UNIX, str(work / "socket"))
            self._listen(socket.AF_INET, ("127.0.0.1", 0))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def plan(self, by: str, code: str) -> SandboxPlan:
        """The plan of an attempt."""
        programs = _programs(by)
        port = self._sockets[1].getsockname()[1]
        words = (str(self._folder / "canary"), str(os.getpid()), str(port), json.dumps(_numbers()))
        return SandboxPlan(
            kind="command",
            tool="toolhost.selfattack",
            argv=(programs[0].path, "-c", code, *(("selfattack",) if by == "bash" else ()), *words),
            cwd="/workspace",
            programs=programs,
            roots=(
                root(
                    str(self._folder / "work"),
                    "/workspace",
                    writable=True,
                    hidden=("hidden/x", "later/secret"),
                    protected=("kept/file", ".envrc"),
                ),
            ),
            limits=_LIMITS,
        )

    def traces(self) -> str:
        """What the attempts did to the host, whatever they said of it; empty where nothing."""
        found = []
        for path in (self._folder, *self._folder.rglob("*")):
            mode = path.lstat().st_mode
            if mode & (stat.S_ISUID | stat.S_ISGID) or stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
                found.append(f"{path.name!a} has the mode {mode:o}")
        kept = self._folder / "work" / "kept" / "file"
        if kept.is_symlink() or not kept.is_file() or kept.read_text() != "kept\n":
            found.append("a protected file was changed")
        for listener in self._sockets:
            with suppress(BlockingIOError):
                listener.accept()[0].close()
                found.append("a connection arrived")
        return ", ".join(found)

    def _listen(self, family: socket.AddressFamily, address: str | tuple[str, int]) -> None:
        listener = socket.socket(family)
        self._sockets.append(listener)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen()
