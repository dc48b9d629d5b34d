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
            port = int(re.findall(r"http://127\.0\.0\.1:(\d+)/login", printed)[0])
            password = re.findall(r"Password: (\S+)", printed)[0]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/login")
            assert "This is a demo" in connection.getresponse().read().decode()
            body = json.dumps({"username": "demo", "password": password})
            connection.request("POST", "/api/auth/login", body, {"Content-Type": "application/json"})
            assert connection.getresponse().read()
            connection.close()
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
    left = set(Path("/tmp").glob("toolhost-demo-*")) - before
    assert [path for folder in left for path in folder.rglob("*")] == []
