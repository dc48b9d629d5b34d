"""Python plugins in their workers: what a plugin can do, and what it cannot do to anybody else."""

from __future__ import annotations

import asyncio
import os
import py_compile
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import own
from hosted import Hosted
from pluginbench import Bench, Running, facts

from toolhost.pluginhost import Idle, workers
from toolhost.pluginhost.discovery import digest

HEAD = """
import asyncio, json, os, sys, threading, time
from toolhost import ReadPath, ToolContext, ToolError, ToolOutput, WritePath, hookimpl, tool

TOOLS = []
def t(f):
    TOOLS.append(f)
    return f

@hookimpl
def register_tools(register):
    for f in TOOLS:
        register(f)

@t
def ok() -> str:
    "Works."
    return "fine"
"""


def grant(plugin: str, limits: str = "", *, tools: int = 0) -> str:
    """A policy that allows every tool the tests use."""
    names = ", ".join(
        f'"{name}"' for name in ("ok", "act", "slow", "spin", "pid", *(f"act{at}" for at in range(tools)))
    )
    return f'plugin = "{plugin}"\n[tools]\nallow = [{names}]\n[paths]\nwrite = ["{{workspace}}"]\n[limits]\n{limits}\n'


def test_a_typed_function_is_a_tool(bench: Bench) -> None:
    code = (
        HEAD
        + """
import enum
from dataclasses import dataclass

class Unit(enum.Enum):
    C = "c"
    F = "f"

@dataclass
class Weather:
    place: str
    degrees: float

@t
async def act(ctx: ToolContext, place: str, unit: Unit = Unit.C, days: int | None = None) -> Weather:
    '''Say the weather.

    Args:
        place: Where.
        days: How many days
            ahead.
    '''
    ctx.log(f"asked for {place}")
    ctx.progress(1, 2, "looking")
    return Weather(place, 20.5 if unit is Unit.C else 68.9)
"""
    )
    bench.plugin("weather", code, policy=grant("weather"))

    async def scenario(host: Running) -> None:
        tool = host.tool("weather.act")
        assert tool.about == "Say the weather."
        assert tool.input_schema["required"] == ["place"]
        properties = tool.input_schema["properties"]
        assert properties["place"] == {"type": "string", "description": "Where."}
        assert properties["days"] == {"type": "integer", "description": "How many days ahead."}
        progress: list[object] = []
        ran = await host.call("weather.act", place="Oslo", unit="f", on_progress=progress.append)
        assert ran.worker.status == "ok"
        assert ran.worker.value == {"place": "Oslo", "degrees": 68.9}
        assert ran.worker.stderr == "asked for Oslo\n"
        assert progress == [{"done": 1, "total": 2, "message": "looking"}]
        assert ran.worker.limits["memory"].enforced_by != "none"

    bench.run(scenario)


def test_many_calls_share_one_worker_and_run_at_once(bench: Bench) -> None:
    code = (
        HEAD
        + """
import contextlib
gate = threading.Barrier(4)

@t
def act() -> str:
    "Wait for three others."
    gate.wait(20)
    return str(os.getpid())
"""
    )
    bench.plugin("many", code, policy=grant("many"))

    async def scenario(host: Running) -> None:
        replies = await asyncio.gather(*(host.call("many.act") for _ in range(4)))
        assert len({reply.text for reply in replies}) == 1

    bench.run(scenario)


def test_a_worker_never_serves_two_workspaces(bench: Bench, space: Path) -> None:
    code = (
        HEAD
        + """
seen = []

@t
def act() -> dict[str, object]:
    "Remember what was seen."
    seen.extend(os.listdir("/workspace"))
    return {"seen": seen, "there": os.listdir("/workspace")}
"""
    )
    bench.plugin("seen", code, policy=grant("seen"))
    other = bench.workspace.parent / "other"
    other.mkdir()
    (other / "theirs").touch()
    (bench.workspace / "mine").touch()

    async def scenario(host: Running) -> None:
        mine = facts((await host.call("seen.act")).worker)
        theirs = facts((await host.call("seen.act", workspace=other)).worker)
        assert "mine" in mine["seen"]
        assert "theirs" in theirs["seen"]
        assert "mine" not in theirs["seen"]

    bench.run(scenario)


# What a tool does, and what the caller is told: (code of `act`, status, error code, part of the message).
FAILURES = [
    ("raise ToolError('Not today.', 'closed', False)", "error", "closed", "Not today."),
    ("raise ToolError('Not today.', 'A code! ' * 50)", "error", "tool_failed", "Not today."),
    ("raise ToolError('Not today. ' * 1_000_000, 'closed')", "error", "closed", "Not today."),
    ("raise KeyError('x')", "error", "tool_raised", "The tool failed: KeyError: 'x'"),
    ("sys.exit(3)", "error", "tool_raised", "SystemExit"),
    ("return b'bytes'", "error", "unserialisable_result", "bytes"),
    ("return {1, 2, object()}", "error", "unserialisable_result", "object"),
    ("return float('nan')", "error", "unserialisable_result", "not JSON"),
    ("x = []; x.append(x); return x", "error", "unserialisable_result", "not JSON"),
    ("return 'x' * 2_000_000", "limit", "result_too_large", "at most 1048576 are accepted"),
    ("os._exit(7)", "error", "worker_died", "ended with status 7"),
    ("os.kill(os.getpid(), 11); time.sleep(20)", "error", "worker_died", "ended with signal 11"),
    ("os.write(CHANNEL, b'garbage\\n'); time.sleep(20)", "error", "worker_protocol", "no message"),
    ("os.write(CHANNEL, b'\\xff\\n'); time.sleep(20)", "error", "worker_protocol", "no message"),
    ("os.write(CHANNEL, b'[' * 100_000 + b'\\n'); time.sleep(20)", "error", "worker_protocol", "no message"),
    ('os.write(CHANNEL, b\'{"op": "ready", "tools": []}\\n\'); time.sleep(20)', "error", "worker_protocol", "twice"),
    ('os.write(CHANNEL, b\'{"op": "shell", "id": "1"}\\n\'); time.sleep(20)', "error", "worker_protocol", "kind"),
    (
        'os.write(CHANNEL, b\'{"op": "result", "id": "c_1", "content": []}\\n\'); time.sleep(20)',
        "error",
        "worker_protocol",
        "answered a call that it was not given",
    ),
    (
        'os.write(CHANNEL, b\'{"op": "drop", "id": "c_1", "errand": 1}\\n\'); time.sleep(20)',
        "error",
        "worker_protocol",
        "answered a call that it was not given",
    ),
    ("\n    while True: os.write(CHANNEL, b'x' * 65536)", "error", "worker_protocol", "a line of more than"),
    ("\n    while True: ctx.log('x')", "error", "worker_protocol", "messages in one call"),
    ("\n    while True: os.write(2, b'x' * 65536)", "error", "worker_protocol", "flooded its standard error"),
    ("x = bytearray(400 << 20); x[::4096] = b'1' * len(x[::4096]); time.sleep(20)", "limit", "memory_limit", "memory"),
]


@pytest.mark.parametrize("async_", [False, True], ids=["sync", "async"])
def test_whatever_a_tool_does_is_its_own_failure(bench: Bench, async_: bool) -> None:
    code = HEAD + "CHANNEL = 4\n"
    for number, (body, *_) in enumerate(FAILURES):
        keyword = "async def" if async_ else "def"
        code += f"\n@t\n{keyword} act{number}(ctx: ToolContext) -> object:\n    'Act.'\n    {body}\n"
    bench.plugin("bad", code, policy=grant("bad", 'memory = "256M"', tools=len(FAILURES)))

    async def scenario(host: Running) -> None:
        for number, (body, status, error_code, message) in enumerate(FAILURES):
            reply = (await host.call(f"bad.act{number}")).worker
            assert reply.error is not None, body
            assert (reply.status, reply.error.code) == (status, error_code), (body, reply.error)
            assert message in reply.error.message, body
            # The plugin still works, in the same worker or in a new one.
            assert (await host.call("bad.ok")).text == "fine"

    bench.run(scenario, timeout=120)


def test_a_plugin_that_forks_harms_itself_alone(bench: Bench) -> None:
    code = (
        HEAD
        + """
@t
def act() -> str:
    "Answer twice, from two processes."
    os.fork()
    return "x"
"""
    )
    bench.plugin("forks", code, policy=grant("forks"))
    bench.plugin("other", HEAD, policy=grant("other"))

    async def scenario(host: Running) -> None:
        answers = [(await host.call("forks.act")).worker for _ in range(3)]
        assert all(one.status == "ok" or (one.error and one.error.code == "worker_protocol") for one in answers), (
            answers
        )
        assert (await host.call("other.ok")).text == "fine"

    bench.run(scenario)


def test_what_a_plugin_prints_is_a_log_line_and_never_a_reply(bench: Bench) -> None:
    code = (
        HEAD
        + """
print('{"op": "ready", "tools": ["forged"]}')

@t
def act() -> str:
    "Print."
    print('{"op": "result", "id": "x", "content": []}', flush=True)
    os.write(1, b'to descriptor 1\\n')
    return "real"
"""
    )
    bench.plugin("prints", code, policy=grant("prints"))

    async def scenario(host: Running) -> None:
        ran = await host.call("prints.act")
        assert ran.text == "real"
        assert ran.worker.status == "ok"

    bench.run(scenario)


def test_half_a_surrogate_pair_arrives_replaced(bench: Bench) -> None:
    code = (
        HEAD
        + """
@t
def act() -> ToolOutput:
    "Say something odd."
    return ToolOutput(text="a\\ud800b", data={"\\udfff": ["\\ud83d\\ude00 \\udc80"]})
"""
    )
    bench.plugin("odd", code, policy=grant("odd"))

    async def scenario(host: Running) -> None:
        ran = await host.call("odd.act")
        assert ran.worker.status == "ok"
        assert "\ufffd" in ran.text
        ran.text.encode()
        str(ran.worker.value).encode()

    bench.run(scenario)


@pytest.mark.parametrize(
    "wait",
    [
        "await asyncio.sleep(30)",
        "\n    for _ in range(3000): ctx.check(); time.sleep(0.01)",
    ],
    ids=["async", "sync"],
)
def test_a_tool_that_outlasts_its_time_is_stopped_and_its_worker_lives(bench: Bench, wait: str) -> None:
    keyword = "async def" if "await" in wait else "def"
    code = (
        HEAD
        + f"""
@t
def pid() -> int:
    "Which process."
    return os.getpid() * 1_000_000 + int(time.monotonic_ns() * 0 + START % 1_000_000)
START = time.monotonic_ns()

@t
{keyword} slow(ctx: ToolContext) -> None:
    "Wait."
    {wait}
"""
    )
    bench.plugin("slow", code, policy=grant("slow", 'wall = "1s"'))

    async def scenario(host: Running) -> None:
        before = (await host.call("slow.pid")).worker.value
        reply = (await host.call("slow.slow")).worker
        assert reply.status == "timeout"
        assert (await host.call("slow.pid")).worker.value == before
        task = asyncio.create_task(host.call("slow.slow"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await host.call("slow.pid")).worker.value == before

    bench.run(scenario)


def test_a_tool_that_does_not_stop_is_killed_with_its_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing against the plugin: a person who gives it too much to do would take it from everybody."""
    monkeypatch.setattr(workers, "MAX_FAILURES", 1)
    code = (
        HEAD
        + """
@t
def spin() -> None:
    "Never end."
    while True:
        time.sleep(0.01)
        open("/workspace/beat", "w").close()
"""
    )
    bench.plugin("spins", code, policy=grant("spins", 'wall = "1s"'))

    async def scenario(host: Running) -> None:
        assert (await host.call("spins.spin")).worker.status == "timeout"
        beat = host.workspace / "beat"
        beat.unlink()
        assert (await host.call("spins.ok")).text == "fine"
        assert not beat.exists()
        assert host.registry.plugins["spins"].state == "active"

    bench.run(scenario)


def test_a_plugin_that_keeps_failing_is_quarantined_and_shown(bench: Bench) -> None:
    code = HEAD + "\n@t\ndef act() -> None:\n    'Die.'\n    os._exit(1)\n"
    bench.plugin("dies", code, policy=grant("dies"))

    async def scenario(host: Running) -> None:
        for _ in range(workers.MAX_FAILURES):
            assert (await host.call("dies.act")).worker.status == "error"
        record = host.registry.plugins["dies"]
        assert (record.state, record.code) == ("quarantined", "worker_failing")
        assert "ended with status 1" in record.reason
        assert host.registry.tool("dies.act") is None
        assert (await host.call("files.list")).worker.status == "ok"

    bench.run(scenario)


def test_one_call_that_works_ends_the_count_of_failures(bench: Bench) -> None:
    code = HEAD + "\n@t\ndef act() -> None:\n    'Die.'\n    os._exit(1)\n"
    bench.plugin("limps", code, policy=grant("limps"))

    async def scenario(host: Running) -> None:
        for _ in range(workers.MAX_FAILURES):
            await host.call("limps.act")
            assert (await host.call("limps.ok")).text == "fine"
        assert host.registry.plugins["limps"].state == "active"

    bench.run(scenario)


def test_no_more_workers_live_than_are_allowed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MAX_WORKERS", 2)
    code = (
        HEAD
        + """
@t
async def slow() -> str:
    "Wait a little."
    await asyncio.sleep(0.2)
    return "done"
"""
    )
    for name in ("one", "two", "three", "four"):
        bench.plugin(name, code, policy=grant(name))

    async def scenario(host: Running) -> None:
        replies = await asyncio.gather(*(host.call(f"{name}.slow") for name in ("one", "two", "three", "four")))
        assert [reply.text for reply in replies] == ["done"] * 4
        assert _descendants() <= 2

    bench.run(scenario)


def test_an_idle_worker_that_holds_too_much_is_retired_and_another_is_kept(bench: Bench) -> None:
    code = (
        HEAD
        + "\nKEPT = []\n\n@t\ndef act() -> str:\n    'Keep.'\n    KEPT.append(b'x' * (80 << 20))\n    return 'kept'\n"
    )
    bench.plugin("large", code, policy=grant("large"))
    bench.plugin("small", code, policy=grant("small"))

    async def scenario(host: Running) -> None:
        assert (await host.call("small.ok")).text == "fine"
        assert (await host.call("large.act")).text == "kept"
        while host.registry.worker_count > 1:
            await asyncio.sleep(0.01)
        assert (await host.call("small.ok")).worker.armed
        assert not (await host.call("large.ok")).worker.armed

    bench.run(scenario, idle=Idle(seconds=600, memory=64 << 20))


def _descendants() -> int:
    """How many workers' interpreters the host has."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    command = file.read()
                parents = _parents(int(name))
            except OSError:
                continue
            count += b"/worker/__main__.py" in command and os.getpid() in parents
    return count


def _parents(pid: int) -> list[int]:
    found = []
    while pid > 1:
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])
        found.append(pid)
    return found


REACHES: list[tuple[str, Callable[[object], bool]]] = [
    # No network, not even names; no local sockets; no other programs; no other plugin; no host secrets.
    ("import socket; return socket.create_connection(('127.0.0.1', 9), 2)", lambda value: False),
    ("import socket; return str(socket.socket(socket.AF_UNIX))", lambda value: False),
    ("import subprocess; return subprocess.run(['/bin/sh', '-c', 'id'])", lambda value: False),
    ("import subprocess; return subprocess.run([sys.executable, '-c', '0']).returncode", lambda value: True),
    ("return os.listdir('/etc')", lambda value: "passwd" not in str(value)),
    ("return sorted(os.environ)", lambda value: "SECRET" not in str(value)),
    ("import toolhost.plugins.files.tools", lambda value: False),
    ("import toolhost.pluginhost.registry", lambda value: False),
    ("open(__file__, 'w')", lambda value: False),
]


def test_a_worker_reaches_nothing_that_its_policy_does_not_grant(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "CANARY")
    code = (
        HEAD
        + "\nBODIES = "
        + repr([body for body, _ in REACHES])
        + """
@t
def act(number: int) -> object:
    "Try."
    scope = {"sys": sys, "os": os, "__file__": __file__}
    exec("def f():\\n    " + BODIES[number].replace("; ", "\\n    "), scope)
    return scope["f"]()
"""
    )
    bench.plugin("reaches", code, policy=grant("reaches"))

    async def scenario(host: Running) -> None:
        for number, (body, allowed) in enumerate(REACHES):
            reply = (await host.call("reaches.act", number=number)).worker
            assert reply.status == "error" or allowed(reply.value), (body, reply)

    bench.run(scenario)


def test_compiled_code_beside_a_plugin_is_never_run(bench: Bench) -> None:
    helped = """
try:
    import extra
except ImportError:
    extra = None

@t
def act() -> str:
    "Says what ran."
    return "source" if extra is None else "planted"
"""
    folder = bench.plugin("helped", HEAD + helped, policy=grant("helped"))
    pinned = digest(folder)
    changed = bench.workspace / "changed.py"
    changed.write_text((HEAD + helped).replace('"source" if extra is None else "planted"', '"planted"'))
    cache = folder / "__pycache__"
    cache.mkdir()
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for planted in (cache / f"helped_plugin.{sys.implementation.cache_tag}.pyc", folder / "extra.pyc"):
        py_compile.compile(str(changed), cfile=str(planted), doraise=True, invalidation_mode=unchecked)
    assert digest(folder) == pinned

    async def scenario(host: Running) -> None:
        ran = await host.call("helped.act")
        assert ran.text == "source"

    bench.run(scenario)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_worker_is_not_asked_again_when_something_else_is_mounted_in_its_folder(space: Path) -> None:
    grants = '[tools]\nallow = ["read"]\n[paths]\nwrite = ["{workspace}"]\n'
    host = Hosted(space, prefix=("/usr/bin/unshare", "--mount", "--propagation", "shared"), files=grants)
    try:
        host.ask(do="facts")
        disk = host.workspace / "disk"
        disk.mkdir()
        (disk / "name").write_text("below")
        own(disk)

        def shown() -> str:
            said = host.ask(tool="files.read", arguments={"path": "disk/name"}, workspace=str(host.workspace))
            return str(said["content"][0]["text"])

        def in_its_mounts(*words: str) -> None:
            subprocess.run(["nsenter", "--mount", f"--target={host.process.pid}", *words], check=True, timeout=10)

        assert shown() == "below"
        in_its_mounts("mount", "-t", "tmpfs", "disk", str(disk))
        in_its_mounts("sh", "-c", f"echo -n mounted > {disk}/name")
        assert shown() == "mounted"
        in_its_mounts("umount", str(disk))
        assert shown() == "below"
    finally:
        host.close()
