"""A whole host in a process of the service user: one JSON request a line on standard input, one answer a line out.

What `toolhost call` does, without a start of the interpreter for each call. Usage: `python hosting.py DATA`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import become_service_user

from toolhost.approvals import Answer
from toolhost.data import DataDirectory
from toolhost.errors import ToolHostError
from toolhost.host import Host
from toolhost.model import Actor
from toolhost.quarantine import take_out
from toolhost.sandbox import Sandbox, SandboxError
from toolhost.settings import Settings, load_settings


def actor_of(request: dict[str, Any]) -> Actor:
    name = request.get("actor", "ada")
    scopes = frozenset(request["scopes"]) if "scopes" in request else None
    return Actor(user_id=f"u_{name}", username=name, role=request.get("role", "user"), channel="cli", scopes=scopes)


class Hosting:
    def __init__(self, host: Host) -> None:
        self.host = host

    async def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """One call. `cancel` cancels it, as a client that goes away does, once it has started."""
        started = asyncio.Event()

        def listen(event: dict[str, Any]) -> None:
            if event["type"] == request.get("cancel"):
                started.set()
            if event["type"] == "tool.asked" and "say" in request:
                self.host.inquiries.answer(event["inquiry_id"], actor_of(request), request["say"])

        workspace = request.get("workspace")
        task = asyncio.ensure_future(
            self.host.call(
                request["tool"],
                request.get("arguments", {}),
                actor_of(request),
                workspace=None if workspace is None else Path(workspace),
                approve=request.get("approve", False),
                attended=request.get("attended", True),
                on_event=listen,
            )
        )
        if "cancel" in request:
            await started.wait()
            task.cancel()
        return (await task).as_json()

    async def answer_next(self, request: dict[str, Any]) -> dict[str, Any]:
        """Wait for a question, and answer it. `refuse` has the reason of a no, `cancel` ends what asked instead."""
        async with asyncio.timeout(60):
            while not (found := await self.host.pending_approvals(actor_of(request))):
                await asyncio.sleep(0.01)
        if "cancel" in request:
            record = await self.host.call_record(found[0].call_id, actor_of(request))
            assert record is not None
            self.host.cancel(record["parent_id"], actor_of(request))
            return {"question": found[0].as_json()}
        answer = Answer(approve="refuse" not in request, reason=request.get("refuse", ""))
        made = await self.host.answer(found[0].id, actor_of(request), answer)
        return {"question": found[0].as_json(), "result": made.as_json()}

    async def explain(self, request: dict[str, Any]) -> dict[str, Any]:
        """What would be decided, and the plan."""
        call = await self.host.prepare(
            request["tool"],
            request.get("arguments", {}),
            actor_of(request),
            workspace=Path(request["workspace"]),
        )
        considered, _ = self.host.consider(call)
        return {
            "decision": considered.decision.as_json(),
            "argv": None if considered.plan is None else considered.plan.argv,
        }

    async def answer_approval(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = Answer(
            approve=request.get("decision", "approve") == "approve",
            reason=request.get("reason", ""),
            scope=request.get("scope", "once"),
        )
        made = await self.host.answer(request["approval"], actor_of(request), answer)
        return made.as_json()

    async def events(self, request: dict[str, Any]) -> dict[str, Any]:
        """One call, and the events that its listener was told of."""
        seen: list[str] = []
        await self.host.call(
            request["tool"],
            request["arguments"],
            actor_of(request),
            workspace=Path(request["workspace"]),
            on_event=lambda event: seen.append(event["type"]),
        )
        return {"events": seen}

    async def record(self, request: dict[str, Any]) -> dict[str, Any]:
        return await self.host.call_record(request["call"], actor_of(request)) or {}

    async def grants(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"grants": [grant.as_json() for grant in await self.host.grants(actor_of(request))]}

    async def revoke(self, request: dict[str, Any]) -> dict[str, Any]:
        await self.host.revoke_grant(request["grant"], actor_of(request))
        return {}

    async def pending(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"approvals": [question.as_json() for question in await self.host.pending_approvals(actor_of(request))]}

    async def quarantine(self, request: dict[str, Any]) -> dict[str, Any]:
        """By an administrator who hangs up at once."""
        task = asyncio.ensure_future(take_out(self.host, request["plugin"], "odd", actor_of(request)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
        return {"state": self.host.plugins.record(request["plugin"]).state}

    async def reload(self, _: dict[str, Any]) -> dict[str, Any]:
        self.host.policies.load()
        return {"problems": [str(problem) for problem in self.host.policies.current.problems]}

    async def facts(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "tasks": len(asyncio.all_tasks()),
            "problems": [str(problem) for problem in self.host.policies.current.problems],
            "plugins": {name: asdict(record)["reason"] for name, record in self.host.plugins.plugins.items()},
        }

    async def gather(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"answers": await asyncio.gather(*(self.answer(one) for one in request["requests"]))}

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            made: dict[str, Any] = await getattr(self, request.get("do", "call"))(request)
        except ToolHostError as error:
            return {"error": error.as_json()}
        except SandboxError as error:
            return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        except asyncio.CancelledError:
            return {"cancelled": True}
        return made


async def serve(settings: Settings, sandbox: Sandbox) -> None:
    async with Host.open(settings, sandbox) as host:
        hosting = Hosting(host)
        lines = asyncio.StreamReader(limit=1 << 26)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            print(json.dumps(await hosting.answer(json.loads(line))), flush=True)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    become_service_user()
    os.environ["SECRET"] = "CANARY"
    extensions = {key: os.environ[key] for key in ("TOOLHOST_EXTENSIONS",) if key in os.environ}
    settings = load_settings({}, {"TOOLHOST_DATA": sys.argv[1], **extensions})
    data = DataDirectory(settings)
    data.prepare()
    asyncio.run(serve(settings, Sandbox.start(data.state)))


main()
