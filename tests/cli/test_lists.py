"""`toolhost tools`, `plugin list`, `user add` and the command itself."""

import json
import sqlite3
from pathlib import Path

import pytest


def test_tools_lists_what_the_policies_grant(toolhost) -> None:
    done = toolhost("tools")
    assert done.returncode == 0, done.stderr
    for name in ("files.read", "git.log", "shell.run", "system.uname"):
        assert f"\n{name}" in f"\n{done.stdout}"
    tools = json.loads(toolhost("tools", "--output", "json").stdout)
    assert [tool["name"] for tool in tools] == sorted(tool["name"] for tool in tools)
    assert all(tool["about"] and tool["input_schema"]["additionalProperties"] is False for tool in tools)


def test_a_plugin_without_a_policy_has_no_tools_for_anybody(toolhost, policies: Path) -> None:
    (policies / "git.toml").unlink()
    assert "\ngit." not in "\n" + toolhost("tools").stdout
    done = toolhost("call", "git.log")
    assert done.returncode in (2, 3)


def test_plugin_list_shows_the_bundled_ones(toolhost) -> None:
    plugins = json.loads(toolhost("plugin", "list", "--output", "json").stdout)
    states = {plugin["name"]: (plugin["state"], plugin["kind"], plugin["policy"]) for plugin in plugins}
    assert states["files"] == ("active", "python", "files.toml")
    assert states["git"] == ("active", "toml", "git.toml")
    text = toolhost("plugin", "list").stdout
    assert all(name in text for name in states)


def test_a_broken_plugin_is_shown_with_its_reason_and_stops_nothing(toolhost, space: Path, environment) -> None:
    broken = space / "plugins" / "broken"
    broken.mkdir(parents=True)
    (broken / "plugin.toml").write_text('name = "broken"\nversion = "1"\nnonsense = 1\n[[tools]]\n')
    environment["TOOLHOST_PLUGINS"] = str(space / "plugins")
    done = toolhost("plugin", "list", "--output", "json")
    assert done.returncode == 0, done.stderr
    plugins = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    assert plugins["broken"]["state"] == "quarantined"
    assert "nonsense" in plugins["broken"]["reason"]
    assert plugins["git"]["state"] == "active"
    assert toolhost("call", "system.uname").returncode == 0


def test_user_add_creates_somebody_who_is_not_stored_in_clear(toolhost, data: Path) -> None:
    done = toolhost("user", "add", "ada", "--role", "admin", "--password-stdin", stdin="a long enough phrase\n")
    assert done.returncode == 0, done.stderr
    assert "ada" in done.stdout
    connection = sqlite3.connect(data / "state" / "toolhost.db")
    rows = connection.execute("SELECT username, role, password_hash FROM users").fetchall()
    connection.close()
    assert [(name, role) for name, role, _ in rows] == [("ada", "admin")]
    assert rows[0][2].startswith("$argon2id$")
    assert b"a long enough phrase" not in (data / "state" / "audit.log").read_bytes()


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["ada"], "short\n"),
        (["ada"], "\n"),
        (["ada"], ""),
        (["ada", "--role", "king"], "a long enough phrase\n"),
        (["a b"], "a long enough phrase\n"),
    ],
)
def test_user_add_refuses_what_cannot_be(toolhost, words, stdin) -> None:
    done = toolhost("user", "add", *words, "--password-stdin", stdin=stdin)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_a_name_is_taken_once(toolhost) -> None:
    for expected in (0, 2):
        done = toolhost("user", "add", "ada", "--password-stdin", stdin="a long enough phrase\n")
        assert done.returncode == expected
    assert "[username_taken]" in done.stderr


def test_user_add_without_a_terminal_wants_the_password_on_stdin(toolhost) -> None:
    done = toolhost("user", "add", "ada")
    assert done.returncode == 2
    assert "--password-stdin" in done.stderr


def test_help_and_version_need_nothing(toolhost) -> None:
    assert "Commands:" in toolhost("--help", env={"TOOLHOST_DATA": "/proc/nowhere"}).stdout
    assert toolhost("--version").stdout == "0.1.0\n"
    for command in ("call", "tools", "serve", "doctor", "policy check", "policy explain", "plugin list", "user add"):
        done = toolhost(*command.split(), "--help", env={"TOOLHOST_DATA": "/proc/nowhere"})
        assert done.returncode == 0
        assert done.stdout.startswith(f"Usage: toolhost {command}")


def test_an_unknown_command_or_option_is_exit_2(toolhost) -> None:
    assert toolhost("cal").returncode == 2
    assert toolhost("tools", "--loud").returncode == 2
