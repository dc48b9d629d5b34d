"""A small MCP server to put into a plugin's folder, and what turns it hostile. It uses the standard library alone."""

from __future__ import annotations

SERVER = """
import json, os, sys, time

def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\\n")
    sys.stdout.flush()

def text(*texts, **more):
    return {"content": [{"type": "text", "text": one} for one in texts], **more}

TOOLS = [{"name": "echo", "description": "Say it again.",
          "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}}]

def on_list(params):
    return {"tools": TOOLS}

def on_echo(arguments, number, meta):
    return text(arguments["text"])

def on_call(name, arguments, number, meta):
    return globals()["on_" + name](arguments, number, meta)

def on_start():
    pass
"""

LOOP = """
on_start()
for line in sys.stdin:
    message = json.loads(line)
    method, number, params = message.get("method"), message.get("id"), message.get("params") or {}
    if method == "initialize":
        send({"id": number, "result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                                       "serverInfo": {"name": "test", "version": "1"}}})
    elif method == "tools/list":
        send({"id": number, "result": on_list(params)})
    elif method == "tools/call":
        try:
            result = on_call(params["name"], params.get("arguments") or {}, number, params.get("_meta") or {})
        except Exception as error:
            result = text(f"{type(error).__name__}: {error}", isError=True)
        if result is not None:
            send({"id": number, "result": result})
    elif number is not None and method is not None:
        send({"id": number, "error": {"code": -32601, "message": "Method not found"}})
"""


def server(code: str = "") -> str:
    """The server's program, with the test's own code between its functions and its loop."""
    return f"{SERVER}\n{code}\n{LOOP}"


def manifest(name: str, *words: str) -> str:
    """A manifest of a plugin that is this server."""
    command = ", ".join(f'"{word}"' for word in ("python3", "/plugin/server.py", *words))
    return f'name = "{name}"\nversion = "1.0"\nabout = "A test."\nmcp = [{command}]\n'


def grant(name: str, *tools: str, more: str = "", top: str = "", words: str = "") -> str:
    """A policy that lets this server start, with tools that run without a question."""
    allowed = ", ".join(f'"{tool}"' for tool in tools or ("echo",))
    return (
        f'plugin = "{name}"\nruns_code = ["python3"]\n{top}\n[tools]\nallow = [{allowed}]\n'
        f'[commands]\nallow = ["python3 /plugin/server.py{words}"]\n{more}\n'
    )
