"""`toolhost demo`: everything to try out, and nothing left of it."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path


def test_a_demo_needs_nothing_says_what_it_is_and_leaves_nothing() -> None:
    before = set(Path("/tmp").glob("toolhost-demo-*"))
    command = [str(Path(sys.executable).parent / "toolhost"), "demo"]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TOOLHOST_NONSENSE": "is for another server"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as running:
        try:
            assert running.stdout is not None
            printed, deadline = "", time.monotonic() + 60
            while "Ready." not in printed:
                assert select.select([running.stdout], [], [], max(0, deadline - time.monotonic()))[0]
                piece = os.read(running.stdout.fileno(), 65536).decode()
                assert piece
                printed += piece
            assert "This is a demo" in printed
            port, token = re.findall(r"http://127\.0\.0\.1:(\d+)/setup#token=(\S+)", printed)[0]
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)

            def ask(method: str, path: str, body: object = None, bearer: str = "") -> str:
                headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bearer}"}
                if not bearer:
                    del headers["Authorization"]
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                return connection.getresponse().read().decode()

            account = {"username": "ada", "password": "correct horse battery"}
            ask("POST", "/api/setup", {"token": token, **account})
            assert "This is a demo" in ask("GET", "/login")
            bearer = json.loads(ask("POST", "/api/auth/login", account))["access_token"]
            assert '<option value="garden" selected>' in ask("GET", "/?tour=1", bearer=bearer)
            place = json.loads(ask("POST", "/api/conversations", {"workspace": "garden"}, bearer))["id"]
            call = {"arguments": {}, "conversation_id": place}
            assert "trees.csv" in ask("POST", "/api/tools/files.list/call", call, bearer)
            connection.close()
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
    left = set(Path("/tmp").glob("toolhost-demo-*")) - before
    assert [path for folder in left for path in folder.rglob("*")] == []
