"""What a call costs, against what people would do without this host. Printed as tables; see docs/performance.md.

Started by scripts/bench. What counts are the ratios within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

import audit_costs
import chat
import http_costs
import latency
import page
import policy_costs
import scale
import sustained
import workers
from report import conditions
from variants import install

from toolhost.data import DataDirectory
from toolhost.host import Host
from toolhost.sandbox import Sandbox
from toolhost.service_user import become_service_user
from toolhost.settings import Settings, load_settings

PARTS = ("armed", "cold", "sustained", "alive", "worker", "decision", "load", "reload", "chat", "http", "page", "audit")


async def measure(settings: Settings, sandbox: Sandbox, workspace: Path, rounds: int, parts: list[str]) -> None:
    """Everything asked for, printed."""
    async with Host.open(settings, sandbox) as host:
        if "armed" in parts:
            await latency.armed(host, sandbox, workspace, rounds)
        if "cold" in parts:
            await latency.cold(host, sandbox, workspace, rounds)
        if "sustained" in parts:
            await sustained.sustained(host, sandbox, workspace, seconds=2, turns=3)
        if "alive" in parts:
            await scale.alive(host, sandbox, workspace, 1000)
        if "worker" in parts:
            await workers.worker(host, workspace, rounds)
        if "decision" in parts:
            await latency.decision(host, workspace, 10 * rounds)
        if "page" in parts:
            await page.page(host, 1 + rounds // 10)


def measure_policies(folder: Path, rounds: int, parts: list[str]) -> None:
    """The same of policies alone, without a host."""
    folder.mkdir()
    if "decision" in parts:
        policy_costs.decisions(folder, 10 * rounds)
    if "load" in parts:
        policy_costs.load(folder, 1 + rounds // 10)
    if "reload" in parts:
        asyncio.run(policy_costs.reload(folder, 1 + rounds // 10))


def measure_audit(folder: Path, parts: list[str]) -> None:
    """What the audit log sustains."""
    if "audit" in parts:
        asyncio.run(audit_costs.audit(folder, 5.0))


def main() -> None:
    """Measure in a data directory of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("parts", nargs="*", default=PARTS, help=", ".join(PARTS))
    options = parser.parse_args()
    if "chat" in options.parts:
        # Before root is given up: it starts a server of its own, as people do.
        chat.measure(options.rounds, conversations=200, words_per_second=5, seconds=20)
    folder = Path(tempfile.mkdtemp(prefix="toolhost-bench-"))
    os.environ["TOOLHOST_DATA"] = str(folder / "data")
    try:
        settings = load_settings({})
        folder.chmod(0o755)
        become_service_user(settings.data)
        data = DataDirectory(settings)
        data.prepare()
        install(data)
        workspace = settings.data / "workspaces" / "bench"
        workspace.mkdir()
        print(f"{conditions()}; {options.rounds} rounds")
        sandbox = Sandbox.start(settings.data / "state")
        asyncio.run(measure(settings, sandbox, workspace, options.rounds, options.parts))
        measure_policies(settings.data / "bench", options.rounds, options.parts)
        if "http" in options.parts:
            http_costs.measure(options.rounds)
        measure_audit(settings.data / "audit", options.parts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
