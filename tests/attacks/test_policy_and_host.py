"""Threats I: the policy, approvals and the host's own control plane."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from driver import own
from hosted import Hosted

CONTROL_PLANE = [
    "/", "/etc", "/etc/ssh", "/proc", "/proc/self", "/sys", "/dev", "/dev/shm", "/run", "/run/docker.sock",
    "/run/user/1000", "/run/user/1000/wayland-0", "/run/dbus/system_bus_socket", "/run/systemd/private",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock", "/var/run/docker.sock", "/tmp/.X11-unix", "/tmp/.X11-unix/X0", "/var/lib/docker",
    "/var/lib/containerd", "/var/lib/containers", "/var/lib", "/var", "/usr", "/usr/bin", "/bin", "/sbin", "/usr/sbin",
    "/usr/local/bin", "/home", "/root", "/boot", "/workspace", "/tmp", "/snap",
]  # fmt: skip
MALFORMED = ["", ".", "..", "relative", "~", "~/x", "$HOME", "/srv/*", "/srv/../etc", "/srv//x", "/srv/./x", "/srv/x/"]
WRITABLE_ONLY = ["/usr/share", "/usr/lib", "/lib", "/var/spool/cron", "/var/lib/dpkg", "/var/lib/systemd"]


def problems_of(host: Hosted, text: str) -> list[str]:
    host.write("other", text)
    try:
        found: list[str] = host.ask(do="reload")["problems"]
        return found
    finally:
        (host.policies / "other.toml").unlink()
        assert host.ask(do="reload")["problems"] == []


@pytest.mark.parametrize("how", ["read", "write"])
def test_no_root_lies_over_the_control_plane(shared_host: Hosted, how: str) -> None:
    own_places = [
        str(shared_host.data), str(shared_host.data / "state"), str(shared_host.data / "state" / "audit.log"),
        str(shared_host.policies), str(shared_host.policies / "probe.toml"), str(shared_host.data / "plugins"),
        str(shared_host.data / "plugins" / "probe"), str(shared_host.data / "workspaces"), str(shared_host.data.parent),
    ]  # fmt: skip
    places = CONTROL_PLANE + MALFORMED + own_places + (WRITABLE_ONLY if how == "write" else [])
    accepted = []
    for place in places:
        found = problems_of(shared_host, f'[commands]\nallow = ["true"]\n[paths]\n{how} = [{json.dumps(place)}]\n')
        if not any("root" in one.split(": ")[1] for one in found):
            accepted.append((place, found))
    assert accepted == []


def test_a_socket_is_no_root(shared_host: Hosted, space: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(space / "service.sock"))
        found = problems_of(shared_host, f'[commands]\nallow = ["true"]\n[paths]\nread = ["{space}/service.sock"]\n')
    assert any("root_control_plane" in one for one in found)


def test_a_root_that_is_a_link_or_lies_under_one_is_refused_by_name(shared_host: Hosted, space: Path) -> None:
    (space / "real" / "sub").mkdir(parents=True)
    (space / "link").symlink_to("real")
    for place in ("link", "link/sub"):
        found = problems_of(shared_host, f'[commands]\nallow = ["true"]\n[paths]\nread = ["{space}/{place}"]\n')
        assert any("root_is_link" in one and str(space / place) in one for one in found)


def test_the_environment_the_host_runs_from_is_no_writable_root(shared_host: Hosted) -> None:
    import sys

    found = problems_of(shared_host, f'[commands]\nallow = ["true"]\n[paths]\nwrite = ["{sys.prefix}/lib"]\n')
    assert any("root_control_plane" in one for one in found)


@pytest.mark.parametrize(
    "text",
    [
        "", "plugin = 1", 'allow = "x"', "[commands]\nallow = true", "[commands]", '[commands]\nallow = "git"',
        "[commands\n", '[commands]\nallow = []\n[commands]\nallow = []', '[commands]\nalow = ["x"]', "\ufeff[commands]",
        '[commands]\nallow = ["ls"]\nask = "x"', "x = 1\n" * 300_000, 'isolation = "none"', 'exec = "yes"',
        '[limits]\nmemory = 0', '[limits]\nmemory = "-1M"', '[limits]\nwall = -1', "[sandbox]\noff = true",
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_grants_nothing(host: Hosted, text: str) -> None:
    before = (host.policies / "probe.toml").read_text()
    host.write("probe", text if text.startswith(("plugin", "#:schema")) else f'plugin = "probe"\n{text}')
    try:
        found = host.ask(do="reload")["problems"]
        result = host.run("echo", "x")
    finally:
        (host.policies / "probe.toml").write_text(before)
        assert host.ask(do="reload")["problems"] == []
    if found:
        assert all(one.startswith("probe.toml:") for one in found)
        assert result["status"] == "ok", "the last good policy stays"
    else:
        assert result["status"] == "denied"


@pytest.mark.parametrize("text", ["", "[commands]\nallow = []\n", "[paths]\nwrite = []\n", "[tools]\n[commands]\n"])
def test_what_is_empty_or_missing_grants_nothing(host: Hosted, text: str) -> None:
    policy = host.policies / "probe.toml"
    before = policy.read_text()
    host.write("probe", f'plugin = "probe"\n{text}')
    try:
        assert host.ask(do="reload")["problems"] == []
        assert host.run("echo", "x")["status"] == "denied"
        policy.unlink()
        host.ask(do="reload")
        assert host.run("echo", "x")["decision"]["code"] == "no_policy"
    finally:
        policy.write_text(before)
        own(policy)
        assert host.ask(do="reload")["problems"] == []


def test_a_policy_that_others_can_write_or_that_is_a_link_is_said(new_host, space: Path) -> None:
    host = new_host(probe='[commands]\nallow = ["echo {text...}"]\n')
    elsewhere = space / "elsewhere.toml"
    elsewhere.write_text('plugin = "other"\n[commands]\nallow = ["true"]\n')
    (host.policies / "other.toml").symlink_to(elsewhere)
    assert host.ask(do="reload")["problems"]
    (host.policies / "other.toml").unlink()
    (host.policies / "probe.toml").chmod(0o666)
    assert host.ask(do="reload")["problems"]


# -- approvals ---------------------------------------------------------------------------------------------------------

ASK = '[commands]\nask = ["echo {text...}"]\n[paths]\nwrite = ["{workspace}"]\n'


def test_an_approval_counts_once_for_one_person_and_one_plan(new_host) -> None:
    host = new_host(probe=ASK)
    asked = host.run("echo", "x")
    assert asked["status"] == "approval_required"
    answer = {"do": "answer_approval", "approval": asked["approval_id"]}
    assert host.ask(**answer, actor="eve")["error"]["code"] == "approval_not_found"
    assert host.ask(**answer, actor="eve", role="admin")["error"]["code"] == "approval_not_yours"
    assert host.ask(**answer)["stdout"] == "x\n"
    assert host.ask(**answer)["error"]["code"] == "approval_answered"
    events = [record["event"] for record in host.records()]
    assert events.count("tool.intent") == events.count("tool.outcome") == 1
    # A second call of the same is a second question.
    assert host.run("echo", "x")["status"] == "approval_required"


def test_two_answers_at_once_run_it_once(new_host) -> None:
    host = new_host(probe=ASK)
    asked = host.run("echo", "x")
    answer = {"do": "answer_approval", "approval": asked["approval_id"]}
    answers = host.ask(do="gather", requests=[answer] * 5)["answers"]
    assert sum(one.get("status") == "ok" for one in answers) == 1
    assert [record["event"] for record in host.records()].count("tool.intent") == 1


def test_a_refused_or_changed_question_runs_nothing(new_host, space: Path) -> None:
    host = new_host(probe=ASK)
    refused = host.run("echo", "x")["approval_id"]
    assert host.ask(do="answer_approval", approval=refused, decision="refuse")["status"] == "refused"
    assert host.ask(do="answer_approval", approval=refused)["error"]["code"] == "approval_answered"
    changed = host.run("echo", "x")["approval_id"]
    host.write("probe", f'{ASK}[limits]\nwall = "5s"\n')
    assert host.ask(do="reload")["problems"] == []
    assert host.ask(do="answer_approval", approval=changed)["error"]["code"] == "plan_changed"
    moved = host.run("echo", "x")["approval_id"]
    shutil.rmtree(host.workspace)
    (space / "other").mkdir()
    host.workspace.symlink_to(space / "other")
    assert host.ask(do="answer_approval", approval=moved)["error"]["code"] == "plan_changed"
    assert "tool.intent" not in [record["event"] for record in host.records()]


def test_a_hidden_payload_is_asked_about_whole(new_host) -> None:
    host = new_host(probe=ASK)
    payload = "fine" + " " * 5000 + "\u202e\u200b; rm -rf /"
    asked = host.run("echo", payload)
    assert asked["status"] == "approval_required"
    assert host.explain("echo", payload)["argv"][1] == payload


# -- the host ----------------------------------------------------------------------------------------------------------


def test_no_way_of_asking_turns_the_sandbox_off(host: Hosted) -> None:
    for name in ("sandbox", "unsafe", "direct", "no_sandbox", "policy", "approve", "env", "cwd", "roots", "user"):
        answer = host.ask(tool="probe.echo", arguments={"words": ["x"], name: False}, workspace=str(host.workspace))
        assert answer["error"]["code"] == "invalid_arguments", name


@pytest.mark.parametrize("place", ["/srv", "/etc", "/", "/usr", "/root", "/proc/self/cwd", "/nonexistent", "relative"])
def test_a_folder_of_the_caller_s_choice_is_no_root_by_that(host: Hosted, place: str) -> None:
    answer = host.run("ls", workspace=place)
    code = (answer.get("error") or {}).get("code") or answer["decision"]["code"]
    assert code in {
        "workspace_not_allowed", "workspace_not_accessible", "workspace_missing", "root_control_plane", "root_missing",
        "root_is_link", "root_not_accessible", "bad_root",
    } or (place == "/srv" and answer["status"] == "ok"), answer  # fmt: skip


def test_a_workspace_behind_a_link_is_refused(host: Hosted, space: Path) -> None:
    (space / "secret").mkdir()
    (space / "secret" / "x").write_text("CANARY")
    (space / "link").symlink_to("secret")
    own(space)
    answer = host.run("ls", workspace=str(space / "link"))
    assert "CANARY" not in json.dumps(answer)
    assert answer.get("status") != "ok"


def test_what_explain_says_is_what_a_call_does(host: Hosted) -> None:
    (host.workspace / "f").write_text("x\n")
    os.symlink("/etc/passwd", host.workspace / "l")
    lines = (
        "cat f", "cat l", "cat ../f", "echo a", "echo -n", "ls", "ls -la", "find .", "find . -delete", "curl x",
        "sort -n f", "sort -o f", "touch g", "touch .envrc", "git status", "git push",
    )  # fmt: skip
    for line in map(str.split, lines):
        said, done = host.explain(*line), host.run(*line)
        assert said["decision"] == done["decision"], line
        assert (done["status"] == "denied") == (said["decision"]["outcome"] == "deny")


def test_a_quarantine_is_whole_and_recorded_though_its_administrator_hangs_up(new_host) -> None:
    host = new_host(probe='[commands]\nallow = ["echo {text}"]\n')
    assert host.ask(do="quarantine", plugin="probe") == {"state": "quarantined"}
    assert "odd" in (host.policies / "lock.toml").read_text()
    assert [one["details"]["plugin"] for one in host.records() if one["event"] == "plugin.quarantined"] == ["probe"]
