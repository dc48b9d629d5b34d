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


def test_a_tool_that_the_plugin_does_not_have_is_named_with_the_nearest_it_has(toolhost, policies: Path) -> None:
    assert toolhost("tools").returncode == 0  # now the host has seen its plugins
    file = policies / "system.toml"
    file.write_text('plugin = "system"\n[tools]\ndeny = ["uptme", "df"]\nask = [{ tool = "unam" }]\n')
    (policies / "later.toml").write_text('plugin = "later"\n[tools]\nask = ["whatever"]\n')
    says = "warning: never_decides: The plugin system has no tool `{}`, so this decides nothing. Did you mean `{}`?"
    assert toolhost("policy", "lint").stdout.splitlines() == [
        "system.toml:3:9: " + says.format("uptme", "uptime"),
        "system.toml:4:17: " + says.format("unam", "uname"),
    ]
