"""`toolhost serve`: what it prints, what it refuses, how it ends."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from driver import becomes, children

from toolhost.sandbox.halt import SPAWNER


def get(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def test_it_prints_its_address_and_a_setup_address_and_ends_on_sigterm(serve, executable) -> None:
    server = serve(command=[executable, "serve"])
    assert server.setup_url is not None
    assert server.setup_url.startswith(f"{server.url}/setup#token=")
    assert len(server.setup_token) >= 32
    assert get(f"{server.url}/health") == {"status": "ok"}
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


def test_once_somebody_has_an_account_no_setup_address_is_printed(serve, toolhost) -> None:
    toolhost("user", "add", "ada", "--role", "admin", "--password-stdin", stdin="a long enough phrase\n")
    assert serve().setup_url is None


def test_each_start_prints_a_new_token(serve) -> None:
    first = serve()
    first.process.send_signal(signal.SIGTERM)
    first.process.wait(20)
    assert serve().setup_token != first.setup_token


def test_it_listens_on_loopback_only(serve) -> None:
    server = serve()
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == server.port]
    assert listening == [f"0100007F:{server.port:04X}"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_are_not_served(toolhost, host) -> None:
    done = toolhost("serve", "--host", host)
    assert done.returncode == 2
    assert "[bind_not_loopback]" in done.stderr


def test_a_port_in_use_is_one_sentence(toolhost) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = toolhost("serve", "--port", port)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].endswith("[port_in_use]")
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_one_server_at_a_time_uses_a_data_directory(serve, toolhost) -> None:
    serve()
    done = toolhost("serve", "--port", "1")
    assert done.returncode == 1
    assert "[data_in_use]" in done.stderr


def test_a_call_beside_the_server_shares_the_audit_chain(serve, toolhost, data: Path) -> None:
    serve()
    assert toolhost("call", "system.uname").returncode == 0
    records = [json.loads(line) for line in (data / "state" / "audit.log").read_text().splitlines()]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    for before, after in itertools.pairwise(records):
        assert after["prev_hash"] == before["hash"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_without_bubblewrap_the_chat_opens_and_health_says_degraded(serve, executable, space: Path) -> None:
    hidden = space / "toolhost"
    hidden.write_text(
        '#!/bin/sh\n[ -n "$HIDDEN" ] || HIDDEN=1 exec unshare --mount "$0" "$@"\nunset HIDDEN\n'
        f'mount --bind /dev/null /usr/bin/bwrap && exec {executable} "$@"\n'
    )
    hidden.chmod(0o755)
    server = serve(command=[str(hidden), "serve"], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert get(f"{server.url}/health") == {"status": "degraded"}
    with urllib.request.urlopen(f"{server.url}/login", timeout=10) as page:
        assert page.status == 200
    errors = (space / "serve.stderr").read_text()
    assert "warning: tools cannot run" in errors


def test_health_says_degraded_when_the_spawner_has_ended(serve, data: Path) -> None:
    """Before any call has met it."""
    server = serve()
    assert get(f"{server.url}/health") == {"status": "ok"}
    (spawner,) = [pid for pid in children(server.process.pid) if name_of(pid) == SPAWNER]
    os.kill(spawner, signal.SIGKILL)
    assert becomes(lambda: get(f"{server.url}/health") == {"status": "degraded"}, within=10)
    log = data / "state" / "audit.log"
    assert becomes(lambda: '"health.changed"' in log.read_text(), within=10)


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes the service user")
def test_started_as_root_it_runs_as_the_service_user(serve, executable) -> None:
    server = serve(command=[executable, "serve"])
    done = subprocess.run(
        ["ps", "-o", "user=", "-p", str(server.process.pid)], capture_output=True, text=True, timeout=10, check=True
    )
    assert done.stdout.strip() == "toolhost"


STUCK = """
import asyncio, logging, threading
from toolhost.cli import ending

logging.basicConfig()
ending.LIMIT_SECONDS = 0.2

async def main():
    ending.end_within_the_limit(asyncio.get_running_loop())
    threading.Thread(target=threading.Event().wait, name="a thread that stays").start()
    waiting = asyncio.create_task(asyncio.Event().wait(), name="a task that stays")
    await waiting

asyncio.run(main())
"""


def test_an_end_that_takes_too_long_names_what_it_waits_for() -> None:
    command = [sys.executable, "-c", STUCK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    for named in ("the server did not end within", "task a task that stays at ", "thread a thread that stays at "):
        assert named in done.stderr
