"""A bench for plugins: a host's folders, and scenarios that run as the service user with a real sandbox."""

from __future__ import annotations

import asyncio
import gc
import os
import pwd
import shutil
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from owners import SERVICE_USER, give

from toolhost.model import Actor, Call, Decision, Tool
from toolhost.pluginhost import Idle, PluginLock, PluginRegistry, WorkerReply
from toolhost.pluginhost.configuring import declared_settings
from toolhost.policy import Considered, PolicyStore, Request, consider
from toolhost.sandbox import Outcome, Sandbox

POLICIES = Path(__file__).parents[1] / "policies"
BUNDLED = {manifest.parent.name for manifest in (Path(__file__).parents[1] / "plugins").glob("*/plugin.toml")}
ADA = Actor(user_id="u_ada", username="ada", role="admin", channel="cli")


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a call that was not denied."""

    decision: Decision
    outcome: Outcome | None
    reply: WorkerReply | None

    @property
    def command(self) -> Outcome:
        assert self.outcome is not None
        return self.outcome

    @property
    def worker(self) -> WorkerReply:
        assert self.reply is not None
        return self.reply

    @property
    def text(self) -> str:
        return str(self.worker.content[0]["text"])


class Running:
    """A loaded registry over a real sandbox."""

    def __init__(self, registry: PluginRegistry, sandbox: Sandbox, policies: PolicyStore, workspace: Path) -> None:
        self.registry = registry
        self.workspace = workspace
        self._sandbox = sandbox
        self.policies = policies

    def tool(self, name: str) -> Tool:
        tool = self.registry.tool(name)
        assert tool is not None, self.registry.plugins[name.split(".")[0]].reason
        return tool

    def consider(self, name: str, arguments: dict[str, Any], workspace: Path | None = None) -> Considered:
        tool = self.tool(name)
        command = tool.command
        return consider(
            Request(
                tool=tool,
                actor=ADA,
                arguments=arguments,
                argv=self.registry.argv(tool, arguments) if command else tool.server or None,
                cwd=command.cwd if command else "{workspace}",
                workspace=str(workspace or self.workspace),
                runtime=None if command or tool.server else self.registry.runtime(tool),
                server=self.registry.server_files(tool) if tool.server else None,
            ),
            self.policies.current,
        )

    async def call(
        self,
        name: str,
        *,
        workspace: Path | None = None,
        on_progress: Callable[..., None] | None = None,
        **arguments: Any,
    ) -> Ran:
        considered = self.consider(name, arguments, workspace)
        assert considered.plan is not None, considered.decision
        tool = self.tool(name)
        if tool.command is not None:
            return Ran(considered.decision, await self._sandbox.run(considered.plan), None)
        call = Call(id="c_1", tool=tool, arguments=arguments, actor=ADA, workspace=str(workspace or self.workspace))
        reply = await self.registry.invoke(call, considered.plan, considered.arguments, on_progress=on_progress)
        return Ran(considered.decision, None, reply)


class Bench:
    """Folders of a host, filled by the test; then one scenario."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.plugins = folder / "plugins"
        self.policies = folder / "policies"
        self.workspace = folder / "workspace"
        self._folder = folder
        self.state = state
        for made in (self.plugins, self.policies, self.workspace):
            made.mkdir()
        for file in POLICIES.glob("*.toml"):
            shutil.copy(file, self.policies)

    def plugin(self, name: str, code: str = "", *, manifest: str | None = None, policy: str = "") -> Path:
        """Drop a plugin in: a Python one whose module is `NAME_plugin.py`, unless the manifest says otherwise."""
        folder = self.plugins / name
        folder.mkdir()
        default = f'name = "{name}"\nversion = "1.0"\nabout = "A test."\nmodule = "{name}_plugin"\n'
        (folder / "plugin.toml").write_text(default if manifest is None else manifest)
        if code:
            (folder / f"{name}_plugin.py").write_text(code)
        if policy:
            (self.policies / f"{name}.toml").write_text(policy)
        return folder

    def run(
        self, scenario: Callable[[Running], Awaitable[None]], *, timeout: float = 60, idle: Idle | None = None
    ) -> None:
        """Run a scenario as the service user: the sandbox refuses root, and is to be started before any event loop."""
        give(self._folder, SERVICE_USER)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                gc.disable()  # it would look at all that pytest holds, and copy it
                os.close(read)
                _become_service_user()
                os.chdir("/")
                self._play(scenario, timeout, idle)
                status = 0
            except BaseException:
                os.write(write, traceback.format_exc()[-60_000:].encode(errors="replace"))
            finally:
                os._exit(status)
        os.close(write)
        with os.fdopen(read) as report:
            said = report.read()
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            pytest.fail(said, pytrace=False)

    def _play(self, scenario: Callable[[Running], Awaitable[None]], timeout: float, idle: Idle | None) -> None:
        sandbox = Sandbox.start(self.state)

        async def play() -> None:
            policies = PolicyStore(self.policies, data=self._folder, plugins=self.plugins)
            policies.declared = declared_settings(self.plugins)
            policies.load()
            assert not policies.current.problems
            lock = PluginLock(self.policies)
            registry = PluginRegistry(self.plugins, sandbox, lock, self.state, policies, idle=idle)
            try:
                async with asyncio.timeout(timeout):
                    await registry.load()
                    await scenario(Running(registry, sandbox, policies, self.workspace))
            finally:
                await registry.close()
                await sandbox.close()

        asyncio.run(play())


def _become_service_user() -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam(SERVICE_USER)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def facts(reply: WorkerReply) -> dict[str, Any]:
    """The structured result of a reply."""
    return cast(dict[str, Any], reply.value)
