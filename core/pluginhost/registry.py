"""The plugins of a host: loaded as a whole, and called."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from toolhost.errors import AccessError, PluginError, UsageError
from toolhost.model import Actor, Call, Tool
from toolhost.pluginhost.command import expand
from toolhost.pluginhost.contained import owned_limits
from toolhost.pluginhost.descriptions import DescriptionCache
from toolhost.pluginhost.discovery import digest, left_out
from toolhost.pluginhost.drift import changes, summary
from toolhost.pluginhost.errands import Errands
from toolhost.pluginhost.loading import Found, Loaded, PluginLoader
from toolhost.pluginhost.lock import PluginLock, taken_out
from toolhost.pluginhost.pending import OnProgress
from toolhost.pluginhost.pins import PluginPin, pin_of
from toolhost.pluginhost.record import PluginRecord, WorkerReply
from toolhost.pluginhost.runtime import fetch_runtime, worker_runtime
from toolhost.pluginhost.served import served_tools
from toolhost.pluginhost.server import Server
from toolhost.pluginhost.worker import Worker
from toolhost.pluginhost.workers import DESCRIPTION_BYTES, START_SECONDS, Idle, WorkerPool
from toolhost.policy.annotations import contradiction
from toolhost.policy.describing import describing_plan
from toolhost.sandbox import Connection, LimitReport, Sandbox, SandboxPlan
from toolhost.sandbox.plan import NO_SECRETS

if TYPE_CHECKING:
    from toolhost.policy import PolicyStore, ServerFiles, WorkerRuntime
    from toolhost.policy.config_table import Declared

__all__ = ["OnPluginConnection", "PluginRegistry"]

_logger = logging.getLogger(__name__)

_REASON = 500  # characters

OnPluginConnection = Callable[[str, Connection, tuple[str, ...]], None]
"""Gets the plugin, a connection of its server that has ended, and the calls that were in flight then."""


class PluginRegistry:
    """Every plugin the host knows, usable or not.

    Args:
        folder: The plugins directory.
        sandbox: Where workers run; None where there is none, and then Python plugins are quarantined.
        lock: What every plugin was when it was first seen or last accepted.
        state: The host's own folder; descriptions of unchanged plugins are kept there.
        policies: The policies in force: they say what a server may be started as, even to be asked for its tools.
        on_connection: Told of each connection of a server; without it, none has a network.
        installed: Of the installed plugins those that are loaded; None for all.
        idle: What workers may be that nobody uses.
    """

    def __init__(
        self,
        folder: Path,
        sandbox: Sandbox | None,
        lock: PluginLock,
        state: Path,
        policies: PolicyStore,
        on_connection: OnPluginConnection | None = None,
        installed: Collection[str] | None = None,
        idle: Idle | None = None,
    ) -> None:
        self._folder = folder
        self._idle = idle or Idle()
        self._policies = policies
        self._on_connection = on_connection
        self._installed = installed
        self._empty = state / "plugins" / "empty"
        self._sandbox = sandbox
        self._lock = lock
        self._descriptions = DescriptionCache(state / "plugins")
        self._loading = asyncio.Lock()
        self._loaded = Loaded()
        self._runtimes: dict[str, WorkerRuntime] = {}
        self._fetch: WorkerRuntime | None = None
        self._files: dict[str, ServerFiles] = {}
        self._pool: WorkerPool | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._comparing: set[asyncio.Task[None]] = set()
        self._failing: set[str] = set()  # what the lock could not be told of

    @property
    def plugins(self) -> Mapping[str, PluginRecord]:
        """Every plugin by name, quarantined ones included."""
        return MappingProxyType(self._loaded.records)

    @property
    def pins(self) -> Mapping[str, PluginPin]:
        """Every plugin that could be described, as it is now; whether the lock has it so is another matter."""
        return MappingProxyType(self._loaded.pins)

    @property
    def settings(self) -> Declared:
        """What each plugin that could be read declares for `[config]` of its policy."""
        return self._loaded.settings

    def tool(self, name: str) -> Tool | None:
        """A tool of an active plugin."""
        return self._loaded.tools.get(name)

    def tools(self) -> tuple[Tool, ...]:
        """The tools of active plugins, sorted by name."""
        return tuple(self._loaded.tools[name] for name in sorted(self._loaded.tools))

    def check_in_service(self, plugin: str) -> None:
        """Check that a plugin, if there is one of this name, is not out of service.

        Raises:
            AccessError: With the code of its quarantine.
        """
        record = self._loaded.records.get(plugin)
        if record is not None and record.state == "quarantined":
            raise AccessError(
                record.code, f"The plugin {plugin} is quarantined: {record.reason}", "Ask an administrator."
            )

    async def load(self) -> None:
        """Find and describe every plugin, again if need be; until that is done, what was there before is in service."""
        if self._pool is None and self._sandbox is not None:
            self._pool = WorkerPool(self._start, self._quarantine, self._idle)
        async with self._loading:
            describe = self._describe if self._pool is not None else None
            loader = PluginLoader(
                self._folder, self._lock, self._descriptions, describe, self._server_plan, self._installed
            )
            loaded = await loader.load()
            for name, record in self._loaded.records.items():
                again = loaded.records.get(name)
                if name in self._failing and again and again.digest == record.digest:
                    loaded = loaded.without(name, record.code, record.reason)
            loaded = self._honest(loaded)
            others = loaded.tools != self._loaded.tools
            if self._loaded.active - loaded.active:
                self._let_go()
            self._loaded = loaded
            self._runtimes = {}
            self._files = {}
        if others:
            self.on_change()

    def _honest(self, loaded: Loaded) -> Loaded:
        """Without the plugins whose tools promise what their policies do not make true."""
        for tool in list(loaded.tools.values()):
            problem = contradiction(self._policies.current.policy(tool.plugin), tool) if tool.hints else None
            if problem is not None and loaded.records[tool.plugin].state != "quarantined":
                reason = f"The tool {tool.name} says {problem}."
                loaded = loaded.without(tool.plugin, "hint_contradicts_policy", reason)
        return loaded

    async def follow_policies(self) -> None:
        """Load again after a change of the policies where they matter to that: they let a server be described, and
        make true or false what a tool says of itself.
        """
        claims = any(tool.hints for tool in self._loaded.tools.values())
        false = any(record.code == "hint_contradicts_policy" for record in self._loaded.records.values())
        if claims or false or any(found.manifest.mcp for found in self._loaded.found.values()):
            await self.load()

    def argv(self, tool: Tool, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The argument vector of a command tool, as its template says; `argv[0]` is the program's name.

        Raises:
            UsageError: `invalid_arguments`.
        """
        return expand(tool, arguments)

    def runtime(self, tool: Tool) -> WorkerRuntime:
        """How the worker of a tool is started.

        Raises:
            PluginError: `unknown_plugin` where its plugin is not loaded.
            PlanRefused: Where the interpreter cannot be used.
        """
        found = self._loaded.found.get(tool.plugin)
        if found is None or found.manifest.module is None:
            raise PluginError("unknown_plugin", f"The plugin {tool.plugin} is not a loaded Python plugin.")
        if tool.plugin not in self._runtimes:
            self._runtimes[tool.plugin] = worker_runtime(found.candidate, tool.plugin, found.manifest.module)
        return self._runtimes[tool.plugin]

    def fetch_runtime(self) -> WorkerRuntime:
        """What fetches for the workers of any plugin.

        Raises:
            PlanRefused: Where the interpreter cannot be used.
        """
        if self._fetch is None:
            self._fetch = fetch_runtime()
        return self._fetch

    def server_files(self, tool: Tool) -> ServerFiles:
        """The files of the plugin of a server's tool.

        Raises:
            PluginError: `unknown_plugin` where its plugin is not loaded.
        """
        found = self._loaded.found.get(tool.plugin)
        if found is None or not found.manifest.mcp:
            raise PluginError("unknown_plugin", f"The plugin {tool.plugin} is not a loaded MCP server.")
        if tool.plugin not in self._files:
            self._files[tool.plugin] = found.files
        return self._files[tool.plugin]

    def enforcement(self, plan: SandboxPlan) -> Mapping[str, LimitReport]:
        """Every limit of a plan and what will enforce it here; empty where there is no sandbox."""
        if self._sandbox is None:
            return {}
        held = self._sandbox.enforcement(plan)
        return {**held, **owned_limits(plan)} if plan.kind == "worker" else held

    async def invoke(
        self,
        call: Call,
        plan: SandboxPlan,
        arguments: Mapping[str, Any],
        *,
        secrets: Mapping[str, bytes] = NO_SECRETS,
        before_start: Callable[[], None] | None = None,
        on_progress: OnProgress | None = None,
        errands: Errands | None = None,
    ) -> WorkerReply:
        """Call a worker tool.

        Args:
            call: The call.
            plan: Its plan, of kind `worker`.
            arguments: With paths as they stand inside.
            secrets: What each secret of the plan holds.
            before_start: Called when the call has its worker; what it raises is raised here, and nothing has run.
            on_progress: Gets `{"done", "total", "message"}`.
            errands: Runs what the tool asks the host for; without them it can ask for nothing.

        Returns:
            The reply, whatever the plugin did; cancelling the task stops the tool first.

        Raises:
            SandboxError: Where the sandbox cannot be made.
        """
        if self._pool is None:
            error = PluginError("sandbox_unavailable", "There is no sandbox to run this tool in.")
            return WorkerReply(status="unavailable", error=error)
        return await self._pool.call(call, plan, arguments, before_start, on_progress, secrets, errands)

    @property
    def worker_count(self) -> int:
        """How many workers there are, those that begin or end included."""
        return 0 if self._pool is None else self._pool.count

    @property
    def served(self) -> set[Actor]:
        """Whom the workers that there are worked for last."""
        return set() if self._pool is None else self._pool.served

    def retire_workers(self, last: Collection[Actor] | None = None) -> None:
        """Let every worker go, or those that worked for one of these last; those at work, when their calls end."""
        if self._pool is not None:
            self._pool.retire(last)

    def _let_go(self) -> None:
        """Keep nothing ready any more: it may be of a plugin that is out of service now."""
        if self._sandbox is not None:
            self._sandbox.disarm()
        self.retire_workers()

    async def close(self) -> None:
        """End every worker."""
        if self._pool is not None:
            await self._pool.close()

    # -- workers and servers -------------------------------------------------------------------------------------------

    async def _describe(self, plan: SandboxPlan, kind: str) -> dict[str, Any]:
        assert self._pool is not None
        assert self._sandbox is not None
        starting = (Server if kind == "mcp" else Worker).start(self._sandbox, plan, START_SECONDS)
        return await self._pool.describe(starting)

    async def _start(self, plan: SandboxPlan, secrets: Mapping[str, bytes]) -> Worker | Server:
        """Start what a call needs: the plugin's worker, or its server, which is asked whether it is still the same.

        Raises:
            PluginError: `plugin_drifted`, or what a start raises.
            SandboxError: Where the plan cannot be carried out.
        """
        assert self._sandbox is not None
        await self._check_files(plan)
        if not self._loaded.found[plan.tool].manifest.mcp:
            return await Worker.start(self._sandbox, plan, START_SECONDS, secrets)
        told = None if self._on_connection is None else partial(self._on_connection, plan.tool)
        server = await Server.start(self._sandbox, plan, START_SECONDS, secrets, told)
        server.on_changed = lambda: self._compare_soon(server)
        try:
            await self._compare(server)
        except BaseException:
            await server.close()
            raise
        return server

    def _server_plan(self, found: Found) -> SandboxPlan:
        self._empty.mkdir(mode=0o755, parents=True, exist_ok=True)
        manifest = found.manifest
        return describing_plan(
            manifest.name, manifest.mcp, found.files, found.digest, self._policies.current, str(self._empty)
        )

    async def _compare(self, server: Server) -> None:
        """Check that a server lists the tools that it was let in with.

        Raises:
            PluginError: `plugin_drifted`, and the plugin is out of service.
        """
        name = server.plan.tool
        found, record = self._loaded.found[name], self._loaded.records[name]
        described = await server.describe(START_SECONDS, DESCRIPTION_BYTES)
        try:
            tools = served_tools(found.manifest, found.digest, described)
            before, now = pin_of(record, ""), pin_of(replace(record, tools=tools), "")
            if before.same(now):
                return
            said = summary(tuple(changes(before, now)))
        except PluginError as error:
            said = error.message
        self._quarantine(
            name,
            "plugin_drifted",
            f"Its server lists other tools than those that were pinned: {said}. "
            f"`toolhost plugin accept {name}` shows what changed, and lets it in on a yes.",
        )
        with suppress(PluginError):  # its policy is gone meanwhile, and with it whatever was described under it
            self._descriptions.forget(found.description_key(self._server_plan(found)))
        raise PluginError("plugin_drifted", f"The server of the plugin {name} lists other tools now: {said}.")

    def _compare_soon(self, server: Server) -> None:
        """After a server said that its tools changed: ask, and end it if they have."""

        async def compare() -> None:
            try:
                await self._compare(server)
            except (PluginError, TimeoutError):
                await server.close()

        task = asyncio.create_task(compare(), name=f"compare {server.plan.tool}")
        self._comparing.add(task)
        task.add_done_callback(self._comparing.discard)

    # -- the lock ------------------------------------------------------------------------------------------------------

    def record(self, name: str) -> PluginRecord:
        """A plugin by name.

        Raises:
            UsageError: `unknown_plugin`.
        """
        record = self._loaded.records.get(name)
        if record is None:
            raise UsageError("unknown_plugin", f"There is no plugin {name!r}.", "`toolhost plugin list` lists them.")
        return record

    def pinned(self, name: str) -> PluginPin | None:
        """A plugin as the lock has it, or None."""
        return self._lock.pinned(name)

    def accept(self, pin: PluginPin) -> None:
        """Pin a plugin as it was shown to the person who accepts it; the next load lets it in if it is still that.

        Raises:
            PluginError: `lock_invalid`, `lock_not_writable`.
        """
        self._lock.accept(pin)

    async def quarantine(self, name: str, reason: str) -> None:
        """Keep a plugin out of service, from now on and until somebody accepts it again.

        Raises:
            UsageError: `unknown_plugin`; `reason_invalid`: it is one line, and an empty one would keep nothing out.
            PluginError: `lock_invalid`, `lock_not_writable`.
        """
        if not reason.strip() or not reason.isprintable() or len(reason) > _REASON:
            raise UsageError(
                "reason_invalid", f"The reason is one line of up to {_REASON} characters.", "Say in a sentence why."
            )
        async with self._loading:  # what is being loaded was compared with the lock as it was
            self.record(name)
            await asyncio.to_thread(self._lock.quarantine, name, reason)
            self._loaded = self._loaded.refusing(name, taken_out(name, reason))
        self._let_go()
        self.on_change()

    async def _check_files(self, plan: SandboxPlan) -> None:
        """Check before a worker is started that it will run the files that the lock was compared with.

        Raises:
            PluginError: `plugin_drifted`, and the plugin is out of service.
        """
        folder = self._loaded.found[plan.tool].candidate.folder
        assert folder is not None
        try:
            now = await asyncio.to_thread(digest, folder)
        except PluginError as error:
            now = error.message
        if now != self._loaded.records[plan.tool].digest:
            self._quarantine(
                plan.tool,
                "plugin_drifted",
                "Its files are not those that were pinned. "
                f"`toolhost plugin accept {plan.tool}` shows what changed, and lets it in on a yes.",
            )
        if now != plan.plugin_digest:
            raise PluginError("plugin_drifted", f"The files of the plugin {plan.tool} are not those that were pinned.")
        files = self._files.get(plan.tool)
        if files is not None and (fresh := set(left_out(folder)) - set(files.hidden)):
            del self._files[plan.tool]
            raise PluginError(
                "plugin_drifted",
                f"Something that is not pinned has come into the folder of the plugin {plan.tool}: {min(fresh)}.",
                "Make the call again: it will not be there for the server.",
                recoverable=True,
            )

    def _quarantine(self, plugin: str, code: str, reason: str) -> None:
        """Take a plugin out of service while the host runs."""
        if plugin in self._loaded.records:
            if code == "plugin_drifted":
                self._lock.note("plugin.drifted", {"plugin": plugin, "reason": reason})
            elif code == "worker_failing":
                self._lock.note("plugin.failing", {"plugin": plugin, "reason": reason})
                try:  # so that `plugin list` says it, and the next start, until somebody accepts it again
                    self._lock.quarantine(plugin, reason)
                except (PluginError, UsageError) as error:
                    self._failing.add(plugin)
                    _logger.error("the plugin %s is out of service in this process alone: %s", plugin, error.message)
            self._loaded = self._loaded.without(plugin, code, reason)
            self.on_change()
