"""Every bundled tool, really run under its packaged policy: one that is allowed, one asked, one denied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pluginbench import Bench, Running


def denied(host: Running, name: str, **arguments: Any) -> str:
    considered = host.consider(name, arguments)
    assert considered.decision.outcome == "deny"
    assert considered.plan is None
    return considered.decision.code


# -- git ---------------------------------------------------------------------------------------------------------------


def test_a_repository_is_looked_into(bench: Bench, git_repository: Callable[..., Path]) -> None:
    repository = git_repository("First commit", "Second commit")
    (repository / "file1.txt").write_text("changed\n")

    async def scenario(host: Running) -> None:
        for name, arguments, shown in (
            ("git.status", {}, "file1.txt"),
            ("git.log", {"limit": 1}, "Second commit"),
            (
                "git.log",
                {"oneline": True, "stat": True, "author": "Ada", "since": "2000-01-01", "ref": "main"},
                "First",
            ),
            ("git.log", {"paths": ["file0.txt"], "patch": True}, "+First commit"),
            ("git.diff", {}, "+changed"),
            ("git.diff", {"stat": True, "paths": ["file1.txt"]}, "1 file changed"),
            ("git.show", {}, "Second commit"),
            ("git.show", {"ref": "HEAD~1", "stat": True}, "First commit"),
        ):
            ran = await host.call(name, workspace=repository, **arguments)
            assert ran.decision.outcome == "allow", name
            assert ran.command.exit_code == 0, (name, ran.command)
            assert shown in ran.command.stdout.decode(), (name, ran.command)

    bench.run(scenario)


def test_staging_is_allowed_and_a_commit_asks(bench: Bench, git_repository: Callable[..., Path]) -> None:
    repository = git_repository("First commit")
    (repository / "new.txt").write_text("new\n")

    async def scenario(host: Running) -> None:
        added = await host.call("git.add", workspace=repository, paths=["new.txt"])
        assert added.decision.outcome == "allow"
        assert added.command.stdout == b"add 'new.txt'\n"
        staged = await host.call("git.diff", workspace=repository, staged=True)
        assert b"+new" in staged.command.stdout
        committed = await host.call("git.commit", workspace=repository, message="Add; $(id) 'new'")
        assert committed.decision.outcome == "ask"
        assert committed.command.exit_code == 0, committed.command
        shown = await host.call("git.log", workspace=repository, limit=1)
        assert b"Add; $(id) 'new'" in shown.command.stdout
        assert b"Author: ada" in shown.command.stdout

    bench.run(scenario)


def test_a_push_is_denied_with_its_rule(bench: Bench) -> None:
    async def scenario(host: Running) -> None:
        considered = host.consider("git.push", {})
        assert considered.decision.outcome == "deny"
        assert considered.decision.source is not None
        assert considered.decision.source.startswith("git.toml:")

    bench.run(scenario)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("git.log", {"ref": "--output=/workspace/x"}),
        ("git.show", {"ref": "--ext-diff"}),
        ("git.diff", {"paths": ["/etc/passwd"]}),
        ("git.diff", {"paths": ["../other"]}),
        ("git.add", {"paths": ["../other"]}),
    ],
)
def test_a_value_never_becomes_an_option_or_leaves_the_workspace(
    bench: Bench, tool: str, arguments: dict[str, Any]
) -> None:
    async def scenario(host: Running) -> None:
        denied(host, tool, **arguments)

    bench.run(scenario)


def test_what_a_repository_configures_is_not_run(bench: Bench, git_repository: Callable[..., Path]) -> None:
    repository = git_repository("First commit")
    canary = repository / "PWN"
    command = "touch /workspace/PWN"
    with (repository / ".git" / "config").open("a") as file:
        file.write(
            f"[core]\n\tfsmonitor = {command}\n\tpager = {command}\n\teditor = {command}\n\thooksPath = .hooks\n"
        )
        file.write(f'[diff "x"]\n\ttextconv = {command}\n\tcommand = {command}\n[diff]\n\texternal = {command}\n')
        file.write(f'[gpg]\n\tprogram = {command}\n[log]\n\tshowSignature = true\n[filter "x"]\n\tclean = {command}\n')
        file.write("[commit]\n\tgpgSign = true\n")
    (repository / ".gitattributes").write_text("* diff=x filter=x\n")
    hooks = repository / ".hooks"
    hooks.mkdir()
    for hook in ("pre-commit", "post-commit", "commit-msg", "post-index-change"):
        (hooks / hook).write_text(f"#!/bin/sh\n{command}\n")
        (hooks / hook).chmod(0o755)
    (repository / "file0.txt").write_text("changed\n")

    async def scenario(host: Running) -> None:
        for name, arguments in (
            ("git.status", {}),
            ("git.log", {"patch": True}),
            ("git.diff", {}),
            ("git.show", {}),
            ("git.add", {"paths": ["file0.txt"]}),
            ("git.commit", {"message": "x", "all": True}),
        ):
            await host.call(name, workspace=repository, **arguments)
            assert not canary.exists(), name

    bench.run(scenario)


# -- shell and system --------------------------------------------------------------------------------------------------


def test_a_script_asks_and_sees_its_workspace_and_its_programs_only(bench: Bench) -> None:
    (bench.workspace / "a.txt").write_text("hello\n")

    async def scenario(host: Running) -> None:
        ran = await host.call("shell.run", script="cat a.txt | tr a-z A-Z; pwd; exit 3")
        assert ran.decision.outcome == "ask"
        assert (ran.command.stdout, ran.command.exit_code) == (b"HELLO\n/workspace\n", 3)
        ran = await host.call("shell.run", script="cat /etc/passwd; curl http://127.0.0.1; echo > /dev/tcp/127.0.0.1/9")
        assert ran.command.exit_code != 0
        assert b"root:" not in ran.command.stdout

    bench.run(scenario)


def test_a_command_of_the_shell_plugin_that_no_rule_grants_is_denied(bench: Bench) -> None:
    # The same tool under a policy that grants nothing.
    (bench.policies / "shell.toml").write_text('plugin = "shell"\n')

    async def scenario(host: Running) -> None:
        assert denied(host, "shell.run", script="true")

    bench.run(scenario)


def test_the_machine_is_looked_at(bench: Bench) -> None:
    async def scenario(host: Running) -> None:
        for name, arguments, shown in (
            ("system.uname", {}, "Linux"),
            ("system.df", {}, "Filesystem"),
            ("system.uptime", {}, "load average"),
            ("system.logs", {}, "dpkg.log"),
            ("system.log", {"path": "/var/log/dpkg.log", "lines": 1}, "\n"),
        ):
            ran = await host.call(name, **arguments)
            assert ran.decision.outcome == "allow", name
            assert ran.command.exit_code == 0, (name, ran.command)
            assert shown in ran.command.stdout.decode(), name
        assert (await host.call("system.du", path="/var/log")).decision.outcome == "ask"
        denied(host, "system.log", path="/etc/shadow")
        denied(host, "system.logs", path="/etc")

    bench.run(scenario)
