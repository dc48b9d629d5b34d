"""Loading: from the places where plugins may be to the plugins and tools of a host, all at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import pluggy
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from toolhost import hookspecs
from toolhost.errors import PluginError
from toolhost.model import Tool
from toolhost.pluginhost.descriptions import DescriptionCache
from toolhost.pluginhost.discovery import Candidate, candidates, digest, left_out, module_file
from toolhost.pluginhost.lock import PluginLock
from toolhost.pluginhost.manifest import MANIFEST, Manifest, read_manifest
from toolhost.pluginhost.pins import CHECKOUT, PluginPin, pin_of
from toolhost.pluginhost.proxy import PluginProxy, command_tools, declared_tools
from toolhost.pluginhost.record import PluginRecord
from toolhost.pluginhost.runtime import worker_runtime
from toolhost.pluginhost.served import served_tools
from toolhost.policy import ServerFiles
from toolhost.policy.config_table import NONE_DECLARED, Declared
from toolhost.sandbox import Limits, SandboxError, SandboxPlan

__all__ = ["Found", "Loaded", "PluginLoader", "ServerPlan"]

Describe = Callable[[SandboxPlan, str], Awaitable[dict[str, Any]]]
"""Gets the plan and the kind of plugin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A candidate that could be read.

    Attributes:
        candidate: Where it is.
        manifest: What it says of itself.
        digest: `sha256:` and the digest of its files.
    """

    candidate: Candidate
    manifest: Manifest
    digest: str

    @property
    def bundled(self) -> bool:
        """Whether it is part of toolhost itself."""
        return self.candidate.distribution == "toolhost"

    @property
    def kind(self) -> Literal["python", "mcp", "toml"]:
        """What kind of plugin it is."""
        return "mcp" if self.manifest.mcp else "toml" if self.manifest.module is None else "python"

    def description_key(self, plan: SandboxPlan | None) -> str:
        """Under what its description is kept: what a server lists depends on what its command is granted too."""
        return self.digest if plan is None else f"{self.digest} {plan.digest}"

    @property
    def files(self) -> ServerFiles:
        """What an MCP server sees of its plugin: all that the digest is over."""
        folder = self.candidate.folder
        assert folder is not None
        return ServerFiles(folder=str(folder), hidden=left_out(folder))


ServerPlan = Callable[[Found], SandboxPlan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The plugins of a host as they were at one moment.

    Attributes:
        records: Every plugin by name, quarantined ones included.
        tools: The tools of active plugins by name.
        found: Where each plugin with a name of its own is, and its manifest.
        pins: What the lock compares, of every plugin that could be described.
        settings: What each plugin that could be read declares for `[config]`.
    """

    records: Mapping[str, PluginRecord] = field(default_factory=dict)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    found: Mapping[str, Found] = field(default_factory=dict)
    pins: Mapping[str, PluginPin] = field(default_factory=dict)
    settings: Declared = field(default_factory=lambda: NONE_DECLARED)

    @property
    def active(self) -> set[str]:
        """The plugins that are in service."""
        return {name for name, record in self.records.items() if record.state == "active"}

    def refusing(self, plugin: str, error: PluginError) -> Loaded:
        """The same with one plugin out of service, for what an error says."""
        return self.without(plugin, error.code, _sentence(error))

    def without(self, plugin: str, code: str, reason: str) -> Loaded:
        """The same with one plugin out of service."""
        record = replace(self.records[plugin], state="quarantined", code=code, reason=reason, tools=())
        tools = {name: tool for name, tool in self.tools.items() if tool.plugin != plugin}
        return replace(self, records={**self.records, plugin: record}, tools=tools)


class PluginLoader:
    """Finds, checks and describes plugins. One that cannot be used is quarantined with a reason; no other notices.

    Args:
        folder: The plugins directory.
        lock: What every plugin was when it was first seen or last accepted.
        descriptions: What unchanged plugins declared.
        describe: Asks a worker or a server what its plugin declares; None where there is no sandbox.
        server_plan: The plan by which a server is asked.
        installed: As of `candidates`.
    """

    def __init__(
        self,
        folder: Path,
        lock: PluginLock,
        descriptions: DescriptionCache,
        describe: Describe | None,
        server_plan: ServerPlan,
        installed: Collection[str] | None = None,
    ) -> None:
        self._folder = folder
        self._lock = lock
        self._descriptions = descriptions
        self._describe_inside = describe
        self._server_plan = server_plan
        self._installed = installed
        self._records: dict[str, PluginRecord] = {}
        self._found: dict[str, Found] = {}

    async def load(self) -> Loaded:
        """Everything there is; to be called once."""
        for candidate in candidates(self._folder, self._installed):
            try:
                found = self._read(candidate)
            except PluginError as error:
                self._add(_refused(candidate, error))
                continue
            self._add(await self._admit(found))
        pins = {
            name: pin_of(record, _host() if self._found[name].bundled else "")
            for name, record in self._records.items()
            if record.state == "active"
        }
        for name, refusal in self._lock.hold(pins.values()).items():
            self._records[name] = replace(
                self._records[name], state="quarantined", code=refusal.code, reason=_sentence(refusal), tools=()
            )
        return Loaded(
            records=self._records,
            tools={tool.name: tool for tool in self._registered()},
            found=self._found,
            pins=pins,
            settings={name: found.manifest.config for name, found in self._found.items()},
        )

    def _registered(self) -> list[Tool]:
        """The tools of active plugins, as their hooks declare them."""
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        for name, record in self._records.items():
            if record.state == "active":
                manager.register(PluginProxy(self._found[name].manifest, record.tools), name=name)
        tools: list[Tool] = []
        manager.hook.register_tools(register=tools.append)
        return tools

    def _read(self, candidate: Candidate) -> Found:
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
        return Found(candidate=candidate, manifest=manifest, digest=digest(candidate.folder))

    async def _admit(self, found: Found) -> PluginRecord:
        manifest, candidate = found.manifest, found.candidate
        record = PluginRecord(
            name=manifest.name,
            version=manifest.version,
            about=manifest.about,
            kind=found.kind,
            server=manifest.mcp,
            source=candidate.source,
            bundled=found.bundled,
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
        self._found[manifest.name] = found
        try:
            return replace(record, tools=await self._describe(found))
        except (PluginError, SandboxError) as error:
            return replace(record, state="quarantined", code=error.code, reason=_sentence(error))

    async def _describe(self, found: Found) -> tuple[Tool, ...]:
        manifest = found.manifest
        if found.kind == "toml":
            return command_tools(manifest, found.digest)
        plan = self._server_plan(found) if found.kind == "mcp" else None
        key = found.description_key(plan)
        described = self._descriptions.get(key)
        if described is None:
            if self._describe_inside is None:
                raise PluginError("sandbox_unavailable", "It cannot be described, because there is no sandbox.")
            self._descriptions.check_patience(key)
            try:
                described = await self._describe_inside(plan or _description_plan(found), found.kind)
            except PluginError as error:
                if error.code == "worker_not_ready":
                    self._descriptions.note_slow(key, error.message)
                raise
        tools = (declared_tools if plan is None else served_tools)(manifest, found.digest, described)
        self._descriptions.put(key, described)
        return tools

    def _add(self, record: PluginRecord) -> None:
        name = record.name
        count = 2
        while record.name in self._records:
            record = replace(record, name=f"{name} ({count})")
            count += 1
        self._records[record.name] = record


def _description_plan(found: Found) -> SandboxPlan:
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


@cache
def _host() -> str:
    """The toolhost that its bundled plugins came with: its version, and a digest of what was installed under it.

    The digest is that of the list of files with their digests which the installer wrote. So a version that is installed
    anew from other sources is another toolhost, and a file that was changed in place is not.
    """
    distribution = metadata.distribution("toolhost")
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        origin = {}
    editable = isinstance(origin, dict) and origin.get("dir_info", {}).get("editable") is True
    if editable:
        return distribution.version + CHECKOUT
    installed = distribution.read_text("RECORD")
    return distribution.version + (f"+{hashlib.sha256(installed.encode()).hexdigest()[:12]}" if installed else "")


def _check_host_version(manifest: Manifest) -> None:
    try:
        wanted = SpecifierSet(manifest.requires_host)
    except InvalidSpecifier:
        raise PluginError(
            "invalid_manifest",
            f"{MANIFEST}: `requires_host` is {manifest.requires_host!r}, which is no version specifier.",
            'Write it like ">=0.1,<1".',
        ) from None
    host = _version()
    if not wanted.contains(host, prereleases=True):
        raise PluginError(
            "host_version",
            f"It needs toolhost {manifest.requires_host}, and this is {host}.",
            "Install a matching version.",
        )


@cache
def _version() -> str:
    return metadata.version("toolhost")


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
