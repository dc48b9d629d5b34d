"""The bundled plugins that are command tools, really run under their packaged policies."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundled import bundled_tools
from hosted import Hosted
from pluginbench import BUNDLED, POLICIES

SAMPLES: dict[str, Any] = {
    **dict.fromkeys(("path", "old", "new", "source", "target", "archive", "into", "database", "pattern", "diff"), "x"),
    **dict.fromkeys(("content", "script", "message", "sql", "expression", "branch", "ref", "code", "name"), "x"),
    **{name: ["x"] for name in ("paths", "sources")},
    "version": "HEAD:x",
    "url": "https://example.org/",
}
"""Something for every required input of every tool."""


def test_every_bundled_tool_has_a_test_in_which_it_works() -> None:
    """Each is named by the mark of a test, and that test fails where the tool did not end well in it (conftest)."""
    named: dict[str, str] = {}
    for file in sorted(Path(__file__).parent.glob("**/test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            for mark in getattr(node, "decorator_list", ()):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.works":
                    named |= dict.fromkeys(map(ast.literal_eval, mark.args), file.name)
    assert set(named) == set(bundled_tools())


def test_without_rules_no_bundled_tool_runs(bundled_host: Hosted, workspace: Path) -> None:
    """The denial that every tool has: a policy that grants nothing, whatever it is called with."""
    for name in BUNDLED:
        bundled_host.write(name, f'plugin = "{name}"\n[paths]\nwrite = ["{{workspace}}"]\n')
    try:
        assert bundled_host.ask(do="reload")["problems"] == []
        for name, inputs in bundled_tools().items():
            arguments = {key: value for key, value in SAMPLES.items() if key in inputs}
            made = bundled_host.ask(tool=name, arguments=arguments, workspace=str(workspace), approve=True)
            assert made["error"]["code"] in ("unknown_tool", "no_rule", "cwd_outside_roots"), (name, made["error"])
    finally:
        for name in BUNDLED:
            bundled_host.write(name, (POLICIES / f"{name}.toml").read_text())
        assert bundled_host.ask(do="reload")["problems"] == []


# -- git ---------------------------------------------------------------------------------------------------------------


@pytest.mark.works(
    "git.status",
    "git.log",
    "git.diff",
    "git.show",
    "git.file",
    "git.blame",
    "git.branches",
    "git.tags",
)
def test_a_repository_is_looked_into(in_repository: Callable[..., Any]) -> None:
    ada = in_repository("First commit", "Second commit", "Accents: é")
    subprocess.run(["git", "-c", "safe.directory=*", "tag", "v1.0"], cwd=ada.workspace, check=True, timeout=30)
    (ada.workspace / "file1.txt").write_text("changed\n")
    (ada.workspace / "naïve name.txt").touch()
    for name, arguments, shown in (
        ("status", {}, "## main\n M file1.txt\n?? "),
        ("status", {}, "naïve name.txt"),
        ("log", {"limit": 1}, "Accents: é"),
        ("log", {"limit": 1, "skip": 1}, "Second commit"),
        ("log", {"oneline": True, "stat": True, "author": "Ada", "since": "2000-01-01", "ref": "main"}, "First"),
        ("log", {"grep": "First", "all": True, "until": "2099-01-01"}, "First"),
        ("log", {"contains": "Second", "patch": True}, "+Second commit"),
        ("log", {"paths": ["file0.txt"], "patch": True}, "+First commit"),
        ("diff", {}, "+changed"),
        ("diff", {"context": 0, "ignore_space": True}, "@@ -1 +1 @@"),
        ("diff", {"stat": True, "paths": ["file1.txt"]}, "1 file changed"),
        ("diff", {"ref": "HEAD~2..HEAD~1"}, "+Second commit"),
        ("show", {}, "Accents: é"),
        ("show", {"ref": "HEAD~2", "stat": True}, "First commit"),
        ("file", {"version": "HEAD~1:file1.txt"}, "Second commit\n"),
        ("blame", {"path": "file0.txt", "lines": "1,+1"}, "First commit"),
        ("branches", {"all": True}, "* main"),
        ("tags", {}, "v1.0"),
    ):
        result = ada.call(f"git.{name}", approve=False, **arguments)
        assert result["status"] == "ok", (name, result)
        assert shown in result["stdout"], (name, result["stdout"])


@pytest.mark.works(
    "git.add",
    "git.commit",
    "git.restore",
    "git.stash",
    "git.stash_list",
    "git.stash_show",
    "git.stash_pop",
    "git.create_branch",
    "git.switch",
)
def test_history_and_files_change_only_after_a_question(in_repository: Callable[..., Any]) -> None:
    ada = in_repository("First commit")
    (ada.workspace / "new.txt").write_text("new\n")
    assert ada.call("git.add", approve=False, paths=["new.txt"])["stdout"] == "add 'new.txt'\n"
    assert "+new" in ada.text("git.diff", staged=True)
    assert ada.decided("git.commit", message="x") == "ask"
    ada.text("git.commit", message="Add; $(id) 'new'")
    shown = ada.text("git.log", limit=1)
    assert "Add; $(id) 'new'" in shown
    assert "Author: ada" in shown

    file = ada.workspace / "new.txt"
    file.write_text("changed\n")
    assert ada.decided("git.restore", paths=["new.txt"]) == "ask"
    for magic in (":/", ":!file0.txt", ":(top)new.txt"):  # Git's words for more than the one file that was asked about
        assert ada.call("git.restore", paths=[magic])["status"] == "error"
        assert file.read_text() == "changed\n"
    ada.text("git.add", paths=["new.txt"])
    ada.text("git.restore", paths=["new.txt"], staged=True)
    assert file.read_text() == "changed\n"
    assert ada.decided("git.stash") == "ask"
    ada.text("git.stash", message="for later")
    assert file.read_text() == "new\n"
    assert "for later" in ada.text("git.stash_list")
    assert "+changed" in ada.text("git.stash_show")
    assert ada.decided("git.stash_pop") == "ask"
    ada.text("git.stash_pop")
    assert file.read_text() == "changed\n"
    ada.text("git.restore", paths=["new.txt"])
    assert file.read_text() == "new\n"

    assert ada.decided("git.create_branch", branch="topic") == "ask"
    ada.text("git.create_branch", branch="topic", start="HEAD~1")
    assert not file.exists()
    assert ada.decided("git.switch", branch="main") == "ask"
    ada.text("git.switch", branch="main")
    assert file.exists()
    assert "* main" in ada.text("git.branches")


def test_a_push_is_denied_with_its_rule(in_repository: Callable[..., Any]) -> None:
    result = in_repository().call("git.push")
    assert result["decision"]["outcome"] == "deny"
    assert result["decision"]["source"].startswith("git.toml:")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("git.log", {"ref": "--output=/workspace/x"}),
        ("git.show", {"ref": "--ext-diff"}),
        ("git.diff", {"paths": ["/etc/passwd"]}),
        ("git.diff", {"paths": ["../other"]}),
        ("git.add", {"paths": ["../other"]}),
        ("git.blame", {"path": "/etc/passwd"}),
        ("git.restore", {"paths": ["../other"]}),
        ("git.switch", {"branch": "--discard-changes"}),
        ("git.create_branch", {"branch": "-f"}),
    ],
)
def test_a_value_never_becomes_an_option_or_leaves_the_workspace(ada, tool: str, arguments: dict[str, Any]) -> None:
    assert ada.denied(tool, **arguments)


def test_what_a_repository_configures_is_not_run(in_repository: Callable[..., Any]) -> None:
    ada = in_repository("First commit")
    repository = ada.workspace
    canary = repository / "PWN"
    command = "touch /workspace/PWN"
    with (repository / ".git" / "config").open("a") as file:
        file.write(
            f"[core]\n\tfsmonitor = {command}\n\tpager = {command}\n\teditor = {command}\n\thooksPath = .hooks\n"
        )
        file.write(f'[diff "x"]\n\ttextconv = {command}\n\tcommand = {command}\n[diff]\n\texternal = {command}\n')
        file.write(f'[gpg]\n\tprogram = {command}\n[log]\n\tshowSignature = true\n[filter "x"]\n\tclean = {command}\n')
        file.write(f"\tsmudge = {command}\n[commit]\n\tgpgSign = true\n")
    (repository / ".gitattributes").write_text("* diff=x filter=x\n")
    hooks = repository / ".hooks"
    hooks.mkdir()
    for hook in ("pre-commit", "post-commit", "commit-msg", "post-index-change", "post-checkout"):
        (hooks / hook).write_text(f"#!/bin/sh\n{command}\n")
        (hooks / hook).chmod(0o755)
    (repository / "file0.txt").write_text("changed\n")
    for name, arguments in (
        ("status", {}),
        ("log", {"patch": True}),
        ("diff", {}),
        ("show", {}),
        ("file", {"version": "HEAD:file0.txt"}),
        ("blame", {"path": "file0.txt"}),
        ("add", {"paths": ["file0.txt"]}),
        ("stash", {}),
        ("stash_show", {}),
        ("stash_pop", {}),
        ("commit", {"message": "x", "all": True}),
        ("create_branch", {"branch": "topic", "start": "HEAD"}),
        ("restore", {"paths": ["file0.txt"]}),
    ):
        ada.call(f"git.{name}", **arguments)
        assert not canary.exists(), name


def test_git_is_not_started_again_by_what_a_repository_or_its_submodule_says(in_repository: Callable[..., Any]) -> None:
    """No shell is inside, but git is: with an alias or a transport it could be told to do what no rule allows."""
    ada = in_repository("First commit")
    repository = ada.workspace
    inner = repository / "inner"

    def git(*words: str) -> str:
        who = ("-c", "safe.directory=*", "-c", "user.name=x", "-c", "user.email=x")
        done = subprocess.run(["git", *who, *words], cwd=inner, check=True, capture_output=True, text=True, timeout=30)
        return done.stdout.strip()

    inner.mkdir()
    git("init", "--quiet")
    (inner / "wr").write_text("one\n")
    git("add", "wr")
    git("commit", "--quiet", "--message", "x")
    git("-C", "..", "add", "inner")
    git("-C", "..", "commit", "--quiet", "--message", "x")
    (inner / "wr").write_text("two\n")
    git("commit", "--quiet", "--all", "--message", "y")
    writes = "log --output=/workspace/PWN --"
    (repository / ".gitmodules").write_text('[submodule "inner"]\n\tpath = inner\n\turl = ./inner\n\tignore = none\n')
    with (inner / ".git" / "config").open("a") as file:  # `git 2 ...` is taken for w2, `git wr ...` is for the file wr
        file.write("[core]\n\tfsmonitor = git\n[diff]\n\texternal = git\n[help]\n\tautocorrect = immediate\n")
        file.write(f"[alias]\n\tw2 = {writes}\n\twr = {writes}\n")
    lost = git("-C", "..", "rev-parse", "HEAD:file0.txt")
    (repository / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    with (repository / ".git" / "config").open("a") as file:
        file.write("[diff]\n\tsubmodule = diff\n[status]\n\tsubmoduleSummary = true\n")
        file.write("[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\tpartialClone = origin\n")
        file.write(
            f'[remote "origin"]\n\tpromisor = true\n\tpartialCloneFilter = blob:none\n\turl = ext::git {writes}\n'
        )
        file.write('[protocol "ext"]\n\tallow = always\n')
    for name, arguments in (
        ("status", {}),
        ("diff", {}),
        ("add", {"paths": ["inner"]}),
        ("show", {"ref": "HEAD~1"}),
        ("log", {"patch": True}),
        ("file", {"version": "HEAD:file0.txt"}),
        ("stash", {}),
        ("create_branch", {"branch": "topic", "start": "HEAD"}),
    ):
        said = ada.call(f"git.{name}", **arguments)
        assert not (repository / "PWN").exists(), (name, said["stdout"], said["stderr"])


# -- shell and system --------------------------------------------------------------------------------------------------


@pytest.mark.works("shell.run")
def test_a_script_asks_and_sees_its_workspace_and_its_programs_only(ada) -> None:
    (ada.workspace / "a.txt").write_text("hello\n")
    assert ada.decided("shell.run", script="true") == "ask"
    assert ada.text("shell.run", script="echo $((6 * 7))") == "42\n"
    ran = ada.call("shell.run", script="cat a.txt | tr a-z A-Z; pwd; exit 3")
    assert (ran["stdout"], ran["exit_code"]) == ("HELLO\n/workspace\n", 3)
    ran = ada.call("shell.run", script="cat /etc/passwd; curl http://127.0.0.1; echo > /dev/tcp/127.0.0.1/9")
    assert ran["exit_code"] != 0
    assert "root:" not in ran["stdout"]


@pytest.mark.works(
    "system.uname",
    "system.df",
    "system.memory",
    "system.cpus",
    "system.uptime",
    "system.logs",
    "system.log",
    "system.du",
)
def test_the_machine_is_looked_at(ada) -> None:
    for name, arguments, shown in (
        ("uname", {}, "Linux"),
        ("df", {}, "Filesystem"),
        ("memory", {}, "available"),
        ("cpus", {}, "\n"),
        ("uptime", {}, "load average"),
        ("logs", {}, "dpkg.log"),
        ("log", {"path": "/var/log/dpkg.log", "lines": 1}, "\n"),
    ):
        result = ada.call(f"system.{name}", approve=False, **arguments)
        assert result["status"] == "ok", (name, result)
        assert shown in result["stdout"], name
    assert ada.decided("system.du", path="/var/log") == "ask"
    assert "dpkg.log" in ada.text("system.du", path="/var/log/dpkg.log", depth=0)
    assert ada.denied("system.log", path="/etc/shadow")
    assert ada.denied("system.logs", path="/etc")
    assert ada.denied("system.du", path="/")
    assert ada.denied("system.df", paths=["/etc"])
