"""Rounds and tables."""

from __future__ import annotations

import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping

Variant = Callable[[], Awaitable[None]]
Times = Mapping[str, list[float]]


async def _nothing() -> None:
    """What has to settle before a variant is timed, where nothing has."""


async def interleave(variants: Mapping[str, Variant], rounds: int, quiet: Variant = _nothing) -> Times:
    """Milliseconds of each variant in each round, after five rounds that do not count.

    Every round runs every variant once, in shuffled order, so that a noisy machine disturbs all alike.

    Args:
        variants: By name.
        rounds: How many.
        quiet: Awaited before each, outside the time: what one variant leaves to be done is not another's.
    """
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(-5, rounds):
        for name in random.sample(list(variants), len(variants)):
            await quiet()
            started = time.perf_counter()
            await variants[name]()
            if number >= 0:
                times[name].append((time.perf_counter() - started) * 1000)
    return times


def p50(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def show(title: str, times: Times, base: str) -> None:
    """A table of medians and 95th percentiles, and the ratio of each to `base`."""
    print(f"\n{title}\n")
    print("| variant | p50 ms | p95 ms | ratio p50 | ratio p95 |\n|---|---|---|---|---|")
    for name, values in times.items():
        cells = (p50(values), p95(values), p50(values) / p50(times[base]), p95(values) / p95(times[base]))
        print(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |", flush=True)


def conditions() -> str:
    """What this was measured on."""
    bwrap = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return (
        f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"{bwrap}, uid {os.geteuid()}, load {os.getloadavg()[0]:.1f}"
    )
