"""A plugin that is an MCP server, as an administrator meets it: listed, granted, explained, called."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import mcpserver
import pytest
from owners import SERVICE_USER, give

CODE = """
TOOLS.append({"name": "backwards", "description": "The token, backwards.", "inputSchema": {"type": "object"}})

def on_backwards(arguments, number, meta):
    print("the token is " + os.environ["GREETING_TOKEN"], file=sys.stderr, flush=True)
    return text(os.environ["GREETING_TOKEN"][::-1])
"""

START = """\
if [ -r /run/secrets/token ]; then read -r GREETING_TOKEN </run/secrets/token; export GREETING_TOKEN; fi
exec python3 /plugin/server.py
"""

REQUEST = """\
plugin = "greeter"
about = "Greets, with a token."
runs_code = ["python3", "sh"]

[tools]
allow = ["echo"]
ask = ["backwards"]

[commands]
allow = ["sh /plugin/start.sh"]
inside = ["python3"]

[secrets]
token = { env = "GREETING_TOKEN" }

[[tests]]
run = "sh /plugin/start.sh"
expect = "allow"

[[tests]]
tool = "backwards"
expect = "ask"
"""


@pytest.fixture
def greeter(environment: dict[str, str]) -> Path:
    """A plugin of somebody else's that is a server, dropped in; it asks for a policy and has none."""
    folder = Path(environment["TOOLHOST_DATA"]) / "plugins" / "greeter"
    folder.mkdir(parents=True)
    (folder / "plugin.toml").write_text('name = "greeter"\nversion = "1.0"\nmcp = ["sh", "/plugin/start.sh"]\n')
    (folder / "server.py").write_text(mcpserver.server(CODE))
    (folder / "start.sh").write_text(START)
    (folder / "policy.request.toml").write_text(REQUEST)
    give(folder.parent, SERVICE_USER)
    return folder


def test_a_server_is_granted_explained_and_called_like_any_plugin(
    toolhost: Callable[..., subprocess.CompletedProcess[str]], greeter: Path, environment: dict[str, str]
) -> None:
    listed = {one["name"]: one for one in json.loads(toolhost("plugin", "list", "--output", "json").stdout)}["greeter"]
    assert (listed["kind"], listed["state"], listed["code"]) == ("mcp", "quarantined", "server_not_granted")
    assert listed["server"] == ["sh", "/plugin/start.sh"]
    assert "toolhost plugin enable greeter" in listed["reason"]
    denied = toolhost("call", "greeter.echo", "text=hello")
    assert denied.returncode == 3
    assert "[server_not_granted]" in denied.stderr

    granted = toolhost("plugin", "enable", "greeter", "--yes")
    assert granted.returncode == 0, granted.stderr
    assert "sh /plugin/start.sh" in granted.stdout
    assert "\nserver: sh /plugin/start.sh\n" in toolhost("plugin", "show", "greeter").stdout
    tools = toolhost("tools").stdout
    assert "greeter.backwards" in tools
    assert "greeter.echo  text=" in tools
    explained = toolhost("policy", "explain", "greeter.echo", "text=hello").stdout
    assert explained.startswith("decision: allow\n")
    assert "/plugin/start.sh" in explained
    assert "/plugin  read-only" in explained
    assert "secrets: token" in explained

    environment["GREETING_TOKEN"] = "swordfish-9000"
    assert toolhost("call", "greeter.backwards").returncode == 4
    called = toolhost("call", "greeter.backwards", "--approve", "--output", "json")
    result = json.loads(called.stdout)
    assert (result["status"], result["stdout"]) == ("ok", "swordfish-9000"[::-1])
    assert "swordfish" not in result["stderr"]
    assert "the token is " in result["stderr"]
    assert result["sandbox"]["counted_by"] == "process"
