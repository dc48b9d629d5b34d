"""The plugins of a host: found, checked, described, and called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pluggy
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from toolhost import hookspecs
from toolhost.errors import PluginError
from toolhost.model import Call, Tool
from toolhost.pluginhost.command import expand
from toolhost.pluginhost.descriptions import DescriptionCache
from toolhost.pluginhost.discovery import Candidate, candidates, digest, module_file
from toolhost.pluginhost.manifest import MANIFEST, Manifest, read_manifest
from toolhost.pluginhost.pending import OnProgress
from toolhost.pluginhost.proxy import PluginProxy, command_tools, declared_tools
from toolhost.pluginhost.record import PluginRecord, WorkerReply
from toolhost.pluginhost.runtime import worker_runtime
from toolhost.pluginhost.worker import owned_limits
from toolhost.pluginhost.workers import WorkerPool
from toolhost.sandbox import LimitReport, Limits, Sandbox, SandboxError, SandboxPlan

if TYPE_CHECKING:
    from toolhost.policy import PolicyStore, WorkerRuntime

__all__ = ["PluginRegistry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A candidate that could be read."""

    candidate: Candidate
    manifest: Manifest
    digest: str


class PluginRegistry:
    """Every plugin the host knows, usable or not.

    Args:
        folder: The plugins directory.
        sandbox: Where workers run; None where there is none, and then Python plugins are quarantined.
        policies: The policies in force.
        state: The host's own folder; descriptions of unchanged plugins are kept there.
    """

    def __init__(self, folder: Path, sandbox: Sandbox | None, policies: PolicyStore, state: Path) -> None:
        self._folder = folder
        self._sandbox = sandbox
        self._policies = policies
        self._descriptions = DescriptionCache(state / "plugins")
        self._records: dict[str, PluginRecord] = {}
        self._tools: dict[str, Tool] = {}
        self._modules: dict[str, tuple[Candidate, str]] = {}
        self._runtimes: dict[str, WorkerRuntime] = {}
        self._pool: WorkerPool | None = None

    @property
    def plugins(self) -> Mapping[str, PluginRecord]:
        """Every plugin by name, quarantined ones included."""
        return MappingProxyType(self._records)

    def tool(self, name: str) -> Tool | None:
        """A tool of an active plugin."""
        return self._tools.get(name)

    def tools(self) -> tuple[Tool, ...]:
        """The tools of active plugins, sorted by name."""
        return tuple(self._tools[name] for name in sorted(self._tools))

    async def load(self) -> None:
        """Find and describe every plugin; one that cannot be used is quarantined with a reason and no other notices."""
        if self._pool is None and self._sandbox is not None:
            self._pool = WorkerPool(self._sandbox, self._quarantine)
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        self._records, self._modules, self._runtimes = {}, {}, {}
        for candidate in candidates(self._folder):
            try:
                found = self._read(candidate)
            except PluginError as error:
                self._add(_refused(candidate, error))
                continue
            record = await self._admit(found)
            self._add(record)
            if record.state == "active":
                manager.register(PluginProxy(found.manifest, record.tools), name=record.name)
        registered: list[Tool] = []
        manager.hook.register_tools(register=registered.append)
        self._tools = {tool.name: tool for tool in registered}

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
        if tool.plugin not in self._modules:
            raise PluginError("unknown_plugin", f"The plugin {tool.plugin} is not a loaded Python plugin.")
        if tool.plugin not in self._runtimes:
            candidate, module = self._modules[tool.plugin]
            self._runtimes[tool.plugin] = worker_runtime(candidate, tool.plugin, module)
        return self._runtimes[tool.plugin]

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
        on_progress: OnProgress | None = None,
    ) -> WorkerReply:
        """Call a worker tool.

        Args:
            call: The call.
            plan: Its plan, of kind `worker`.
            arguments: With paths as they stand inside.
            on_progress: Gets `{"done", "total", "message"}`.

        Returns:
            The reply, whatever the plugin did; cancelling the task stops the tool first.

        Raises:
            SandboxError: Where the sandbox cannot be made.
        """
        if self._pool is None:
            error = PluginError("sandbox_unavailable", "There is no sandbox to run this tool in.")
            return WorkerReply(status="unavailable", error=error)
        return await self._pool.call(call.tool, plan, arguments, on_progress)

    async def close(self) -> None:
        """End every worker."""
        if self._pool is not None:
            await self._pool.close()

    # -- loading -------------------------------------------------------------------------------------------------------

    def _read(self, candidate: Candidate) -> _Found:
        if candidate.problem is not None:
            raise candidate.problem
        assert candidate.folder is not None
        manifest = read_manifest(candidate.folder / MANIFEST)
        _check_host_version(manifest)
        if manifest.module is not None and module_file(candidate, manifest.module) is None:
            raise PluginError(
                "module_missing",
                f"The plugin's folder {candidate.folder} holds no module {manifest.module}.",
                f"Correct `module` in its {MANIFEST}.",
            )
        return _Found(candidate=candidate, manifest=manifest, digest=digest(candidate.folder))

    async def _admit(self, found: _Found) -> PluginRecord:
        manifest, candidate = found.manifest, found.candidate
        record = PluginRecord(
            name=manifest.name,
            version=manifest.version,
            about=manifest.about,
            kind="toml" if manifest.module is None else "python",
            source=candidate.source,
            location=str(candidate.folder),
            digest=found.digest,
        )
        taken = self._records.get(manifest.name)
        if taken is not None:
            return replace(
                record,
                name=f"{manifest.name} (in {candidate.label})",
                state="quarantined",
                code="name_taken",
                reason=f"The name {manifest.name} belongs to the plugin in {taken.location}.",
            )
        try:
            return replace(record, tools=await self._describe(found))
        except (PluginError, SandboxError) as error:
            return replace(record, state="quarantined", code=error.code, reason=_sentence(error))

    async def _describe(self, found: _Found) -> tuple[Tool, ...]:
        manifest = found.manifest
        if manifest.module is None:
            return command_tools(manifest, found.digest)
        self._modules[manifest.name] = (found.candidate, manifest.module)
        described = self._descriptions.get(found.digest)
        if described is None:
            if self._pool is None:
                raise PluginError("sandbox_unavailable", "It cannot be described, because there is no sandbox.")
            described = await self._pool.describe(self._description_plan(found))
        tools = declared_tools(manifest, found.digest, described)
        self._descriptions.put(found.digest, described)
        return tools

    def _description_plan(self, found: _Found) -> SandboxPlan:
        """A worker with nothing to see: no roots, no network."""
        assert found.manifest.module is not None
        runtime = worker_runtime(found.candidate, found.manifest.name, found.manifest.module)
        return SandboxPlan(
            kind="worker",
            tool=found.manifest.name,
            argv=runtime.argv,
            cwd="/tmp",  # noqa: S108  # the sandbox's own
            env=tuple(sorted(runtime.env)),
            programs=runtime.programs,
            support=runtime.support,
            limits=Limits(),
            plugin_digest=found.digest,
        )

    def _add(self, record: PluginRecord) -> None:
        name = record.name
        count = 2
        while record.name in self._records:
            record = replace(record, name=f"{name} ({count})")
            count += 1
        self._records[record.name] = record

    def _quarantine(self, plugin: str, code: str, reason: str) -> None:
        """Take a plugin out of service while the host runs."""
        record = self._records.get(plugin)
        if record is not None:
            self._records[plugin] = replace(record, state="quarantined", code=code, reason=reason, tools=())
            self._tools = {name: tool for name, tool in self._tools.items() if tool.plugin != plugin}


def _check_host_version(manifest: Manifest) -> None:
    try:
        wanted = SpecifierSet(manifest.requires_host)
    except InvalidSpecifier:
        raise PluginError(
            "invalid_manifest",
            f"{MANIFEST}: `requires_host` is {manifest.requires_host!r}, which is no version specifier.",
            'Write it like ">=0.1,<1".',
        ) from None
    host = metadata.version("toolhost")
    if not wanted.contains(host, prereleases=True):
        raise PluginError(
            "host_version",
            f"It needs toolhost {manifest.requires_host}, and this is {host}.",
            "Install a matching version.",
        )


def _refused(candidate: Candidate, error: PluginError) -> PluginRecord:
    return PluginRecord(
        name=candidate.label,
        state="quarantined",
        code=error.code,
        reason=_sentence(error),
        source=candidate.source,
        location=str(candidate.folder or candidate.label),
    )


def _sentence(error: PluginError | SandboxError) -> str:
    return f"{error.message} {error.hint}".strip()
