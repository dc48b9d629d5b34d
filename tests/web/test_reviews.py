"""What administrators look at: what happened since the last time, the checklist, and who has access."""

from __future__ import annotations

import html
import re

import pytest
from webserver import Person, WebServer

BOXES = ["secrets", "debug", "authentication", "https", "crowdsec", "firewall", "ports", "rotation"]


@pytest.fixture(scope="module")
def eve(own: WebServer, admin: Person) -> Person:
    """Somebody without rights."""
    return own.add_user("eve")


def badge(page: str) -> int:
    return int((re.search(r"data-unseen>(\d+)<", page) or [0, 0])[1])


def counts(page: str) -> dict[str, int]:
    return {kind: int(number) for kind, number in re.findall(r'data-count="(\w+)">(\d+)<', page)}


def test_the_badge_counts_what_was_denied_since_the_last_look_and_looking_resets_it(own, admin, eve) -> None:
    assert badge(admin.get("/admin/security").text) == 0
    for _ in range(3):
        assert eve.call("files.read", path="../../etc/shadow").json["status"] == "denied"
    page = admin.get("/admin/security").text
    assert badge(page) == 3
    assert counts(page) == {"denied": 3, "sign_ins": 0, "failed": 0, "approved": 0}
    assert "<code>files.read</code>" in page
    assert badge(admin.get("/settings/profile").text) == 3  # on every page, until it was looked at
    assert badge(eve.get("/settings/profile").text) == 0
    through = int(re.search(r'data-through="(\d+)"', page)[1])
    asked = eve.call("shell.run", script="exit 3").json["approval_id"]
    assert eve.post(f"/api/approvals/{asked}", {"decision": "approve"}).json["status"] == "error"
    wrong = {"username": "eve", "password": "not the right one"}
    assert own.stranger().post("/api/auth/login", wrong).status == 401
    assert admin.post("/api/reviews/events", {"through": through}).status == 204
    page = admin.get("/admin/security").text  # what came after the page was made has not been seen
    assert counts(page) == {"denied": 0, "sign_ins": 1, "failed": 1, "approved": 1}
    assert badge(page) == 1
    assert admin.post("/api/reviews/events", {"through": 1 << 52}).status == 204
    assert eve.call("files.read", path="../../etc/shadow").json["status"] == "denied"
    assert badge(admin.get("/admin/security").text) == 1  # nobody has seen what is still to come
    for through in (None, -1, True, "1"):
        assert admin.post("/api/reviews/events", {"through": through}).code == "body_invalid"


def test_the_checklist_has_eight_lines_and_what_is_unknown_is_not_passed(admin) -> None:
    page = admin.get("/admin/security").text
    found = dict(re.findall(r'data-box="(\w+)" data-status="(\w+)"', page))
    assert list(found) == BOXES
    assert set(found.values()) <= {"pass", "warn", "fail", "unknown"}
    assert found["authentication"] == "pass"  # it was asked without a session, and refused
    assert found["https"] == "unknown"  # loopback: nobody can tell from here
    assert '<span class="tag tag-unknown">unknown</span> <strong>HTTPS</strong>' in page
    french = admin.get("/admin/security", headers={"Accept-Language": "fr"}).text
    assert '<span class="tag tag-unknown">inconnu</span>' in french
    assert "Le débogage est désactivé." in french


def test_a_review_of_access_shows_who_holds_what_and_is_attested_in_the_audit_log(own, admin, eve) -> None:
    made = admin.post("/api/keys", {"name": "nightly", "scopes": ["admin"], "seconds": 86400}).json
    page = admin.get("/admin/people").text
    row = page.partition('data-user="ada"')[2].partition('data-user="eve"')[0]
    for part in ("nightly", f"…{made['key']['ending']}", "<code>admin</code>", "data-keys>1<", "data-sessions>1 ·"):
        assert part in row, part
    assert "data-moment" not in page.partition('id="reviewed"')[2].partition("</p>")[0]
    key = Person(own, bearer=made["token"])
    assert key.post("/api/reviews/access").code == "key_not_allowed"
    assert eve.post("/api/reviews/access").code == "role_not_allowed"
    assert admin.get("/api/openapi.json").json["paths"]["/api/reviews/access"]["post"]["x-step-up"] is True
    answer = admin.post("/api/reviews/access")
    assert answer.status == 201
    review = answer.json["review"]
    assert {**review, "at": 0} == {
        "by": "ada", "at": 0, "people": 2, "administrators": 1, "disabled": 0, "sessions": 2, "keys": 1,
    }  # fmt: skip
    written = [record for record in own.audit() if record["event"] == "access.reviewed"]
    assert len(written) == 1
    assert (written[0]["category"], written[0]["details"]["user"]) == ("security", "ada")
    assert (written[0]["details"]["people"], written[0]["details"]["keys"]) == (2, 1)
    shown = admin.get("/admin/people").text.partition('id="reviewed"')[2].partition("</p>")[0]
    assert f'data-moment="{review["at"]}"' in shown
    assert "<strong>ada</strong>" in shown


def test_the_pages_are_for_administrators_alone(own, admin, eve) -> None:
    operator = own.add_user("olga", "operator")
    for person in (eve, operator):
        for path in ("/admin/security", "/admin/incident", "/admin/people"):
            assert person.get(path).status == 403
            assert path not in person.get("/settings/profile").text
        assert person.post("/api/reviews/events", {"through": 1}).code == "role_not_allowed"
    assert admin.get("/admin/incident").status == 200


ENGLISH = re.compile(r"\b(the|and|is|are|not|this|with|which|cannot|was|you|has|it|can|by|from|every)\b", re.IGNORECASE)
NOT_OURS = re.compile(
    r"<(code|pre|template|script|textarea|blockquote|style)\b.*?</\1>|<(\w+)[^>]*\blang=.?en\b.*?</\2>", re.DOTALL
)


def english(page: str) -> set[str]:
    """Words of English that people read on a page, without what tools, plugins and the host itself said."""
    body = NOT_OURS.sub(" ", page.partition("<body")[2])
    texts = re.findall(r">([^<]+)<", body) + re.findall(r"\b(?:aria-label|placeholder|title|alt)=[\"']([^\"']+)", body)
    return {" ".join(text.split()) for text in map(html.unescape, texts) if ENGLISH.search(text)}


def test_the_french_pages_say_nothing_in_english(admin: Person) -> None:
    french = {"Accept-Language": "fr"}
    here = admin.conversation()
    for tool, given in (
        ("files.move", {"source": "no", "target": "b"}),
        ("git.push", {}),
        ("files.read", {"path": "/etc/passwd"}),
    ):
        admin.call(tool, here, **given)
    pages = ["/", f"/c/{here}", "/approvals", "/welcome", "/nowhere", "/settings/profile", "/settings/appearance"]
    pages += [f"/settings/{name}" for name in ("security", "sessions", "keys", "approvals", "data")]
    pages += [f"/admin/{name}" for name in ("security", "people", "incident", "policies", "plugins", "models")]
    plain = (re.sub("`[^`]*`", " ", tool["about"]) for tool in admin.get("/api/tools").json["tools"])
    abouts = {" ".join(about.split()) for about in plain}
    found = {path: english(admin.get(path, headers=french).text) - abouts for path in pages}
    assert [words for words in found.values() if words] == []
