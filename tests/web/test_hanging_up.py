"""Clients that hang up before they have an answer."""

from __future__ import annotations

import json
import select
import socket
import sqlite3
from contextlib import closing

from test_people import until
from webserver import Person, WebServer


def test_no_change_is_without_its_record_because_the_client_hung_up(server: WebServer, ada: Person) -> None:
    body = json.dumps({"role": "viewer"}).encode()
    request = (
        f"POST /api/invitations HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {ada.bearer}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    rows, records = invitations(server), recorded(server)
    made, patience = rows, 0.004
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", server.port), 30) as line:
            line.sendall(request)
            select.select([line], [], [], patience)
        # Earlier after one that was made, later after one that was not: so most hang up close to where it is made.
        last, made = made, invitations(server)
        patience *= 0.95 if made > last else 1.05
    assert ada.post("/api/invitations", {"role": "viewer"}).status == 201
    until(lambda: recorded(server) - records == invitations(server) - rows > 1, "a change has no record")


def invitations(server: WebServer) -> int:
    with closing(sqlite3.connect(server.data / "state" / "toolhost.db", timeout=30)) as database:
        (rows,) = database.execute("SELECT count(*) FROM links WHERE kind = 'invitation'").fetchone()
    return int(rows)


def recorded(server: WebServer) -> int:
    return sum(record["event"] == "user_invited" for record in server.audit())
