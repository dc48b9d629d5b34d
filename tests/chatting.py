"""A server with language models of the tests' own, and what they are told to say."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modelserver import KEY, ModelServer
from webserver import WebServer

SETTINGS = """
[[models]]
name = "tiny"
provider = "openai"
model = "tiny"
url = "{url}"
key_env = "TEST_MODEL_KEY"

[[models]]
name = "claude"
provider = "anthropic"
model = "claude-test"
url = "{root}"
key_env = "TEST_MODEL_KEY"

[[models]]
name = "missing"
provider = "openai"
model = "missing"
url = "{url}"
key_env = "TEST_MODEL_KEY"

[[models]]
name = "nowhere"
provider = "openai"
model = "tiny"
url = "http://127.0.0.1:9/v1"

[[models]]
name = "small"
provider = "openai"
model = "tiny"
url = "{url}"
key_env = "TEST_MODEL_KEY"
context = 9000
output = 500

[[models]]
name = "locked"
provider = "openai"
model = "tiny"
url = "{url}"
key_file = "/nonexistent/key"
who = ["admin"]

[[profiles]]
name = "looker"
about = "Looks at the system."
prompt = "Be a looker."
tools = ["system.*"]

[[profiles]]
name = "reader"
tools = ["files.read"]
{more}
"""

AGENT = "[agent]\n"


def write_settings(server: WebServer, text: str) -> None:
    """Write `toolhost.toml` as the service user would."""
    server.data.mkdir(exist_ok=True)
    path = server.data / "toolhost.toml"
    path.write_text(text)
    if os.geteuid() == 0:
        user = pwd.getpwnam("toolhost")
        for each in (server.data, path):
            os.chown(each, user.pw_uid, user.pw_gid)


@contextmanager
def chat_server(models: ModelServer, *, more: str = AGENT) -> Iterator[WebServer]:
    """A server, not started, whose models are those of `models`."""
    server = WebServer(TEST_MODEL_KEY=KEY)
    write_settings(server, SETTINGS.format(url=models.url, root=models.url.removesuffix("/v1"), more=more))
    try:
        yield server
    finally:
        server.close()


def script(*steps: dict[str, Any]) -> str:
    """A message that makes the model answer so."""
    return "script:" + json.dumps(steps)


def calls(*tools: str, **arguments: Any) -> dict[str, Any]:
    """A step in which the model asks for calls, all with the same arguments."""
    return {"calls": [{"tool": tool.replace(".", "__"), "args": arguments} for tool in tools]}


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def only(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]


def answer_of(events: list[dict[str, Any]]) -> str:
    """What the model said last, as an entry."""
    entries = [event["entry"] for event in only(events, "message.completed") if event["entry"] is not None]
    return entries[-1]["text"] if entries else ""


def told(models: ModelServer, text: str) -> list[str]:
    """What the model was told of its calls after a message, in the last request with it."""
    for request in reversed(models.requests):
        messages = request["messages"]
        users = [n for n, m in enumerate(messages) if m["role"] == "user" and m["content"] == text]
        if users:
            return [m["content"] for m in messages[users[-1] :] if m["role"] == "tool"]
    seen = [request["messages"][-1] for request in models.requests[-5:]]
    raise AssertionError(f"the model never saw this message, but at last {seen}")
