"""What listens on this machine, who can reach it there, and what the server itself answers."""

from __future__ import annotations

import http.client
import socket
import ssl
from pathlib import Path

from toolhost.settings import Settings

__all__ = ["ask_server", "listeners", "listening"]

_LISTEN = "0A"  # state column of /proc/net/tcp


def listeners(port: int) -> list[str]:
    """Addresses with a listening TCP socket on a port, of every process."""
    return sorted({address for address, number in listening() if number == port})


def listening() -> set[tuple[str, int]]:
    """Address and port of every listening TCP socket, of every process."""
    found = set()
    for table, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            local, _, state = row.split()[1:4]
            address, _, number = local.partition(":")
            if state == _LISTEN:
                # The kernel prints each 32-bit word in host order, which is little-endian where we run.
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                found.add((socket.inet_ntop(family, b"".join(words)), int(number, 16)))
    return found


def ask_server(settings: Settings, path: str) -> tuple[int, dict[str, str], bytes]:
    """What the server of these settings answers: the status, the headers by their small names, the body's beginning.

    Raises:
        OSError, http.client.HTTPException: Nothing answers, or not as a server does.
    """
    connection: http.client.HTTPConnection
    if settings.certfile is None:
        connection = http.client.HTTPConnection(settings.host, settings.port, timeout=5)
    else:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # who it is is not the question
        connection = http.client.HTTPSConnection(settings.host, settings.port, timeout=5, context=context)
    try:
        # By a name that every server has, whatever address it listens on.
        connection.request("GET", path, headers={"Host": "localhost"})
        response = connection.getresponse()
        body = response.read(4096)
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body
    finally:
        connection.close()
