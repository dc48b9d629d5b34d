"""Runs plans as the service user: one JSON request a line on standard input, one answer a line on standard output.

The sandbox refuses to run as root and continuous integration runs as root, so tests talk to this process instead of
calling the sandbox themselves. Usage: `python harness.py STATE`.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import os
import pwd
import resource
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolhost.sandbox import (
    Connection,
    HostFile,
    Limits,
    Outcome,
    PlanRefused,
    Sandbox,
    SandboxError,
    SandboxPlan,
    kernel,
    pin,
    probe,
    root,
    seccomp,
)
from toolhost.sandbox.cgroups import prepare
from toolhost.sandbox.pool import Armament
from toolhost.sandbox.removal import remove_tree


def become_service_user() -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam("toolhost")
        prepare(user.pw_uid, user.pw_gid)
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def plan_of(request: dict[str, Any]) -> SandboxPlan:
    programs = tuple(pin(name) for name in request["programs"])
    return SandboxPlan(
        kind=request.get("kind", "command"),
        tool=request.get("tool", "test.tool"),
        argv=(programs[0].path, *request.get("arguments", ())),
        cwd=request.get("cwd", "/tmp"),
        env=tuple(request.get("env", {}).items()),
        programs=programs,
        support=tuple(request.get("support", ())),
        files=tuple(HostFile(target=target, text=text) for target, text in request.get("files", {}).items()),
        roots=tuple(root_of(one) for one in request.get("roots", ())),
        limits=Limits(**request.get("limits", {})),
        isolation=request.get("isolation", "call"),
        conversation=request.get("conversation", ""),
        policy_digest=request.get("policy_digest", ""),
        require=tuple(request.get("require", ())),
        network=tuple(request.get("network", ())),
    )


def root_of(request: dict[str, Any]) -> Any:
    options = {name: request[name] for name in ("writable", "executable") if name in request}
    lists = {name: tuple(request[name]) for name in ("hidden", "hidden_globs", "protected") if name in request}
    return root(request["source"], request["target"], **options, **lists)


def answer_of(outcome: Outcome, pieces: list[tuple[str, bytes]]) -> dict[str, Any]:
    made = asdict(outcome)
    for stream in ("stdout", "stderr"):
        made[stream] = made[stream].decode("utf-8", "surrogateescape")
    made["pieces"] = len(pieces)
    made["streamed"] = {
        stream: len(b"".join(piece for where, piece in pieces if where == stream)) for stream in ("stdout", "stderr")
    }
    return made


def children(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


class Harness:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.plans: dict[str, SandboxPlan] = {}

    async def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """One call. `keep` stores the plan under a name, `kept` runs a stored one (as it was decided then)."""
        plan = self.plans[request["kept"]] if "kept" in request else plan_of(request)
        if "keep" in request:
            self.plans[request["keep"]] = plan
            return {}
        pieces: list[tuple[str, bytes]] = []
        seen = asyncio.Event()

        def take(stream: str, piece: bytes) -> None:
            pieces.append((stream, piece))
            if request.get("cancel_when", "\0").encode() in piece:
                seen.set()

        stdin = request.get("stdin", "").encode("utf-8", "surrogateescape")
        connections: list[Connection] = []

        def refuse() -> None:
            raise PlanRefused("policy_changed", "It may not begin any more.")

        run = self.sandbox.run(
            plan,
            stdin=stdin,
            on_output=take,
            on_connection=connections.append,
            before_start=refuse if request.get("refused") else None,
        )
        task = asyncio.ensure_future(run)
        if "cancel_when" in request:
            await seen.wait()
            task.cancel()
        elif "cancel_after" in request:
            await asyncio.sleep(request["cancel_after"])
            task.cancel()
        return answer_of(await task, pieces) | {"connections": [asdict(one) for one in connections]}

    async def reserve(self, request: dict[str, Any]) -> dict[str, Any]:
        """Reserve for a plan, and `run` it, or let it go as a call does whose intent cannot be written."""
        plan = plan_of(request)
        with self.sandbox.reserve(plan) as reservation:
            if not request["run"]:
                return {}
            return answer_of(await self.sandbox.run(plan, reservation), [])

    async def worker(self, request: dict[str, Any]) -> dict[str, Any]:
        """A worker: send lines, read as many back, close its input (or kill it), and wait for its end."""
        execution = await self.sandbox.launch(plan_of(request))
        said = []
        for line in request["lines"]:
            execution.stdin.write(line.encode() + b"\n")
            await execution.stdin.drain()
            said.append((await execution.stdout.readline()).decode().rstrip("\n"))
        if request.get("kill"):
            execution.kill()
        else:
            execution.stdin.close()
        return {"said": said, "pid": execution.pid} | answer_of(await execution.wait(), [])

    async def gather(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"answers": await asyncio.gather(*(self.answer(one) for one in request["requests"]))}

    async def disarm(self, _: dict[str, Any]) -> dict[str, Any]:
        """Let go of every armed sandbox, and wait until none is left."""
        deadline = time.monotonic() + 5
        self.sandbox.disarm()
        await self.sandbox.settled()
        spawners = children(os.getpid())
        while any(children(pid) for pid in spawners) and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        return {}

    async def settle(self, _: dict[str, Any]) -> dict[str, Any]:
        """Wait until as many sandboxes are armed as are wanted, and count them."""
        return {"armed": await self.sandbox.settled()}

    async def decayed(self, request: dict[str, Any]) -> dict[str, Any]:
        """Wait until nothing is armed any more, and no longer than that takes."""
        deadline = time.monotonic() + 10
        while (said := await self.settle(request))["armed"] and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return said

    async def kill_parked(self, request: dict[str, Any]) -> dict[str, Any]:
        """Kill every sandbox from outside, as an administrator might."""
        launchers = [
            pid for spawner in children(os.getpid()) for monitor in children(spawner) for pid in children(monitor)
        ]
        for pid in launchers:
            os.kill(int(pid), signal.SIGKILL)
        while any(os.path.exists(f"/proc/{pid}") for pid in launchers):  # noqa: ASYNC240
            if "then" in request:  # a call that comes before the host has noticed: its loop stands still meanwhile
                time.sleep(0.001)  # noqa: ASYNC251
            else:
                await asyncio.sleep(0.001)
        return await self.run(request["then"]) if "then" in request else {}

    async def listen(self, request: dict[str, Any]) -> dict[str, Any]:
        """How many new descriptors, whose numbers were others' before, the event loop hears."""
        loop, heard = asyncio.get_running_loop(), set()
        pipes = [os.pipe() for _ in range(request["pipes"])]
        for ours, theirs in pipes:
            loop.add_reader(ours, heard.add, ours)
            os.write(theirs, b"x")
        deadline = time.monotonic() + 5
        while len(heard) < len(pipes) and time.monotonic() < deadline:
            await asyncio.sleep(0.001)
        for ours, theirs in pipes:
            loop.remove_reader(ours)
            os.close(ours)
            os.close(theirs)
        return {"heard": len(heard)}

    async def facts(self, request: dict[str, Any]) -> dict[str, Any]:
        await self.disarm(request)
        return {
            "descriptors": len(os.listdir("/proc/self/fd")),
            "pid": os.getpid(),
            "tasks": len(asyncio.all_tasks()),
        }

    async def starved(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request with only so many descriptors left."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = 0
        for number in range(soft):
            try:
                os.fstat(number)
            except OSError:
                free += 1
                if free > request["spare"]:
                    break
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
        try:
            return await self.answer(request["request"])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    async def breathless(self, request: dict[str, Any]) -> dict[str, Any]:
        """No descriptors for some seconds, once a file is there; then another one is."""
        while not os.path.exists(request["after"]):  # noqa: ASYNC240
            await asyncio.sleep(0.005)
        await self.starved({"spare": 0, "request": {"do": "pause", "seconds": request["seconds"]}})
        Path(request["then"]).touch()  # noqa: ASYNC240
        return {}

    async def pause(self, request: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(request["seconds"])
        return {}

    async def starve(self, request: dict[str, Any]) -> dict[str, Any]:
        """Leave another of our processes only so many descriptors; returns how many it had."""
        soft, hard = resource.prlimit(request["pid"], resource.RLIMIT_NOFILE)
        resource.prlimit(request["pid"], resource.RLIMIT_NOFILE, (request["most"], hard))
        return {"most": soft}

    async def remove(self, request: dict[str, Any]) -> dict[str, Any]:
        """Remove what a sandbox left, as the service user."""
        path = Path(request["path"])
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            remove_tree(parent, path.name)
        finally:
            os.close(parent)
        return {}

    async def probe(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"checks": [asdict(check) for check in await asyncio.to_thread(probe)]}

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            made: dict[str, Any] = await getattr(self, request.get("do", "run"))(request)
        except SandboxError as error:
            return {
                "error": {"type": type(error).__name__, "code": error.code, "hint": error.hint, "text": error.message}
            }
        except asyncio.CancelledError:
            return {"cancelled": True}
        return made


async def serve(sandbox: Sandbox) -> None:
    harness = Harness(sandbox)
    lines = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        print(json.dumps(await harness.answer(json.loads(line))), flush=True)
    await sandbox.close()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    become_service_user()
    os.environ["SECRET"] = "CANARY"
    if "TOOLHOST_TEST_CUT_FILTER" in os.environ:
        whole = seccomp.filter_bytes
        seccomp.filter_bytes = lambda **kind: whole(**kind)[:-5]
    if "TOOLHOST_TEST_BARRED" in os.environ:
        entered, barred = kernel.setns, itertools.count(1 - int(os.environ["TOOLHOST_TEST_BARRED"]))

        def enter(fd: int, kind: int = kernel.CLONE_NEWNS) -> None:
            if not next(barred):
                raise OSError(errno.ENOMEM, "setns: Cannot allocate memory")
            entered(fd, kind)

        kernel.setns = enter
    asyncio.run(serve(Sandbox.start(Path(sys.argv[1]), armament=Armament(**json.loads("".join(sys.argv[2:]) or "{}")))))


if __name__ == "__main__":
    main()
