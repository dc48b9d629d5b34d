"""The test's end of `hosting.py`: a host of the test's own, with a plugin `probe` whose tools are bare programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from driver import Driver, own
from prefork import Forked, start
from warmth import warm

HOSTING = Path(__file__).parent / "hosting.py"

PROGRAMS = ("awk", "bash", "cat", "curl", "echo", "env", "find", "git", "ls", "python3", "rg", "sed", "sh", "sleep",
            "sort", "tar", "touch", "xxd")  # fmt: skip

_TOOL = """
[[tools]]
name = "{name}"
about = "Runs {name}."
command = "{name} {{words...}}"
input.words = {{ type = "array", items = {{ type = "string" }} }}
"""


class Hosted(Driver):
    """A host over a data directory, told what to do line by line.

    Attributes:
        worked: The tools that ended well, of every host of this process.
    """

    worked: ClassVar[list[str]] = []

    def __init__(self, folder: Path, *, prefix: Sequence[str] = (), **policies: str) -> None:
        self.data = folder / "data"
        self.workspace = folder / "workspace"
        self.policies = self.data / "policies"
        warm(self.data)
        plugin = self.data / "plugins" / "probe"
        for made in (self.policies, plugin, self.workspace, self.data / "state"):
            made.mkdir(parents=True, exist_ok=True)
        tools = "".join(_TOOL.format(name=name) for name in PROGRAMS)
        (plugin / "plugin.toml").write_text(f'name = "probe"\nversion = "1"\nabout = "A test."\n{tools}')
        for name, text in {"host": "", **policies}.items():
            self.write(name, text)
        own(self.data)
        own(self.workspace)
        (self.data / "state").chmod(0o700)
        super().__init__(self.data, script=HOSTING, prefix=prefix)

    def _begin(self, command: list[str]) -> subprocess.Popen[bytes] | Forked:
        if command[0] != sys.executable:
            return super()._begin(command)
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return start(str(self.data), env={**variables, "LANG": "C.UTF-8"}, script=HOSTING)

    def ask(self, within: float = 60, /, **request: Any) -> dict[str, Any]:
        """One request, and its answer."""
        answer = super().ask(within, **request)
        if answer.get("status") == "ok":
            self.worked.append(answer["tool"])
        return answer

    def write(self, name: str, text: str) -> Path:
        """Write a policy."""
        file = self.policies / f"{name}.toml"
        file.write_text(
            text if name == "host" or text.startswith(("plugin", "#:schema")) else f'plugin = "{name}"\n{text}'
        )
        file.chmod(0o644)
        return own(file)

    def run(self, program: str, *words: str, **more: Any) -> dict[str, Any]:
        """A call of one of the probe's tools; the result object, or the error."""
        return self.ask(tool=f"probe.{program}", arguments={"words": words}, **self._here(more))

    def explain(self, program: str, *words: str, **more: Any) -> dict[str, Any]:
        """What would be decided of that call."""
        return self.ask(do="explain", tool=f"probe.{program}", arguments={"words": words}, **self._here(more))

    def records(self) -> list[dict[str, Any]]:
        """The audit log."""
        log = self.data / "state" / "audit.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def _here(self, more: dict[str, Any]) -> dict[str, Any]:
        return {"workspace": str(self.workspace), **more}
