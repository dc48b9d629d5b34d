"""`scripts/verify`: what it says of a server that is as it should be, and of what is not."""

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from verifying import verify

CHECKS = ("service", "health", "headers", "strangers", "websocket", "silence", "port")


@pytest.fixture
def other(space: Path) -> Iterator[int]:
    """A server of another kind; its port, on which the whole network reaches it."""

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(space))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Files)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield running.server_port
    finally:
        running.shutdown()
        thread.join(10)
        running.server_close()


def test_a_server_that_is_as_it_should_be_passes_every_check(server, ada) -> None:
    assert verify(server.origin) == (0, dict.fromkeys(CHECKS, "pass"))
    assert verify(TOOLHOST_PORT=str(server.port)) == (0, dict.fromkeys(CHECKS, "pass"))


def test_another_server_fails_every_check_but_the_first(other: int) -> None:
    failed = dict.fromkeys(CHECKS, "fail")
    assert verify(f"http://localhost:{other}") == (1, {**failed, "service": "pass"})
    # From elsewhere, plain HTTP is a failure by itself: 0.0.0.0 is this machine by a name that does not say so.
    assert verify(f"http://0.0.0.0:{other}") == (1, {**failed, "service": "pass", "tls": "fail"})


def test_where_nothing_answers_nothing_passes() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        assert verify(f"http://127.0.0.1:{held.getsockname()[1]}") == (1, {"service": "fail", "rest": "unknown"})
