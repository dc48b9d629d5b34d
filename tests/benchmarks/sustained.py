"""How many calls a second can be sustained: closed loops, each repeated in turns."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from pathlib import Path

from latency import BARE, DIRECT
from report import Variant
from variants import call, direct, hand_started, tree_of

from toolhost.accounts.accounts import Accounts
from toolhost.accounts.signing import SigningKeys
from toolhost.cli.session import LOCAL_ADMINISTRATOR
from toolhost.conversations import Conversations
from toolhost.host import Host
from toolhost.model import Actor
from toolhost.sandbox import Sandbox

FRESH = "a fresh sandbox for each call"
FRESH_CALL = "the same, through the whole pipeline"
KEPT = 'isolation = "conversation"'
KEPT_CALL = "the same, through the pipeline"


async def sustained(host: Host, sandbox: Sandbox, workspace: Path, seconds: float, turns: int) -> None:
    """Calls a second, one at a time and eight at a time."""
    await call(host, "bench_plain.uname", workspace)()
    tree = tree_of(host.data, host, "bench_plain.uname", workspace)
    accounts = Accounts(host.database, host.audit, SigningKeys(os.urandom(32)), host.data.state)
    user = await accounts.people.create("bench", "a long enough password", "user", LOCAL_ADMINISTRATOR)
    actor = Actor(user_id=user.id, username=user.username, role="user", channel="rest")
    talk = (await Conversations(host.database).create(user.id)).id
    print("\nSustained, calls a second\n")
    print(
        "| variant | 1 at a time | ratio | to bwrap | 8 at a time | ratio | to bwrap |\n|---|---|---|---|---|---|---|"
    )
    rates: dict[str, dict[int, float]] = {}
    for at_once in (1, 8):
        variants: dict[str, list[Variant]] = {
            DIRECT: [direct()] * at_once,
            BARE: [hand_started(tree, workspace)] * at_once,
            FRESH: [await planned(host, sandbox, "bench_plain.uname", workspace)] * at_once,
            FRESH_CALL: [call(host, "bench_plain.uname", workspace)] * at_once,
            KEPT: [
                await planned(host, sandbox, "bench_talk.uname", workspace, conversation=f"c{number}")
                for number in range(at_once)
            ],
        }
        if at_once == 1:
            variants[KEPT_CALL] = [call(host, "bench_talk.uname", None, conversation=talk, actor=actor)]
        measured: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(turns):
            for name in random.sample(list(variants), len(variants)):
                await sandbox.settled()
                measured[name].append(await _rate(variants[name], seconds))
        for name, values in measured.items():
            rates.setdefault(name, {})[at_once] = statistics.median(values)
    for name, by in rates.items():
        cells = [f"{by[n]:.0f} | {by[n] / rates[DIRECT][n]:.2f} | {by[n] / rates[BARE][n]:.2f}" for n in by]
        print(f"| {name} | " + " | ".join(cells + ["- | - | -"] * (2 - len(cells))) + " |", flush=True)


async def planned(
    host: Host, sandbox: Sandbox, name: str, workspace: Path, *, conversation: str | None = None
) -> Variant:
    """The sandbox alone: a plan, decided once, run again and again."""
    prepared = await host.prepare(name, {}, LOCAL_ADMINISTRATOR, workspace=workspace, conversation_id=conversation)
    considered, _ = host.consider(prepared)
    plan = considered.plan
    assert plan is not None

    async def once() -> None:
        outcome = await sandbox.run(plan)
        assert outcome.exit_code == 0

    return once


async def _rate(loops: list[Variant], seconds: float) -> float:
    done = 0
    end = time.perf_counter() + seconds

    async def loop(variant: Variant) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await variant()
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*map(loop, loops))
    return done / (time.perf_counter() - started)
