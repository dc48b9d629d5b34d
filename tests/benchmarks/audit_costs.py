"""What the audit log sustains: records of the size of an intent and an outcome, chained, indexed, synced."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

from toolhost.audit import AuditLog, AuditTerms, verify
from toolhost.audit.index import AuditIndex
from toolhost.model import Actor
from toolhost.storage import Database
from toolhost.storage.behind import WriteBehind

_ACTOR = Actor(user_id="u_bench", username="ada", role="user", channel="web", session_id="s_bench", ip="127.0.0.1")
_PLAN = {"argv": ["git", "log", "--oneline", "-n", "5"], "mounts": [{"source": f"/srv/data/{n}"} for n in range(12)]}


async def audit(folder: Path, seconds: float) -> None:
    """Write for some seconds as fast as it goes, each way of syncing, and print how many a second."""
    print("\n| audit log | records a second | one record p50, ms | p95, ms | bytes each |\n|---|---|---|---|---|")
    for name, each in (("grouped, 50 ms", False), ("each synced", True)):
        place = folder / name.partition(",")[0].replace(" ", "-")
        place.mkdir(parents=True)
        database = await Database.open(place / "toolhost.db")
        behind = WriteBehind(database)
        log = AuditLog(place / "audit.log", AuditIndex(database, behind).put, AuditTerms(sync_each=each))
        taken: list[float] = []
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            for number in range(20):
                start = time.perf_counter()
                details = {"tool": "git.log", "plan": _PLAN, "number": number}
                log.write("tools", "tool.intent", details, actor=_ACTOR, call_id=f"c_{number}")
                taken.append(time.perf_counter() - start)
            await asyncio.sleep(0)  # the index is written in the same loop
        await behind.flush()
        spent = time.perf_counter() - began
        log.close()
        await behind.close()
        await database.close()
        assert verify(place / "audit.log").intact
        cuts = statistics.quantiles(taken, n=20)
        size = sum(file.stat().st_size for file in place.glob("audit*.log")) / len(taken)
        print(
            f"| {name} | {len(taken) / spent:.0f} | {statistics.median(taken) * 1000:.3f} | {cuts[18] * 1000:.3f} |"
            f" {size:.0f} |"
        )
