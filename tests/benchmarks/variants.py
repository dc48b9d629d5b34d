"""Ways to run one command: with no sandbox, with a bubblewrap started by hand, and as a call of a tool."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from report import Variant

from toolhost.calls.recording import Recording
from toolhost.cli.session import LOCAL_ADMINISTRATOR
from toolhost.data import DataDirectory
from toolhost.host import Host
from toolhost.model import Actor
from toolhost.sandbox import Sandbox, seccomp

PROGRAM = ["/usr/bin/uname", "--all"]

_PLUGIN = """\
name = "{name}"
version = "1.0"
about = "What the benchmarks call."
requires_host = ">=0"

[[tools]]
name = "uname"
about = "Name the kernel."
command = "uname --all"
cwd = "{cwd}"
"""
_MANY = (  # noqa: SIM905 - a list of a hundred words is read more easily as words
    "arch base32 base64 basename basenc cat chcon chgrp chmod chown cksum comm cp csplit cut date df dir dircolors "
    "dirname du echo expand expr factor false fmt fold groups head hostid id install join link ln logname ls md5sum "
    "mkdir mkfifo mknod mktemp mv nl nproc numfmt od paste pathchk pinky pr printenv printf ptx pwd readlink realpath "
    "rm rmdir runcon seq sha1sum sha224sum sha256sum sha384sum sha512sum shuf sleep sort split stat stty sum sync tac "
    "tail tee touch tr true truncate tsort tty uniq unlink users vdir wc who whoami yes grep egrep fgrep gzip gunzip "
    "zcat diff cmp sdiff diff3 findmnt lsblk more rev column look"
).split()

_WORKER_PLUGIN = """\
name = "bench_worker"
version = "1.0"
about = "What the benchmarks call of a worker."
requires_host = ">=0"
module = "bench_worker_code"
"""
_WORKER_CODE = """
import time
from toolhost import hookimpl, tool

@tool
def work(milliseconds: float = 0.0) -> float:
    "Work for so long; returns how long it was, in milliseconds."
    began = time.perf_counter()
    while (took := (time.perf_counter() - began) * 1000) < milliseconds:
        pass
    return took

@tool
async def work_async(milliseconds: float = 0.0) -> float:
    "The same, in the event loop."
    return work(milliseconds)

@hookimpl
def register_tools(register):
    register(work)
    register(work_async)
"""
_WORKER_POLICY = """\
plugin = "bench_worker"
[tools]
allow = ["work", "work_async"]
[paths]
read = ["{workspace}"]
"""

PLUGINS = {
    "bench_plain": '[paths]\nread = ["{workspace}"]\n',
    "bench_masks": '[paths]\nwrite = ["{workspace}"]\n',
    "bench_programs": '[paths]\nread = ["{workspace}"]\n',
    "bench_talk": '[paths]\nread = ["{workspace}"]\n',
}
"""The plugins the benchmarks bring, and the rest of their policies."""


def install(data: DataDirectory) -> None:
    """Put them and their policies into a data directory."""
    there = [name for name in _MANY if any(Path(f"/{folder}/{name}").exists() for folder in ("usr/bin", "bin"))]
    folder = data.plugins / "bench_worker"
    folder.mkdir(parents=True)
    (folder / "plugin.toml").write_text(_WORKER_PLUGIN)
    (folder / "bench_worker_code.py").write_text(_WORKER_CODE)
    (data.policies / "bench_worker.toml").write_text(_WORKER_POLICY)
    for name, policy in PLUGINS.items():
        folder = data.plugins / name
        folder.mkdir(parents=True)
        (folder / "plugin.toml").write_text(_PLUGIN.format(name=name, cwd="{workspace}"))
        inside = f"inside = {there[:100]!r}\n" if name == "bench_programs" else ""
        isolation = 'isolation = "conversation"\n' if name == "bench_talk" else ""
        (data.policies / f"{name}.toml").write_text(
            f'plugin = "{name}"\n{isolation}[commands]\nallow = ["uname [--all]"]\n{inside}{policy}'
        )


def hand_started(tool_root: Path, workspace: Path, *, writable: bool = False) -> Variant:
    """What somebody would write who starts bubblewrap themselves, with the isolation and the mounts of our sandbox."""
    flags = (
        "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup --unshare-net --disable-userns "
        "--uid 1000 --gid 1000 --hostname toolhost --clearenv --new-session --die-with-parent --cap-drop ALL "
        f"--ro-bind {tool_root} / --proc /proc --dev /dev --size 67108864 --tmpfs /tmp "
        f"{'--bind' if writable else '--ro-bind'} {workspace} /workspace --chdir /workspace "
        "--remount-ro /dev --remount-ro /"
    ).split()
    blob = seccomp.filter_bytes(network=False)

    async def once() -> None:
        filter_fd = os.memfd_create("seccomp")
        os.write(filter_fd, blob)
        os.lseek(filter_fd, 0, os.SEEK_SET)
        process = await asyncio.create_subprocess_exec(
            "bwrap",
            *flags,
            "--seccomp",
            str(filter_fd),
            "--",
            *PROGRAM,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[filter_fd],
        )
        os.close(filter_fd)
        out, err = await process.communicate()
        assert process.returncode == 0, err
        assert out

    return once


def direct() -> Variant:
    """The same program with no sandbox at all."""

    async def once() -> None:
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        assert out

    return once


def call(
    host: Host,
    name: str,
    workspace: Path | None,
    *,
    armed: bool | None = None,
    arguments: dict[str, object] | None = None,
    conversation: str | None = None,
    actor: Actor = LOCAL_ADMINISTRATOR,
) -> Variant:
    """A call through the whole pipeline: schema, plan, decision, audit, sandbox, result.

    Args:
        host: The host.
        name: The tool.
        workspace: The call's workspace; None where a conversation has one.
        armed: Whether it must (or must not) have come from the pool; None is either.
        arguments: The tool's.
        conversation: Its id.
        actor: Who calls.
    """

    async def once() -> None:
        result = await host.call(name, arguments or {}, actor, workspace=workspace, conversation_id=conversation)
        assert result.status == "ok", result
        assert armed is None or (result.sandbox or {})["armed"] is armed, name

    return once


async def least(host: Host, sandbox: Sandbox, name: str, workspace: Path) -> tuple[Variant, Variant]:
    """No more of a call than nothing can take away: a sandbox from the pool between the two records of the audit log.

    No schema, no decision, no extension, no limit, no result: plan and details are those of a call that was made.

    Returns:
        That, and the same without a sandbox.
    """
    prepared = await host.prepare(name, {}, LOCAL_ADMINISTRATOR, workspace=workspace)
    considered, _ = host.consider(prepared)
    plan, recording = considered.plan, Recording(host.audit)
    assert plan is not None
    result = await host.call(name, {}, LOCAL_ADMINISTRATOR, workspace=workspace)
    unsandboxed = direct()

    async def sandboxed() -> None:
        with sandbox.reserve(plan) as reservation:
            recording.intent(prepared, plan, considered.decision, None)
            outcome = await sandbox.run(plan, reservation)
            recording.outcome(prepared, plan, result)
        assert outcome.exit_code == 0

    async def open_to_all() -> None:
        recording.intent(prepared, plan, considered.decision, None)
        await unsandboxed()
        recording.outcome(prepared, plan, result)

    return sandboxed, open_to_all


def tree_of(data: DataDirectory, host: Host, name: str, workspace: Path) -> Path:
    """The tool root that a tool's calls use."""
    del host, name, workspace
    trees = [
        tree
        for tree in (data.state / "tool-roots/trees").iterdir()
        if (tree / "usr/bin/uname").exists() and (tree / "workspace").exists()
    ]
    return max(trees, key=lambda tree: len(list((tree / "usr/bin").iterdir())))
