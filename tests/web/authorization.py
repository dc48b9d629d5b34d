"""Who gets past the door of every route and message: everybody tries everything, and a table says what came of it."""

from __future__ import annotations

import http.client
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webserver import PASSWORD, Person, WebServer

from toolhost.policy.values import SCOPES

PEOPLE = ("stranger", "viewer", "user", "other user", "operator", "admin")
KEYS = (*SCOPES, "tools:run:files")
COLUMNS = (*PEOPLE, "expired key", "keys of the user")
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "authorization.md"

OWNED = frozenset(
    {
        "conversation_id",
        "call_id",
        "approval_id",
        "inquiry_id",
        "grant_id",
        "key_id",
        "session_id",
        "run_id",
        "entry_id",
    }
)
"""Parts of addresses that name something of somebody's: everybody tries the user's."""

LAST = (
    "DELETE /api/conversations/<conversation_id>",
    "DELETE /api/sessions/<session_id>",
    "DELETE /api/sessions",
    "POST /api/auth/logout",
)
"""What ends a session that others still need to try with."""


@dataclass
class Cast:
    """Everybody who tries, and what the user has that others must not reach."""

    server: WebServer
    people: dict[str, Person] = field(default_factory=dict)
    keys: dict[str, Person] = field(default_factory=dict)
    things: dict[str, str] = field(default_factory=dict)
    _lines: dict[int, http.client.HTTPConnection] = field(default_factory=dict)

    @classmethod
    def gather(cls, server: WebServer) -> Cast:
        """Sign everybody in, and let the user do something of everything."""
        cast = cls(server)
        admin = server.set_up("ann")
        for name, username in (("viewer", "vic"), ("user", "uma"), ("other user", "otto"), ("operator", "olga")):
            admin.post(
                "/api/users", {"username": username, "password": "one of ann's choice", "role": name.split()[-1]}
            )
            person = server.stranger()
            person.sign_in(username, "one of ann's choice")
            changed = person.post("/api/auth/password", {"current": "one of ann's choice", "password": PASSWORD})
            person.bearer = changed.json["access_token"]
            cast.people[name] = person
        cast.people |= {"stranger": server.stranger(), "admin": admin}
        admin.post("/api/users", {"username": "zoe", "password": PASSWORD})
        user = cast.people["user"]
        for scope in KEYS:
            made = user.post("/api/keys", {"name": scope, "scopes": [scope]})
            # A key whose scope its owner's role does not reach cannot be made; one whose owner was demoted can be.
            text = made.json["token"] if made.status == 201 else cast._above(user, scope)
            cast.keys[scope] = Person(server, bearer=text)
        expired = user.post("/api/keys", {"name": "expired", "scopes": ["chat"], "seconds": 1})
        cast.people["expired key"] = Person(server, bearer=expired.json["token"])
        cast._do_something(user)
        while cast.people["expired key"].get("/api/auth/me").status == 200:
            pass
        return cast

    def _above(self, user: Person, scope: str) -> str:
        admin = self.people["admin"]
        admin.request("PATCH", "/api/users/uma", {"role": "admin"})
        text = user.post("/api/keys", {"name": scope, "scopes": [scope]}).json["token"]
        admin.request("PATCH", "/api/users/uma", {"role": "user"})
        return str(text)

    def _do_something(self, user: Person) -> None:
        talk = user.conversation()
        made = user.call("files.write", talk, path="kept.txt", content="x").json
        assert user.post(f"/api/approvals/{made['approval_id']}", {"decision": "approve"}).json["status"] == "ok"
        asked = user.call("shell.run", talk, script="true").json
        with user.socket() as socket:
            socket.send("call", conversation_id=talk, tool="files.list", arguments={})
            run = socket.to_the_end()[-1]["run_id"]
        self.server.person("uma")  # a second session, which everybody tries to end
        sessions = user.get("/api/sessions").json["sessions"]
        entries = user.get(f"/api/conversations/{talk}").json["entries"]
        self.things = {
            "conversation_id": talk,
            "call_id": made["call_id"],
            "approval_id": asked["approval_id"],
            "grant_id": "g_none",
            "inquiry_id": "i_none",
            "run_id": run,
            "entry_id": str(entries[0]["id"]),
            "key_id": user.get("/api/keys").json["keys"][0]["id"],
            "session_id": next(one["id"] for one in sessions if not one["current"]),
            "username": "zoe",
            "name": "files.list",
            "path": "kept.txt",
            "network": "203.0.113.0/24",
            "share_id": "h_none",
        }

    def row(self, method: str, rule: str) -> list[str]:
        """What came of everybody's try of one route."""
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda part: self.things.get(part[1], "none"), rule)
        # What would change something gets a body that no route accepts, so that it ends just behind the door; what
        # names something of the user's gets one that is right: whose it is may be asked later than what was sent.
        body = "[]" if OWNED.isdisjoint(re.findall(r"(\w+)>", rule)) else json.dumps(self._right())
        # The user last: an answer, a stop or a deletion of theirs counts.
        order = sorted((*PEOPLE, "expired key"), key=lambda name: name == "user")
        cells = {name: self._try(self.people[name], method, path, body) for name in order}
        may = [scope for scope in KEYS if self._try(self.keys[scope], method, path, body) == "yes"]
        return [*(cells[name] for name in COLUMNS[:-1]), _listed(may)]

    def _right(self) -> dict[str, Any]:
        given = {"decision": "approve", "model": None, "rating": "up", "answer": "x"}
        return {**given, "entry_id": int(self.things["entry_id"])}

    def _try(self, person: Person, method: str, path: str, body: str) -> str:
        """`yes` for whoever gets past the door, whatever is behind it; else the status, with the code of a 403."""
        line = self._lines.setdefault(id(person), http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60))
        headers = {} if person.bearer is None else {"Authorization": f"Bearer {person.bearer}"}
        if method not in ("GET", "DELETE"):
            headers["Content-Type"] = "application/json"
        line.request(method, path, body if "Content-Type" in headers else None, headers)
        answer = line.getresponse()
        text = answer.read()
        if answer.status in (401, 404):
            return str(answer.status)
        if answer.status == 403:
            return f"403 {json.loads(text)['error']['code']}" if text[:1] == b"{" else "403"
        if answer.status == 303 and answer.headers["location"].startswith("/login") and path != "/setup":
            return "303"  # where nobody is waiting for the first administrator, /setup sends everybody there
        assert answer.status < 500, (method, path, answer.status, text)
        return "yes"

    def close(self) -> None:
        """Hang up."""
        for line in self._lines.values():
            line.close()

    def message(self, kind: str) -> list[str]:
        """What came of everybody's try of one message over the WebSocket."""
        refused = {"stranger": "401", "expired key": "401"}
        cells = [refused.get(name) or self._say(self.people[name], kind) for name in (*PEOPLE, "expired key")]
        return [*cells, "`chat`" if self._say(self.keys["chat"], kind) == "yes" else "-"]

    def _say(self, person: Person, kind: str) -> str:
        named = ("conversation_id", "approval_id", "inquiry_id", "run_id")
        fields: dict[str, Any] = {name: self.things[name] for name in named}
        fields["entry_id"] = int(self.things["entry_id"])
        if kind == "resume":
            del fields["run_id"]
        # Some are answered only where they are refused. Whose they are gets no refusal that would be worth a wait.
        own = person is self.people["user"] or person is self.keys["chat"]
        deadline = time.monotonic() + (1.5 if own else 30)
        answer: dict[str, Any] = {"type": ""}
        with person.socket() as socket:
            socket.send(kind, text="x", tool="files.none", arguments={}, ref=1, **fields)
            while answer.get("ref") != 1 and (left := deadline - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    answer = socket.next(left)
        code = answer["error"]["code"] if answer["type"] == "error" else ""
        if code in ("role_not_allowed", "scope_missing", "key_not_allowed", "approval_not_yours"):
            return f"403 {code}"
        return "404" if code.endswith("_not_found") else "yes"


def _listed(scopes: list[str]) -> str:
    return "all" if len(scopes) == len(KEYS) else ", ".join(f"`{scope}`" for scope in scopes) or "-"


def rendered(rows: dict[str, list[str]]) -> str:
    """The table as the page has it."""
    head = f"| request | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}\n"
    named = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", name): cells for name, cells in rows.items()}
    ordered = sorted(named.items(), key=lambda row: row[0].split()[::-1])
    return head + "".join(f"| `{name}` | {' | '.join(cells)} |\n" for name, cells in ordered)
