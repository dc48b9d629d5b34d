"""What listens on this machine, and who can reach it there."""

from __future__ import annotations

import socket
from pathlib import Path

__all__ = ["listeners", "listening"]

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
