"""What policies cost: decisions under a thousand rules, loading a hundred files, a reload beside an event loop."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path

import jsonschema_rs
from report import p50, p95

from toolhost.following import let_go
from toolhost.model import Actor, Tool
from toolhost.policy import PolicyStore, Request, decide, resolve
from toolhost.policy.programs import runs_code

_SCHEMA = {
    "type": "object",
    "properties": {
        "limit": {"type": "integer", "minimum": 1, "maximum": 500},
        "ref": {"type": "string", "maxLength": 200},
        "paths": {"type": "array", "items": {"type": "string"}, "maxItems": 20},
        "format": {"enum": ["short", "full"]},
    },
    "required": ["ref"],
    "additionalProperties": False,
}
_ARGUMENTS = {"limit": 5, "ref": "main", "paths": ["a", "b/c"], "format": "short"}
_REST = "[-q|--quiet] [-n|--count {int:1..500}] [--format {choice:short|full}] [{ref}] [--] [{read...}]"
_TICK = 0.001
"""Seconds between two looks at how late the event loop is."""


def decisions(folder: Path, rounds: int) -> None:
    """Commands under policies of a thousand rules, against one validation of a call's arguments."""
    thousands = _thousands()
    store = _store(folder, {name: text for name, (text, _) in thousands.items()}, load=True)
    validator = jsonschema_rs.validator_for(_SCHEMA)
    schema = _microseconds(lambda: list(validator.iter_errors(_ARGUMENTS)), 10 * rounds)
    print(
        f"\nA decision under 1000 rules; one jsonschema-rs validation of a call's arguments: p50 {p50(schema):.2f} us\n"
    )
    print(
        "| 1000 rules: a command | code | `decide` p50 us | p95 us | ratio | with `resolve` p50 us | p95 us | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, (_, lines) in thousands.items():
        policy, host = store.current.policies[name], store.current.host
        for line in lines:
            request = _request(folder, name, line)
            facts = resolve(request, policy, host)
            pure = _microseconds(lambda: decide(facts, policy, host), rounds)  # noqa: B023 - called here
            whole = _microseconds(lambda: decide(resolve(request, policy, host), policy, host), rounds)  # noqa: B023
            cells = [f"{p50(times):.1f} | {p95(times):.1f} | {p50(times) / p50(schema):.1f}" for times in (pure, whole)]
            print(f"| {name}: `{line}` | {decide(facts, policy, host).code} | {' | '.join(cells)} |", flush=True)


def load(folder: Path, rounds: int) -> None:
    """A hundred policies read by a store that knows nothing, as when a server starts."""
    for title, texts in _hundreds().items():
        times = []
        for _ in range(rounds):
            store = _store(folder, texts)
            started = time.perf_counter()
            store.load()
            times.append(time.perf_counter() - started)
            assert len(store.current.policies) == 100, store.current.problems[:3]
        print(f"\nLoading 100 policies, {title}: p50 {p50(times):.3f} s, worst {max(times):.3f} s", flush=True)


async def reload(folder: Path, rounds: int) -> None:
    """How late an event loop is while a thread beside it reads a hundred policies of which all changed, or one.

    As a server does it: read in a thread, put in force, and what was in force before given back in a thread. Beside it
    how late the loop is while a thread only counts, and while nothing runs: what the interpreter and the machine cost.
    """
    for title, texts in _hundreds().items():
        idle, counting = [], []
        late: dict[str, list[float]] = {"all": [], "one": []}
        for turn in range(rounds):
            store = _store(folder, texts, load=True)
            for changed, lags in late.items():
                for name in texts if changed == "all" else list(texts)[:1]:
                    file = folder / "policies" / f"{name}.toml"
                    file.write_text(f"{file.read_text()}# {turn} {changed}\n")
                idle.append(await _worst_lag(asyncio.sleep(0.3)))
                counting.append(await _worst_lag(asyncio.to_thread(_count)))
                lags.append(await _worst_lag(_reloaded(store)))
        print(
            f"\nThe event loop during a reload of 100 policies, {title}; worst lags of {rounds} rounds, p50 and of "
            f"all, ms: all changed {_lags(late['all'])}; one changed {_lags(late['one'])}; beside a thread that counts "
            f"{_lags(counting)}; beside nothing {_lags(idle)}",
            flush=True,
        )


async def _reloaded(store: PolicyStore) -> None:
    before, store.current = store.current, await asyncio.to_thread(store.read)
    gone = [policy for name, policy in before.policies.items() if store.current.policy(name) is not policy]
    del before
    await asyncio.to_thread(let_go, gone)


def _count() -> None:
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:
        pass


def _lags(times: list[float]) -> str:
    return f"{p50(times):.1f} and {max(times):.1f}"


def _request(folder: Path, plugin: str, line: str) -> Request:
    return Request(
        tool=Tool(name=f"{plugin}.run", plugin=plugin, about="", input_schema={}),
        actor=Actor(user_id="u", username="ada", role="user", channel="cli"),
        argv=tuple(shlex.split(line)),
        workspace=str(folder / "workspace"),
    )


def _microseconds(work: Callable[[], object], rounds: int) -> list[float]:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1e6)
    return times


async def _worst_lag(work: Awaitable[object]) -> float:
    """Milliseconds by which a task that sleeps for a tick woke too late, at worst, while something ran."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            started = time.perf_counter()
            await asyncio.sleep(_TICK)
            worst = max(worst, time.perf_counter() - started - _TICK)

    ticking = asyncio.create_task(tick())
    await work
    await asyncio.sleep(2 * _TICK)
    ticking.cancel()
    return 1000 * worst


# -- policies ----------------------------------------------------------------------------------------------------------


def _store(folder: Path, texts: Mapping[str, str], *, load: bool = False) -> PolicyStore:
    """A store over these policies and the packaged host.toml."""
    policies = folder / "policies"
    shutil.rmtree(policies, ignore_errors=True)
    for name in ("policies", "plugins", "data", "workspace"):
        (folder / name).mkdir(exist_ok=True)
    for name, text in {"host": _packaged("host"), **texts}.items():
        file = policies / f"{name}.toml"
        file.write_text(text)
        file.chmod(0o644)
    store = PolicyStore(policies, data=folder / "data", plugins=folder / "plugins")
    if load:
        store.load()
        assert not store.current.problems, store.current.problems[:3]
    return store


def _thousands() -> dict[str, tuple[str, list[str]]]:
    """Policies of a thousand rules by plugin, and the commands that are decided under each."""
    programs = _programs(50)
    first = programs[0]
    mixed = [f"{programs[at % 50]} sub{at // 50} {_REST}" for at in range(1000)]
    one = [f"git sub{at // 25} [--flag{at}] {_REST}" for at in range(1000)]
    same = [f"git log [--flag{at}] {{ref}}" for at in range(1000)]
    denies = [f"git sub{at} ... --force" for at in range(500)]
    return {
        "fifty_programs": (
            _policy("fifty_programs", mixed),
            [f"{first} sub9 -n 5 main", f"{first} other", "unknown sub9"],
        ),
        "one_program": (_policy("one_program", one), ["git sub9 --flag240 -n 5", "git sub9 --other", "git other"]),
        "one_subcommand": (_policy("one_subcommand", same), ["git log --flag500 main", "git log main", "git log -x"]),
        "half_denies": (
            _policy("half_denies", one[:500], denies),
            ["git sub9 --flag240", "git sub9 --flag240 --force"],
        ),
    }


def _hundreds() -> dict[str, dict[str, str]]:
    """Hundreds of policies, by what they are."""
    seeds = ("files", "git", "shell", "system")
    packaged = {
        f"{seed}{at}": _packaged(seed).replace(f'plugin = "{seed}"', f'plugin = "{seed}{at}"')
        for seed in seeds
        for at in range(25)
    }
    programs = _programs(20)
    rules = {at: [f"{programs[rule % 20]} sub{at}-{rule} {_REST}" for rule in range(100)] for at in range(100)}
    large = _policy("large", [f"git log {'x' * 40}{at} {_REST}" for at in range(1600)])
    return {
        "the packaged four 25 times": packaged,
        "each of 100 rules": {f"rules{at}": _policy(f"rules{at}", rules[at]) for at in range(100)},
        f"99 packaged and one of {len(large) >> 10} KiB": {**dict(list(packaged.items())[1:]), "large": large},
    }


def _policy(plugin: str, allow: Iterable[str], deny: Iterable[str] = ()) -> str:
    return (
        f'plugin = "{plugin}"\n\n[commands]\n{_list("allow", allow)}{_list("deny", deny)}\n'
        '[paths]\nread = ["{workspace}"]\n'
    )


def _list(key: str, rules: Iterable[str]) -> str:
    entries = "".join(f"    {json.dumps(rule)},\n" for rule in rules)
    return f"{key} = [\n{entries}]\n"


def _packaged(name: str) -> str:
    return resources.files("toolhost.policies").joinpath(f"{name}.toml").read_text()


def _programs(count: int) -> list[str]:
    """Names of programs that this machine has, the same in each run."""
    names = (name for name in sorted(os.listdir("/usr/bin")) if name.isalpha() and not runs_code(name))
    found = [name for name in names if name not in ("git", "mount", "umount", "su", "passwd", "kill", "reboot")]
    return found[:count]
