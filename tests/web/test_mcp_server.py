"""A plugin that is an MCP server, on the page: there when its policy is, with the image that it sends."""

from __future__ import annotations

import time
from collections.abc import Callable

import mcpserver
from owners import SERVICE_USER, give
from test_mcp import send
from webserver import WebServer

CODE = """
TOOLS.append({"name": "picture", "description": "A picture.", "inputSchema": {"type": "object"}})

def on_picture(arguments, number, meta):
    return {"content": [{"type": "image", "data": "iVBORw0KGgo=", "mimeType": "text/html"},
                        {"type": "image", "data": "PGI+", "mimeType": "image/png"}]}
"""


def test_a_server_is_there_as_soon_as_it_is_granted_and_its_image_is_shown(fresh: Callable[..., WebServer]) -> None:
    server = fresh()
    folder = server.data / "plugins" / "draws"
    folder.mkdir(parents=True)
    (folder / "plugin.toml").write_text(mcpserver.manifest("draws"))
    (folder / "server.py").write_text(mcpserver.server(CODE))
    give(server.data, SERVICE_USER)
    server.start()
    ada = server.set_up()
    assert ada.call("draws.picture").status == 404
    policy = server.data / "policies" / "draws.toml"
    policy.write_text(mcpserver.grant("draws", "picture"))
    give(policy, SERVICE_USER)
    deadline = time.monotonic() + 60
    while not any(tool["name"] == "draws.picture" for tool in ada.get("/api/tools").json["tools"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    conversation = ada.conversation()
    with ada.socket() as socket:
        socket.send("message", text="/draws.picture", conversation_id=conversation)
        socket.until("run.completed", timeout=60)
    told = send(ada, "tools/call", name="draws.picture", arguments={}).json["result"]["content"]
    assert [(part["type"], part.get("mimeType")) for part in told] == [("image", "image/png"), ("resource", None)]
    assert told[1]["resource"]["mimeType"] == "application/octet-stream"
    page = ada.browse("GET", f"/c/{conversation}").text
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in page
    assert "PGI+" not in page.partition('data-pane="json"')[0]
