"""What idle armed sandboxes cost, and a thousand of them alive at once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from report import p50
from variants import call

from toolhost.cli.session import LOCAL_ADMINISTRATOR
from toolhost.host import Host
from toolhost.sandbox import Sandbox
from toolhost.sandbox.plan import SandboxPlan

_AT_ONCE = 4


async def alive(host: Host, sandbox: Sandbox, workspace: Path, count: int) -> None:
    """Start `count` sandboxes that wait, measure them, call beside them, and end them all."""
    prepared = await host.prepare("bench_plain.uname", {}, LOCAL_ADMINISTRATOR, workspace=workspace)
    considered, _ = host.consider(prepared)
    assert considered.plan is not None
    plan = considered.plan
    await call(host, "bench_plain.uname", workspace)()
    sandbox.disarm()
    await sandbox.settled()
    spawner = children(os.getpid())[0]
    started = time.perf_counter()
    waiting = await _start(sandbox, plan, count)
    took = time.perf_counter() - started
    each = sum(map(pss, below(spawner))) / count
    times = []
    for _ in range(50):
        await sandbox.settled()
        began = time.perf_counter()
        await call(host, "bench_plain.uname", workspace)()
        times.append((time.perf_counter() - began) * 1000)
    ended = time.perf_counter()
    for armed in waiting:
        armed.kill()
    await asyncio.gather(*(armed.destroy() for armed in waiting))
    while len(list(below(spawner))) > 40:  # what the pool holds
        await asyncio.sleep(0.01)
    print(
        f"\n{count} armed sandboxes alive: made in {took:.1f} s "
        f"({1000 * took / count:.1f} ms each, {_AT_ONCE} at a time), "
        f"{each:.0f} KiB PSS each, a call beside them p50 {p50(times):.2f} ms, "
        f"all gone after {time.perf_counter() - ended:.2f} s"
    )


async def _start(sandbox: Sandbox, plan: SandboxPlan, count: int) -> list:  # type: ignore[type-arg]
    shape = await sandbox._shape(replace(plan))
    made = []
    left = count

    async def fill() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            made.append(await sandbox._arming.arm(shape))

    await asyncio.gather(*(fill() for _ in range(_AT_ONCE)))
    return made


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def below(pid: int) -> Iterator[int]:
    """The same, and what those have started."""
    for child in children(pid):
        yield child
        yield from below(child)


def pss(pid: int) -> int:
    """KiB; the launcher's own is unreadable by design, and stands as resident size without what others share."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    try:
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return int(lines["RssAnon"].split()[0])
    except (OSError, KeyError):
        return 0
