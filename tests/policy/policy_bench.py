"""What the policy tests share: a host's folders, policies made of texts, requests."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from toolhost.model import Actor, Decision, Tool
from toolhost.policy import Considered, PolicySet, PolicyStore, Request, WorkerRuntime, consider
from toolhost.sandbox import pin


class Bench:
    """A host's folders, its policies written by the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.policies = self.data / "policies"
        self.plugins = self.data / "plugins"
        self.workspace = folder / "workspace"
        for made in (self.policies, self.plugins, self.workspace):
            made.mkdir(parents=True)
        self.write("host", "")
        self.store = PolicyStore(self.policies, data=self.data, plugins=self.plugins)

    def write(self, name: str, text: str) -> Path:
        """Write a policy file; a plugin's begins with its name."""
        file = self.policies / f"{name}.toml"
        file.write_text(
            text if name == "host" or text.startswith(("plugin", "#:schema")) else f'plugin = "{name}"\n{text}'
        )
        file.chmod(0o644)
        return file

    def load(self, **files: str) -> PolicySet:
        """Write files and load them; they must be valid."""
        for name, text in files.items():
            self.write(name, text)
        self.store.load()
        assert not self.store.current.problems, [str(problem) for problem in self.store.current.problems]
        return self.store.current

    def problems(self, **files: str) -> list[str]:
        """Write files, load them, and give what is wrong with them."""
        for name, text in files.items():
            self.write(name, text)
        self.store.load()
        return [str(problem) for problem in self.store.current.problems]

    def command(self, line: str | tuple[str, ...], *, plugin: str = "probe", **changes: Any) -> Considered:
        """Consider a command tool's command line."""
        return consider(self.request(line, plugin=plugin, **changes), self.store.current)

    def decide(self, line: str | tuple[str, ...], **changes: Any) -> Decision:
        """The decision on a command line."""
        return self.command(line, **changes).decision

    def argv(self, line: str | tuple[str, ...], **changes: Any) -> tuple[str, ...]:
        """What would be spawned for a command line that is not denied."""
        considered = self.command(line, **changes)
        assert considered.plan is not None, considered.decision
        return considered.plan.argv

    def request(self, line: str | tuple[str, ...], *, plugin: str = "probe", **changes: Any) -> Request:
        """A command tool's request by Ada, who is a user."""
        argv = tuple(shlex.split(line)) if isinstance(line, str) else line
        values: dict[str, Any] = {
            "tool": tool(f"{plugin}.run"),
            "actor": actor(),
            "argv": argv,
            "workspace": str(self.workspace),
            **changes,
        }
        return Request(**values)

    def worker(self, name: str, arguments: dict[str, Any], schema: dict[str, Any], **changes: Any) -> Considered:
        """Consider a worker tool's call."""
        values: dict[str, Any] = {
            "tool": tool(name, schema),
            "actor": actor(),
            "arguments": arguments,
            "workspace": str(self.workspace),
            "runtime": WorkerRuntime(argv=("/usr/bin/python3", "-I"), programs=(pin("python3"),)),
            **changes,
        }
        return consider(Request(**values), self.store.current)


def tool(name: str, schema: dict[str, Any] | None = None) -> Tool:
    """A tool of that name."""
    properties = {"type": "object", "properties": schema or {}}
    return Tool(name=name, plugin=name.partition(".")[0], about="", input_schema=properties)


def actor(role: str = "user", username: str = "ada", scopes: Iterable[str] | None = None) -> Actor:
    """Somebody; with scopes, an API key of theirs."""
    held = None if scopes is None else frozenset(scopes)
    return Actor(user_id="u_1", username=username, role=role, channel="cli", scopes=held)
