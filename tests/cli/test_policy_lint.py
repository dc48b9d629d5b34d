"""`toolhost policy lint`: one line for each finding, and the exit code."""

import json
from pathlib import Path


def test_a_finding_is_one_line_with_its_place_and_fails_the_command(toolhost, space: Path) -> None:
    file = space / "probe.toml"
    file.write_text('plugin = "probe"\n[commands]\nask = ["echo ..."]\n')
    done = toolhost("policy", "lint", str(file))
    assert done.returncode == 1
    assert done.stdout == (
        f"{file}:3:8: warning: any_arguments: `echo ...` takes any arguments: name those it needs, or say `because`.\n"
    )
    found = json.loads(toolhost("policy", "lint", str(file), "--output", "json").stdout)
    assert [finding["code"] for finding in found["findings"]] == ["any_arguments"]
    assert found["problems"] == []


def test_the_policies_in_force_have_no_finding(toolhost, policies: Path) -> None:
    done = toolhost("policy", "lint")
    assert (done.returncode, done.stdout) == (0, "")
