"""How long one call takes, from the request to its result."""

from __future__ import annotations

import time
from pathlib import Path

from report import interleave, p50, show
from variants import call, direct, hand_started, least, tree_of

from toolhost.cli.session import LOCAL_ADMINISTRATOR
from toolhost.host import Host
from toolhost.sandbox import Sandbox

DIRECT = "unsandboxed asyncio subprocess"
BARE = "bwrap started by hand, same mounts and flags"


async def armed(host: Host, sandbox: Sandbox, workspace: Path, rounds: int) -> None:
    """Calls from the pool against the same program unsandboxed."""
    sandboxed, unsandboxed = await least(host, sandbox, "bench_plain.uname", workspace)
    variants = {
        DIRECT: direct(),
        "the same between two records": unsandboxed,
        "no more than a sandbox and two records": sandboxed,
        "armed, read-only workspace": call(host, "bench_plain.uname", workspace, armed=True),
        "armed, writable workspace with protected names": call(host, "bench_masks.uname", workspace, armed=True),
    }
    await _arm(host, sandbox, workspace, "bench_plain.uname", "bench_masks.uname")
    show(
        "A call from the pool, through schema, decision, audit and result (`uname --all`)",
        await interleave(variants, rounds, sandbox.settled),
        DIRECT,
    )


async def cold(host: Host, sandbox: Sandbox, workspace: Path, rounds: int) -> None:
    """Calls that find nothing armed against bubblewrap started by hand."""

    for name in ("bench_plain.uname", "bench_programs.uname"):
        await call(host, name, workspace)()
    many = tree_of(host.data, host, "bench_programs.uname", workspace)
    variants = {
        BARE: hand_started(many, workspace),
        "cold, read-only workspace": call(host, "bench_plain.uname", workspace, armed=False),
        "cold, writable workspace with protected names": call(host, "bench_masks.uname", workspace, armed=False),
        "cold, policy with 100 programs": call(host, "bench_programs.uname", workspace, armed=False),
    }

    async def quiet() -> None:
        sandbox.disarm()
        await sandbox.settled()

    show("A cold call, through the whole pipeline", await interleave(variants, rounds, quiet), BARE)


async def decision(host: Host, workspace: Path, rounds: int) -> None:
    """One decision with its plan, as `policy explain` makes it."""
    prepared = await host.prepare("git.log", {"limit": 5}, LOCAL_ADMINISTRATOR, workspace=workspace)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        considered, _ = host.consider(prepared)
        times.append((time.perf_counter() - started) * 1000)
        assert considered.decision.outcome == "allow"
    print(f"\nDecision and plan of git.log: p50 {p50(times):.3f} ms, worst {max(times):.3f} ms")


async def _arm(host: Host, sandbox: Sandbox, workspace: Path, *names: str) -> None:
    for name in names:
        await call(host, name, workspace)()
    await sandbox.settled()
