"""A host for tests: made of folders and texts, asked synchronously, gone afterwards."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import tomli

from toolhost.data import DataDirectory
from toolhost.errors import MachineError, PluginError, UsageError
from toolhost.host import Host
from toolhost.model import Actor, CallResult, Decision
from toolhost.pluginhost.discovery import candidates
from toolhost.pluginhost.manifest import MANIFEST, read_manifest
from toolhost.sandbox import Armament, Sandbox
from toolhost.settings import load_settings

__all__ = ["PluginHost", "RecordedCall", "make_host"]

_DESCRIPTIONS = "plugins"
_TOOL_ROOTS = "tool-roots"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """One call that was made.

    Attributes:
        tool: `plugin.tool`.
        arguments: As they were given.
        argv: What ran, exactly, of a command tool; None of a call that did not run, or of a Python tool.
        result: What came of it.
    """

    tool: str
    arguments: Mapping[str, Any]
    argv: tuple[str, ...] | None
    result: CallResult


class PluginHost:
    """A running host. Made by `make_host`.

    Attributes:
        workspace: The folder that calls work in; `/workspace` inside.
        calls: Every call, in the order in which they were made.
    """

    def __init__(self, host: Host, runner: asyncio.Runner, workspace: Path, actor: Actor) -> None:
        self.workspace = workspace
        self.calls: list[RecordedCall] = []
        self._host = host
        self._runner = runner
        self._actor = actor

    @property
    def tools(self) -> list[str]:
        """The tools that the policies grant, sorted by name."""
        return sorted(tool.name for tool in self._host.tools_for(self._actor))

    def schema(self, tool: str) -> Mapping[str, Any]:
        """The JSON Schema of a tool's arguments.

        Raises:
            UsageError: `unknown_tool`.
        """
        return self._host.tool(tool).input_schema

    def call(
        self, tool: str, /, *, approve: bool = False, answers: Iterable[str | None] = (), **arguments: Any
    ) -> CallResult:
        """Call a tool, as a person who is there would.

        Args:
            tool: `plugin.tool`.
            approve: Say yes where the policy asks; else such a call ends with the status `approval_required`.
            answers: What is said to each `ctx.ask`, in turn; to one beyond them, or for None, nothing.
            arguments: Of the tool.

        Raises:
            UsageError: `unknown_tool`, `invalid_arguments`: nothing was decided.
        """
        ran: list[tuple[str, ...]] = []
        left = iter(answers)

        def listen(event: dict[str, Any]) -> None:
            if event["type"] == "tool.started" and event["plan"]["kind"] == "command":
                ran.append(tuple(event["plan"]["argv"]))
            elif event["type"] == "tool.asked":
                self._host.inquiries.answer(event["inquiry_id"], self._actor, next(left, None))

        result = self._runner.run(
            self._host.call(tool, arguments, self._actor, workspace=self.workspace, approve=approve, on_event=listen)
        )
        argv = ran[0] if ran else None
        self.calls.append(RecordedCall(tool=tool, arguments=arguments, argv=argv, result=result))
        return result

    def decide(self, tool: str, /, **arguments: Any) -> Decision:
        """What would be decided, and by which rule. Nothing runs.

        Raises:
            UsageError: As `call`.
        """

        async def decided() -> Decision:
            call = await self._host.prepare(tool, arguments, self._actor, workspace=self.workspace)
            return self._host.consider(call)[0].decision

        return self._runner.run(decided())


@contextmanager
def make_host(
    *,
    plugins: Iterable[str | os.PathLike[str]] = (),
    policy: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    files: Mapping[str, str | bytes] | None = None,
    role: str = "user",
) -> Iterator[PluginHost]:
    """A host in a folder of its own, until the end of the block.

    Args:
        plugins: Folders with a `plugin.toml`. One that is installed as well is used as it is installed.
        policy: What is granted: a policy's text or its file, or several. Its `plugin` key says whose it is.
        files: What the workspace holds at the beginning, by relative path.
        role: Of the person who calls: `admin`, `operator`, `user` or `viewer`.

    Raises:
        MachineError: `testing_as_root`.
        UsageError: `policy_invalid` with the first thing that is wrong with a policy.
        PluginError: With the code of its quarantine, where one of the plugins cannot be used.
        SandboxUnavailable: Where no sandbox can be made; the hint is the fix.
    """
    if 0 in os.getresuid():
        raise MachineError(
            "testing_as_root",
            "Tools do not run for root, and a test cannot give root up for one of them.",
            "Run the tests as another user, such as: runuser -u toolhost -- pytest",
        )
    folder = Path(tempfile.mkdtemp(prefix="toolhost-testing-"))
    try:
        folder.chmod(0o755)
        names, installed = _fill(folder, [Path(plugin) for plugin in plugins], _texts(policy), files or {})
        settings = load_settings({}, {"TOOLHOST_DATA": str(folder / "data")})
        data = DataDirectory(settings)
        data.prepare()
        (data.state / _TOOL_ROOTS).symlink_to(_kept() / _TOOL_ROOTS)
        shutil.copytree(_kept() / _DESCRIPTIONS, data.state / _DESCRIPTIONS, dirs_exist_ok=True)
        # Before there is an event loop: the spawner is a fork of this process.
        sandbox = Sandbox.start(data.state, armament=Armament(most=0))
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            try:
                host = runner.run(stack.enter_async_context(Host.open(settings, sandbox, installed=installed)))
                shutil.copytree(data.state / _DESCRIPTIONS, _kept() / _DESCRIPTIONS, dirs_exist_ok=True)
                _check(host, names)
                actor = Actor(user_id="u_test", username="test", role=role, channel="test")
                yield PluginHost(host, runner, folder / "workspace", actor)
            finally:
                runner.run(stack.aclose())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _texts(policy: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """The text of each policy: what has no line is the name of a file."""
    each = [policy] if isinstance(policy, str | os.PathLike) else list(policy)
    return [one if isinstance(one, str) and "\n" in one else Path(one).read_text(encoding="utf-8") for one in each]


def _fill(
    folder: Path, plugins: list[Path], policies: list[str], files: Mapping[str, str | bytes]
) -> tuple[list[str], set[str]]:
    """Make the folders of a host; returns the names of its plugins, and which installed ones it loads."""
    data, workspace = folder / "data", folder / "workspace"
    for made in (data, data / "plugins", data / "policies", workspace):
        made.mkdir()
    host = resources.files("toolhost.policies").joinpath("host.toml").read_bytes()
    (data / "policies" / "host.toml").write_bytes(host)
    installed = {found.folder.resolve(): found.label for found in candidates(data / "plugins") if found.folder}
    names: list[str] = []
    loaded: set[str] = set()
    for plugin in plugins:
        names.append(read_manifest(plugin / MANIFEST).name)
        if plugin.resolve() in installed:
            loaded.add(installed[plugin.resolve()])
        else:
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "tests")
            shutil.copytree(plugin, data / "plugins" / plugin.resolve().name, ignore=ignored)
    for text in policies:
        name = tomli.loads(text).get("plugin")
        if not isinstance(name, str):
            raise UsageError(
                "policy_invalid", "A policy says whose it is: it lacks the key `plugin`.", 'plugin = "..."'
            )
        (data / "policies" / f"{name}.toml").write_text(text, encoding="utf-8")
        if name not in names:
            loaded.add(name)  # one that is installed, such as the host's own
    for relative, content in files.items():
        file = workspace / relative
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return names, loaded


def _check(host: Host, names: list[str]) -> None:
    for problem in host.policies.current.problems:
        raise UsageError("policy_invalid", str(problem), "`toolhost policy check FILE` lists all of them.")
    for name in names:
        record = host.plugins.record(name)
        if record.state == "quarantined":
            raise PluginError(record.code, f"The plugin {name} cannot be used: {record.reason}")


@cache
def _kept() -> Path:
    """What a first start makes and others only read, kept from one host to the next of this process.

    The tool roots are one folder for all; what unchanged plugins declared is copied, so that none is asked again.
    """
    folder = Path(tempfile.mkdtemp(prefix="toolhost-testing-kept-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in (_DESCRIPTIONS, _TOOL_ROOTS):
        (folder / name).mkdir(0o700)
    return folder
