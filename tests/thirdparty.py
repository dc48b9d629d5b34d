"""MCP servers of others, as `scripts/test` installs them: unmodified, from npm and PyPI."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

SERVERS = Path(sys.prefix).parent / "servers"
"""Where they are."""

installed = pytest.mark.skipif(
    not SERVERS.is_relative_to("/opt"), reason="`support` names data under /opt, and this environment lies elsewhere"
)
"""For tests that need them: in an environment that an ordinary user made they are in a home folder."""

FILESYSTEM = ("node", f"{SERVERS}/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js", "/workspace")
EVERYTHING = ("node", f"{SERVERS}/node_modules/@modelcontextprotocol/server-everything/dist/index.js")
GIT = (f"{SERVERS}/python/bin/python3", "-m", "mcp_server_git")
FETCH = (f"{SERVERS}/python/bin/python3", "-m", "mcp_server_fetch")

_NODE = f'runs_code = ["node"]\nsupport = ["{SERVERS}/node_modules"]\n'
_PYTHON = f'runs_code = ["python3"]\nsupport = ["{SERVERS}/python"]\n'


def manifest(name: str, words: tuple[str, ...]) -> str:
    """The manifest of a plugin that is a server."""
    return f'name = "{name}"\nversion = "1.0"\nabout = "A server of others."\nmcp = {json.dumps(words)}\n'


def policy(name: str, words: tuple[str, ...], tools: tuple[str, ...], *, inside: str = "", more: str = "") -> str:
    """The policy that lets it start, and allows these tools."""
    return (
        f'plugin = "{name}"\n{_NODE if words[0] == "node" else _PYTHON}'
        f'[commands]\nallow = ["{" ".join(words)}"]\ninside = [{inside}]\n'
        f"[tools]\nallow = {json.dumps(tools)}\n{more}\n"
    )
