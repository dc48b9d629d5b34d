"""Attacks on a plugin under its own policy: what every tool must withstand, whatever it does.

Outside the workspace lies a file with a secret in it, and in the workspace are links to it. Each tool is called with
values that try to reach it, to be read as options, or to be run by a shell. A tool may answer, fail or be denied; what
it may not is tell the secret, or leave a trace outside.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolhost.errors import UsageError
from toolhost.policy.grants import REQUEST
from toolhost.testing.hosts import PluginHost, make_host

__all__ = ["KINDS", "Siege", "besieged"]

_SECRET = "toolhost-canary-c0ffee"  # noqa: S105 - made up
_ELSEWHERE = "/var/tmp"  # noqa: S108 - where no host of a test is, so that a policy can name it


@dataclass(frozen=True, slots=True, kw_only=True)
class Siege:
    """A host with the plugin that is attacked.

    Attributes:
        host: The host.
        outside: A folder that no policy names, with the secret in it.
    """

    host: PluginHost
    outside: Path

    def attempt(self, kind: str) -> Iterator[str]:
        """Call every tool with one kind of value in each place that takes a text; says what was not contained."""
        for tool in self.host.tools:
            for arguments in _filled(self.host.schema(tool), _values(self.outside)[kind]):
                try:
                    told = repr(self.host.call(tool, approve=True, **arguments).as_json())
                except UsageError:
                    told = ""  # no arguments of this tool: it was not called
                shown = repr(arguments)[:200]
                if _SECRET in told:
                    yield f"{tool} told what is outside, asked with {shown}"
                if traces := self._traces():
                    yield f"{tool} {traces}, asked with {shown}"

    def _traces(self) -> str:
        if os.listdir(self.outside) != ["canary"]:  # noqa: PTH208 - names alone
            return "left something outside"
        changed = (self.outside / "canary").read_text() != _SECRET + "\n"
        return "changed what is outside" if changed else ""


@contextmanager
def besieged(folder: Path) -> Iterator[Siege]:
    """A host with a plugin that is granted what it asks for.

    Args:
        folder: The plugin's.

    Raises:
        ToolHostError: As `make_host`.
    """
    with tempfile.TemporaryDirectory(prefix="toolhost-outside-", dir=_ELSEWHERE) as name:
        outside = Path(name)
        outside.chmod(0o755)
        canary = outside / "canary"
        canary.write_text(_SECRET + "\n")
        canary.chmod(0o666)
        with make_host(plugins=[folder], policy=folder / REQUEST, files={"note.txt": "a note\n"}) as host:
            (host.workspace / "link").symlink_to(canary)
            (host.workspace / "folder").symlink_to(outside)
            yield Siege(host=host, outside=outside)


def _values(outside: Path) -> dict[str, str]:
    """What is tried in the place of a text."""
    canary = outside / "canary"
    return {
        "an absolute path": str(canary),
        "a way up": f"../../../../../../../..{canary}",
        "a link": "link",
        "a folder that is a link": "folder/canary",
        "a path through /proc": f"/proc/self/root{canary}",
        "a command behind a semicolon": f"x; cat {canary}",
        "a command in a substitution": f"$(cat {canary})",
        "a line of its own": f"x\ncat {canary}\n",
        "an option": f"--file={canary}",
        "an option with a program": f"--exec=/bin/cat {canary}",
        "an option by a letter": f"-f{canary}",
        "an argument file": f"@{canary}",
        "a URL of a file": f"file://{canary}",
        "an address of this machine": "http://127.0.0.1:1/",
        "an address of the cloud": "http://169.254.169.254/latest/meta-data/",
        "control characters": "\x1b]0;x\x07\x08",
        "another direction": "\u202egpj.exe",
        "half a character": "\ud800",
        "a NUL": "x\0y",
        "nothing": "",
        "a great deal": "A" * 300_000,
    }


KINDS = tuple(_values(Path("/")))
"""What is tried, in words."""


def _filled(schema: Mapping[str, Any], value: str) -> Iterator[dict[str, Any]]:
    """Arguments with the value in each place that takes a text, the others with something ordinary."""
    properties = schema.get("properties", {})
    ordinary = {name: _ordinary(properties[name]) for name in schema.get("required", ()) if name in properties}
    texts = [name for name, one in properties.items() if _kinds(one) & {"string", "array"}]
    for name in texts:
        put = [value] if "string" not in _kinds(properties[name]) else value
        yield {**ordinary, name: put}
    if not texts:
        yield ordinary


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    kind = schema.get("type")
    kinds = set(kind) if isinstance(kind, list) else {kind} if kind else set()
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        kinds |= _kinds(part)
    return kinds


def _ordinary(schema: Mapping[str, Any]) -> Any:
    if "default" in schema:
        return schema["default"]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("format") in ("read-path", "write-path"):
        return "note.txt"
    kinds = _kinds(schema)
    for kind, value in (("string", "x"), ("integer", schema.get("minimum", 1)), ("number", 1), ("boolean", False)):
        if kind in kinds:
            return value
    return [] if "array" in kinds else {}
