"""What a plugin asks for, what it is granted, and what the packaged policies gained."""

import json
from pathlib import Path

import pytest
from driver import own

MANIFEST = """name = "echo"
version = "1.0"
about = "Says things."

[[tools]]
name = "say"
about = "Say a word."
command = "echo {word}"
input.word = { type = "string" }
"""
REQUEST = 'plugin = "echo"\nruns_code = ["python3"]\n[commands]\nallow = ["echo {text}", "python3 -c {text}"]\n'


@pytest.fixture
def echo(data: Path) -> Path:
    """The request of a dropped-in plugin that nothing grants."""
    folder = data / "plugins" / "echo"
    folder.mkdir()
    (folder / "plugin.toml").write_text(MANIFEST)
    (folder / "policy.request.toml").write_text(REQUEST)
    own(data / "plugins")
    return folder / "policy.request.toml"


def listed(toolhost) -> str | None:
    done = toolhost("plugin", "list", "--output", "json")
    return {plugin["name"]: plugin for plugin in json.loads(done.stdout)}["echo"]["request"]


def test_a_request_grants_nothing_until_a_person_has_read_it_and_agreed(toolhost, terminal, echo, data) -> None:
    target = data / "policies" / "echo.toml"
    assert listed(toolhost) == "asks_more"
    assert toolhost("call", "echo.say", "word=hello").returncode == 3
    done = toolhost("plugin", "enable", "echo")
    assert done.returncode == 4, done.stderr
    said = done.stdout.splitlines()
    assert said[1] == "  It runs `python3 -c {text}` without asking; python3 runs any code it is given."
    assert "  It runs `echo {text}` without asking." in said
    assert REQUEST in done.stdout
    for answer, code in (("n\n", 4), ("y\n", 0)):
        assert not target.exists()
        asked = terminal("plugin", "enable", "echo")
        asked.wait_for("Grant this to echo? [y/N] ")
        asked.type(answer)
        assert asked.end() == code, asked.shown
    assert target.read_text() == "#:schema ./policy.schema.json\n" + REQUEST
    assert toolhost("call", "echo.say", "word=hello").stdout == "hello\n"
    assert listed(toolhost) == "granted"
    assert "echo is enabled" in toolhost("plugin", "enable", "echo", "--yes").stdout

    # What was taken back is shown again before it is put back.
    assert toolhost("plugin", "disable", "echo").returncode == 0
    assert not target.exists()
    assert toolhost("call", "echo.say", "word=hello").returncode == 3
    assert "[not_enabled]" in toolhost("plugin", "disable", "echo").stderr
    done = toolhost("plugin", "enable", "echo", "--yes")
    assert done.returncode == 0, done.stderr
    assert "was granted" in done.stdout
    assert [path.name for path in target.parent.glob("echo*")] == ["echo.toml"]
    events = (data / "state" / "audit.log").read_text()
    assert '"plugin.enabled"' in events
    assert '"plugin.disabled"' in events


def test_what_a_plugin_asks_beyond_its_grant_is_told_and_never_written(toolhost, echo, data) -> None:
    target = data / "policies" / "echo.toml"
    hand = 'plugin = "echo"\nruns_code = []\n[commands]\nallow = ["echo {text}", "ls"]\n'
    target.write_text(hand)
    own(target)
    done = toolhost("policy", "diff", "echo")
    assert done.returncode == 1, done.stderr
    assert "wider: echo: It runs `python3 -c {text}` without asking" in done.stdout
    assert "policy.request.toml:4)" in done.stdout
    assert "ls" not in done.stdout
    done = toolhost("plugin", "enable", "echo", "--yes")
    assert done.returncode == 2
    assert "[grant_exists]" in done.stderr
    assert "policy diff echo" in done.stderr
    assert target.read_text() == hand
    assert "asks more than granted" in toolhost("plugin", "list").stdout
    target.write_text(REQUEST.replace('"echo {text}"', '"echo {text}", "ls"'))
    assert toolhost("policy", "diff", "echo").returncode == 0


def test_a_request_that_is_no_policy_is_answered_with_its_place(toolhost, echo, data) -> None:
    echo.write_text('plugin = "echo"\n[commands]\nallow = ["echo {nothing}"]\n')
    own(echo)
    done = toolhost("plugin", "enable", "echo", "--yes")
    assert done.returncode == 2
    assert f"{echo}:3:" in done.stderr
    assert "[policy_invalid]" in done.stderr
    assert not (data / "policies" / "echo.toml").exists()
    assert listed(toolhost) == "invalid"
    echo.unlink()
    toolhost("plugin", "accept", "echo", "--yes")
    done = toolhost("plugin", "enable", "echo", "--yes")
    assert "[request_missing]" in done.stderr
    assert listed(toolhost) is None
    assert "[request_missing]" in toolhost("policy", "diff", "echo").stderr
    assert "[unknown_plugin]" in toolhost("plugin", "disable", "../echo").stderr


def test_what_the_packaged_policies_gained_is_told_until_it_is_in_force(toolhost, data) -> None:
    seeded = data / "state" / "seeded" / "system.toml"
    target = data / "policies" / "system.toml"
    assert seeded.read_bytes() == target.read_bytes()
    done = toolhost("policy", "diff", "--shipped")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    # As if the package had come with less, and the administrator had changed nothing but the sentence.
    packaged, older = target.read_text(), 'plugin = "system"\nabout = "Mine."\n[commands]\nallow = ["uname"]\n'
    for file in (seeded, target):
        file.unlink()
        file.write_text(older)
        own(file)
    done = toolhost("policy", "diff", "--shipped")
    assert done.returncode == 1, done.stderr
    assert "wider: system: It runs `" in done.stdout
    assert "(packaged system.toml:" in done.stdout
    assert toolhost("policy", "diff", "--shipped", "git").stdout == ""
    target.write_text(packaged)
    assert toolhost("policy", "diff", "--shipped").returncode == 0
    # A data directory from before this was kept: the files in force tell.
    seeded.unlink()
    target.write_text(older)
    assert toolhost("policy", "diff", "--shipped").returncode == 1
    assert "[invalid_arguments]" in toolhost("policy", "diff").stderr
