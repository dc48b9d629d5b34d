"""Limits and patterns of a policy, from its file to the result."""

import json
from pathlib import Path


def policy(policies: Path, top: str = "", more: str = "") -> None:
    (policies / "shell.toml").write_text(
        f'plugin = "shell"\nruns_code = ["bash"]\n{top}\n'
        f'[commands]\nallow = ["bash -c {{text}}"]\ninside = ["head", "ls"]\n{more}\n'
    )


def call(toolhost, script: str) -> dict:
    done = toolhost("call", "shell.run", "--json", json.dumps({"script": script}), "--output", "json")
    return json.loads(done.stdout) | {"code": done.returncode}


def test_a_required_limit_runs_only_where_it_holds_for_the_tree(toolhost, policies: Path) -> None:
    policy(policies, 'require = ["memory"]')
    said = call(toolhost, "echo ran")
    if said["status"] == "ok":
        assert said["sandbox"]["limits"]["memory"]["enforced_by"] in {"cgroup2", "cgroup1"}
    else:
        assert (said["status"], said["error"]["code"], said["stdout"]) == ("error", "limit_not_enforceable", "")
    policy(policies, 'require = ["processes", "wall"]')
    assert call(toolhost, "echo ran")["stdout"] == "ran\n"


def test_a_result_says_what_held_each_limit(toolhost, policies: Path) -> None:
    policy(policies)
    limits = call(toolhost, "echo ran")["sandbox"]["limits"]
    assert limits["calls"] == {"value": 8, "enforced_by": "host"}
    assert limits["workspace"] == {"value": None, "enforced_by": "none"}


def test_a_call_that_fills_its_workspace_is_ended(toolhost, policies: Path) -> None:
    policy(policies, more='[limits]\nworkspace = "1M"\n[paths]\nwrite = ["{workspace}"]')
    said = call(toolhost, "head -c 9000000 /dev/zero > big; echo ended")
    assert (said["status"], said["error"]["code"], said["code"]) == ("limit", "limit_exceeded", 6)
    assert "workspace" in said["error"]["message"]


def test_a_pattern_hides_and_quarantines(toolhost, policies: Path, workspace: Path, data: Path) -> None:
    (workspace / ".env").write_text("CANARY")
    policy(policies, more='[paths]\nwrite = ["{workspace}"]\ndeny = ["**/.env"]')
    said = call(toolhost, "head .env; echo new > new.env; ls -A")
    assert "CANARY" not in json.dumps(said)
    assert "quarantined" not in said["sandbox"]
    policy(policies, more='[paths]\nwrite = ["{workspace}"]\ndeny = ["**/*.key"]')
    said = call(toolhost, "echo x > a.key")
    assert said["sandbox"]["quarantined"] == ["/workspace/a.key"]
    assert not (workspace / "a.key").exists()
    assert len(list((data / "state" / "quarantine").iterdir())) == 1
    outcome = json.loads((data / "state" / "audit.log").read_text().splitlines()[-1])
    assert outcome["details"]["quarantined"] == ["/workspace/a.key"]
