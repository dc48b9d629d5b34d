"""What a call costs, against what people would do without this host. Printed as a table; see docs/performance.md.

Every round runs every variant once, in shuffled order, so that a noisy machine disturbs all alike; what counts are the
ratios of the medians of one run. Started by scripts/bench.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from toolhost.cli.session import LOCAL_ADMINISTRATOR
from toolhost.data import DataDirectory
from toolhost.host import Host
from toolhost.sandbox import Sandbox, SandboxPlan, seccomp
from toolhost.service_user import become_service_user
from toolhost.settings import Settings

Variant = Callable[[], Awaitable[None]]

DIRECT = "unsandboxed asyncio subprocess"
BARE = "bwrap started by hand, same flags"
COLD = "command tool, cold, through the pipeline"


def hand_started(tool_root: Path, plan: SandboxPlan, program: list[str]) -> Variant:
    """What somebody would write who starts bubblewrap themselves, with the isolation of our sandbox."""
    flags = (
        "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup --unshare-net --disable-userns "
        "--uid 1000 --gid 1000 --hostname toolhost --clearenv --new-session --die-with-parent --cap-drop ALL "
        f"--ro-bind {tool_root} / --proc /proc --dev /dev --size 67108864 --tmpfs /tmp "
        + " ".join(f"{'--bind' if root.writable else '--ro-bind'} {root.source} {root.target}" for root in plan.roots)
        + f" --chdir {plan.cwd} --remount-ro /dev --remount-ro /"
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
            *program,
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


def direct(program: list[str]) -> Variant:
    """The same program with no sandbox at all."""

    async def once() -> None:
        process = await asyncio.create_subprocess_exec(
            *program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        assert out

    return once


def call(host: Host, name: str, arguments: dict[str, object], workspace: Path) -> Variant:
    """A call through the whole pipeline: schema, plan, decision, audit, sandbox, result."""

    async def once() -> None:
        result = await host.call(name, arguments, LOCAL_ADMINISTRATOR, workspace=workspace)
        assert result.status == "ok", result

    return once


async def interleave(variants: dict[str, Variant], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each variant in each round, after three rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(-3, rounds):
        for name in random.sample(list(variants), len(variants)):
            started = time.perf_counter()
            await variants[name]()
            if number >= 0:
                times[name].append((time.perf_counter() - started) * 1000)
    return times


def show(title: str, times: dict[str, list[float]], base: str) -> None:
    """A table of medians and 95th percentiles, and the ratio of each to `base`."""
    print(f"\n{title}\n")
    print("| variant | p50 ms | p95 ms | ratio p50 | ratio p95 |\n|---|---|---|---|---|")
    p50 = {name: statistics.median(values) for name, values in times.items()}
    p95 = {name: statistics.quantiles(values, n=20)[-1] for name, values in times.items()}
    for name in times:
        cells = (p50[name], p95[name], p50[name] / p50[base], p95[name] / p95[base])
        print(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")


async def decide(host: Host, workspace: Path, rounds: int) -> list[float]:
    """Milliseconds of one decision with its plan, as `policy explain` makes it."""
    prepared = await host.prepare("git.log", {"limit": 5}, LOCAL_ADMINISTRATOR, workspace=workspace)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        considered, _ = host.consider(prepared)
        times.append((time.perf_counter() - started) * 1000)
        assert considered.decision.outcome == "allow"
    return times


async def measure(settings: Settings, sandbox: Sandbox, workspace: Path, rounds: int) -> None:
    """Everything, printed."""
    (workspace / "note.txt").write_text("hello\n")
    async with Host.open(settings, sandbox) as host:
        program = ["/usr/bin/uname", "--all"]
        cold = call(host, "system.uname", {}, workspace)
        await cold()
        trees = settings.data / "state" / "tool-roots" / "trees"
        plan = host.consider(await host.prepare("system.uname", {}, LOCAL_ADMINISTRATOR, workspace=workspace))[0].plan
        assert plan is not None
        needed = ("/usr/bin/uname", *(root.target for root in plan.roots))
        tool_root = next(tree for tree in trees.iterdir() if all((tree / path[1:]).exists() for path in needed))
        variants = {
            DIRECT: direct(program),
            BARE: hand_started(tool_root, plan, program),
            COLD: cold,
        }
        show("A command tool (`uname --all`)", await interleave(variants, rounds), BARE)
        stat = call(host, "files.stat", {"path": "note.txt"}, workspace)
        await stat()
        warm = await interleave({DIRECT: direct(program), "warm worker tool (files.stat)": stat}, rounds)
        show("A worker tool", warm, DIRECT)
        times = await decide(host, workspace, 10 * rounds)
        print(f"\nDecision and plan of git.log: p50 {statistics.median(times):.3f} ms, worst {max(times):.3f} ms")


def conditions() -> str:
    """What this was measured on."""
    bwrap = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return (
        f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"{bwrap}, uid {os.geteuid()}"
    )


def main() -> None:
    """Measure in a data directory of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    folder = Path(tempfile.mkdtemp(prefix="toolhost-bench-"))
    os.environ["TOOLHOST_DATA"] = str(folder / "data")
    try:
        settings = Settings.load({})
        folder.chmod(0o755)
        become_service_user(settings.data)
        DataDirectory(settings).prepare()
        workspace = settings.data / "workspaces" / "bench"
        workspace.mkdir()
        print(f"{conditions()}; {rounds} rounds")
        sandbox = Sandbox.start(settings.data / "state")
        asyncio.run(measure(settings, sandbox, workspace, rounds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
