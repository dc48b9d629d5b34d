"""Answers that count again: what a grant covers, and everything that ends it."""

from __future__ import annotations

import sqlite3
from typing import Any

from hosted import Hosted

ASK = '[commands]\nask = [{{ run = "echo {{text...}}", standing = true{} }}]\n[paths]\nwrite = ["{{workspace}}"]\n'
STANDING = ASK.format("")


def approve(host: Hosted, *words: str, scope: str = "standing") -> dict[str, Any]:
    asked = host.run("echo", *words)
    assert asked["status"] == "approval_required"
    return host.ask(do="answer_approval", approval=asked["approval_id"], scope=scope)


def events(host: Hosted) -> list[str]:
    return [record["event"] for record in host.records()]


def test_a_standing_yes_covers_exactly_that_command_of_that_person_in_that_folder(new_host, space) -> None:
    host = new_host(probe=STANDING)
    assert approve(host, "x")["stdout"] == "x\n"
    again = host.run("echo", "x")
    (grant,) = host.ask(do="grants")["grants"]
    assert (again["stdout"], again["approval_id"], grant["uses"]) == ("x\n", grant["id"], 1)
    assert grant["last_used"] is not None
    assert 'run = ["/usr/bin/echo", "x"]' in grant["text"]
    other = space / "another"
    other.mkdir()
    other.chmod(0o777)
    for changed in (
        host.run("echo", "x", "y"),
        host.run("echo", "x", actor="eve"),
        host.run("echo", "x", workspace=str(other)),
    ):
        assert changed["status"] == "approval_required"
    assert host.ask(do="grants", actor="eve")["grants"] == []
    assert host.ask(do="revoke", grant=grant["id"], actor="eve")["error"]["code"] == "grant_not_found"
    assert host.ask(do="revoke", grant=grant["id"], actor="eve", role="admin")["error"]["code"] == "grant_not_found"
    host.ask(do="revoke", grant=grant["id"])
    assert host.run("echo", "x")["status"] == "approval_required"
    assert {"grant.used", "grant.revoked"} <= set(events(host))


def test_a_grant_never_answers_for_a_key_and_a_call_of_a_key_is_given_none(new_host) -> None:
    host = new_host(probe=STANDING)
    approve(host, "x")
    key = {"scopes": ["tools:run:probe"]}
    asked = host.run("echo", "x", **key)
    assert asked["status"] == "approval_required"
    (question,) = host.ask(do="pending")["approvals"]
    assert question["scopes"] == ["once"]
    wider = host.ask(do="answer_approval", approval=asked["approval_id"], scope="standing")
    assert wider["error"]["code"] == "scope_not_offered"
    assert host.ask(do="answer_approval", approval=asked["approval_id"])["stdout"] == "x\n"
    assert host.run("echo", "x", **key)["status"] == "approval_required"
    assert host.run("echo", "x")["status"] == "ok"


def test_a_grant_dies_with_its_rule_and_a_deny_beats_it(new_host) -> None:
    host = new_host(probe=STANDING)
    approve(host, "x")
    # The same rule on another line is the same rule.
    host.write("probe", "\n\n# moved\n" + STANDING)
    host.ask(do="reload")
    assert host.run("echo", "x")["status"] == "ok"
    host.write("probe", STANDING.replace("[paths]", 'deny = ["echo x"]\n[paths]'))
    host.ask(do="reload")
    assert host.run("echo", "x")["status"] == "denied"
    host.write("probe", ASK.format(', limits = { wall = "5s" }'))
    host.ask(do="reload")
    assert host.run("echo", "x")["status"] == "approval_required"
    host.write("probe", STANDING)
    host.ask(do="reload")
    assert host.run("echo", "x")["status"] == "approval_required", "what has ended does not come back"
    assert host.ask(do="grants")["grants"] == []


def test_a_yes_does_not_count_where_more_is_in_reach_and_does_where_limits_are_others(new_host) -> None:
    host = new_host(probe=STANDING)
    approve(host, "x")
    for text, status in (
        (STANDING + '[limits]\nwall = "10s"\n', "ok"),
        ('support = ["/usr/share/misc"]\n' + STANDING, "approval_required"),
        (STANDING.replace("[paths]", 'inside = ["cat"]\n[paths]'), "approval_required"),
        (STANDING, "ok"),
    ):
        host.write("probe", text)
        assert host.ask(do="reload")["problems"] == []
        assert host.run("echo", "x")["status"] == status, text


def test_what_an_earlier_process_left_is_looked_at_when_the_next_one_starts(new_host) -> None:
    host = new_host(probe=STANDING)
    approve(host, "x")
    late = host.run("echo", "late")["approval_id"]
    assert [question["id"] for question in host.ask(do="pending")["approvals"]] == [late]
    host.close()
    with sqlite3.connect(host.data / "state" / "toolhost.db") as database:
        database.execute("UPDATE approvals SET expires = 1 WHERE id = ?", (late,))
    host.write("probe", ASK.format(', limits = { wall = "5s" }'))
    host = new_host(probe=ASK.format(', limits = { wall = "5s" }'))
    # Nobody has looked at either yet: the start alone has.
    assert {"approval.expired", "grant.revoked"} <= set(events(host))
    host.write("probe", STANDING)
    host.ask(do="reload")
    assert host.run("echo", "x")["status"] == "approval_required"


def test_a_yes_stands_only_where_every_rule_that_asks_lets_it(new_host) -> None:
    host = new_host(probe=STANDING.replace("standing = true", "standing = false"))
    assert approve(host, "x")["error"]["code"] == "scope_not_offered"
    host.write("probe", '[tools]\nask = ["echo"]\n' + STANDING)
    host.ask(do="reload")
    assert approve(host, "x")["error"]["code"] == "scope_not_offered"
    host.write("probe", '[tools]\nask = [{ tool = "echo", standing = true }]\n' + STANDING)
    assert host.ask(do="reload")["problems"] == []
    assert approve(host, "x")["status"] == "ok"


def test_a_yes_to_a_program_that_runs_any_code_never_stands(new_host) -> None:
    host = new_host(probe='runs_code = ["bash"]\n[commands]\nask = [{ run = "bash -c {text}", standing = true }]\n')
    (problem,) = host.ask(do="facts")["problems"]
    assert "standing_runs_code" in problem


def test_an_api_key_cannot_approve_and_no_answer_is_a_refusal(new_host) -> None:
    host = new_host(probe=STANDING)
    asked = host.run("echo", "x")
    key = {"scopes": ["tools:run:probe"]}
    refused = host.ask(do="answer_approval", approval=asked["approval_id"], **key)
    assert refused["error"]["code"] == "approval_needs_a_person"
    with sqlite3.connect(host.data / "state" / "toolhost.db") as database:
        database.execute("UPDATE approvals SET expires = 1")
    assert host.ask(do="answer_approval", approval=asked["approval_id"])["error"]["code"] == "approval_expired"
    assert host.ask(do="pending")["approvals"] == []
    assert host.ask(do="answer_approval", approval=asked["approval_id"])["error"]["code"] == "approval_expired"
    assert events(host).count("approval.expired") == 1
    assert "tool.intent" not in events(host)
