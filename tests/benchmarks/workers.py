"""What a tool in a plugin's worker costs: warm, cold, and while nobody uses it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from report import p50, p95
from scale import below, children, pss

from toolhost.cli.session import LOCAL_ADMINISTRATOR
from toolhost.host import Host


async def worker(host: Host, workspace: Path, rounds: int) -> None:
    """A warm call without the function's own time, a call that starts its worker, and the memory of an idle one."""
    print("\nA tool in its worker\n\n| | p50 ms | p95 ms |\n|---|---|---|")
    for name, milliseconds in (("work", 0.0), ("work_async", 0.0), ("work", 20.0)):
        added = []
        for number in range(-5, rounds):
            took, own = await _call(host, workspace, f"bench_worker.{name}", milliseconds=milliseconds)
            if number >= 0:
                added.append(took - own)
        what = f"warm `{name}`, {milliseconds:g} ms of its own: added by the host"
        print(f"| {what} | {p50(added):.2f} | {p95(added):.2f} |", flush=True)
    cold = []
    for number in range(-2, max(rounds // 5, 5)):
        await _retired(host)
        took, own = await _call(host, workspace, "bench_worker.work")
        if number >= 0:
            cold.append(took - own)
    print(f"| a call that starts its worker | {p50(cold):.1f} | {p95(cold):.1f} |", flush=True)
    print("\n| idle worker | processes | PSS MiB |\n|---|---|---|")
    spawner = children(os.getpid())[0]
    for name, arguments in (
        ("bench_worker.work", {}),
        ("files.list", {}),
        ("calculator.calculate", {"expression": "1 + 1"}),
    ):
        await _retired(host)
        before = set(below(spawner))
        await _call(host, workspace, name, **arguments)
        of_it = set(below(spawner)) - before
        print(f"| of `{name}` | {len(of_it)} | {sum(map(pss, of_it)) / 1024:.1f} |", flush=True)


async def _call(host: Host, workspace: Path, name: str, **arguments: object) -> tuple[float, float]:
    """Milliseconds of the whole call, and of the function alone where it says so."""
    began = time.perf_counter()
    result = await host.call(name, arguments, LOCAL_ADMINISTRATOR, workspace=workspace)
    took = (time.perf_counter() - began) * 1000
    assert result.status == "ok", result
    said = next((part["value"] for part in result.content if part["type"] == "json"), 0.0)
    return took, said if isinstance(said, float) else 0.0


async def _retired(host: Host) -> None:
    host.plugins.retire_workers()
    while host.plugins.worker_count:
        await asyncio.sleep(0.005)
