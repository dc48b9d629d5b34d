"""`plugin.toml`: what is accepted, and how what is not is explained."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.errors import PluginError
from toolhost.pluginhost.manifest import read_manifest

GOOD = """\
name = "weather"
version = "1.0"
about = "Ask for the weather."
requires_host = ">=0.1,<1"

[[tools]]
name = "today"
about = "Today's weather."
command = "curl [--max-time {seconds}] [--silent?quiet] {place} {words...}"
input.place = { type = "string" }
input.seconds = { type = "integer" }
input.quiet = { type = "boolean", default = true }
input.words = { type = "array", items = { type = "string" }, default = [] }
"""


def read(folder: Path, text: str | bytes) -> object:
    (folder / "plugin.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_manifest(folder / "plugin.toml")


def test_a_manifest_of_command_tools_is_read(tmp_path: Path) -> None:
    (tmp_path / "plugin.toml").write_text(GOOD)
    manifest = read_manifest(tmp_path / "plugin.toml")
    assert (manifest.name, manifest.version, manifest.module) == ("weather", "1.0", None)
    (tool,) = manifest.tools
    assert tool.command.cwd == "{workspace}"
    assert tool.input_schema["additionalProperties"] is False
    # Required: no default, and used outside of brackets.
    assert tool.input_schema["required"] == ["place"]


def test_a_python_plugin_names_its_module(tmp_path: Path) -> None:
    (tmp_path / "plugin.toml").write_text('name = "weather"\nversion = "1"\nmodule = "weather.plugin"\n')
    assert read_manifest(tmp_path / "plugin.toml").module == "weather.plugin"


TOOL = '[[tools]]\nname = "t"\nabout = "A tool."\n'
HEAD = 'name = "weather"\nversion = "1"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "plugin.toml:1: `name` is missing."),
        ('name = "weather"\n', "`version` is missing"),
        ('name = "weather"\nversion = 1\nmodule = "m"', "plugin.toml:2: `version` is a text in quotes, not int."),
        ('name = "Weather"\nversion = "1"\nmodule = "m"', "plugin.toml:1: 'Weather' cannot be a plugin's name."),
        ('name = "host"\nversion = "1"\nmodule = "m"', "plugin.toml:1: 'host' cannot be a plugin's name."),
        ('name = "../x"\nversion = "1"\nmodule = "m"', "cannot be a plugin's name"),
        (HEAD, "a plugin has either a `module`, or an `mcp` server, or [[tools]]"),
        (
            HEAD + 'module = "m"\n' + TOOL + 'command = "ls"',
            "a plugin has either a `module`, or an `mcp` server, or [[tools]]",
        ),
        (HEAD + 'module = "m; import os"', "plugin.toml:3: 'm; import os' is not the dotted name"),
        (HEAD + 'modul = "m"', "plugin.toml:3: unknown key 'modul'."),
        (HEAD + "tools = 3", "plugin.toml:3: `tools` is a list of tables"),
        (HEAD + '[[tools]]\nname = "t"\ncommand = "ls"', "`about` is missing"),
        (
            HEAD + '[[tools]]\nname = "a b"\nabout = "x"\ncommand = "ls"',
            "plugin.toml:4: 'a b' cannot be a tool's name.",
        ),
        (HEAD + (TOOL + 'command = "ls"\n') * 2, "plugin.toml:8: there are two tools named 't'."),
        (HEAD + TOOL + 'command = "ls"\nshell = true', "plugin.toml:7: unknown key 'shell'."),
        (
            HEAD + TOOL + 'command = "ls {a}"',
            "plugin.toml:6: in 'ls {a}', character 4: the command names the input 'a'",
        ),
        (
            HEAD + TOOL + 'command = "ls"\ninput.a = { type = "string" }',
            "'a' is declared, but the command never uses it",
        ),
        (HEAD + TOOL + 'command = "ls [-l"', "plugin.toml:6: in 'ls [-l', character 4: `[` is never closed"),
        (HEAD + TOOL + 'command = "ls [-l]"', "brackets hold exactly one input"),
        (HEAD + TOOL + 'command = "ls ..."', "`...` belongs to policies"),
        (
            HEAD + TOOL + 'command = "{a}"\ninput.a = { type = "string" }',
            "a command starts with the name of its program",
        ),
        (HEAD + TOOL + 'command = "./ls"', "a program is a name or an absolute path"),
        (HEAD + TOOL + 'command = "ls {a}"\ninput.a = { type = "array" }', "'a' is a list: write {a...}"),
        (
            HEAD + TOOL + 'command = "ls {a...}"\ninput.a = { type = "string" }',
            "takes a list, and 'a' is of type string",
        ),
        (HEAD + TOOL + 'command = "ls [-l?a]"\ninput.a = { type = "string" }', "[--flag?a] takes a boolean"),
        (HEAD + TOOL + 'command = "ls {a}"\ninput.a = { type = "boolean" }', "a boolean is written [--flag?a]"),
        (HEAD + TOOL + 'command = "ls {a}"\ninput.a = { type = "object" }', "{a} cannot be of type object"),
        (HEAD + TOOL + 'command = "ls {a}"\ninput.a = "string"', "the input 'a' is a JSON Schema"),
        (HEAD + TOOL + 'command = "ls {a}"\ninput.a = { type = "strin" }', "the schema of 'a' is not a JSON Schema"),
        (
            HEAD + TOOL + 'command = "ls {a}"\ninput.a = { type = "string", format = "read-pth" }',
            "the schema of 'a' has the format 'read-pth', which says nothing: is 'read-path' meant?",
        ),
        (
            HEAD + TOOL + 'command = "ls {a...}"\ninput.a = { type = "array", items = { format = "write_path" } }',
            "the schema of 'a' has the format 'write_path', which says nothing: is 'write-path' meant?",
        ),
        (HEAD + TOOL + 'command = "ls {a}"\ninput.a = {}', "the schema of 'a' says no `type`"),
        (
            HEAD + TOOL + 'command = "ls {a}"\ninput.a = { type = "string", "$ref" = "http://127.0.0.1:1/x" }',
            "refers to 'http://127.0.0.1:1/x', and other documents are not fetched",
        ),
        (
            HEAD + TOOL + 'command = "ls {a}"\ninput.a = { type = "string", pattern = "(a)\\\\1" }',
            "plugin.toml:7: the schema of 'a' is not a JSON Schema",
        ),
        (HEAD + TOOL + 'command = "ls"\ncwd = "sub"', "plugin.toml:7: `cwd` is {workspace} or an absolute folder"),
        (HEAD + TOOL + 'command = "ls"\ncwd = "/a/../etc"', "`cwd` is {workspace} or an absolute folder"),
        (HEAD + "name = 'again'", "plugin.toml:3: "),
        (HEAD + 'module = "m"\nconfig.a = 1', "plugin.toml:4: the setting 'a' is a JSON Schema"),
        (HEAD + 'module = "m"\nconfig.a = { default = 1 }', "the schema of 'a' says no `type`"),
        (
            HEAD + 'module = "m"\nconfig.a = { type = "integer", default = "x" }',
            """plugin.toml:4: the default of 'a': "x" is not of type "integer".""",
        ),
        (HEAD + 'module = "m"\nconfig."a b" = { type = "string" }', "'a b' can be the name of no setting"),
        (
            HEAD + 'config.a = { type = "string" }\n' + TOOL + 'command = "ls"',
            "settings are handed to the code of a Python plugin",
        ),
        (b"name = '\xff'\n", "plugin.toml:1: "),
        (b"#" * (300 << 10), "the file is larger than"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(PluginError) as raised:
        read(tmp_path, text)
    assert raised.value.code == "invalid_manifest"
    assert message in raised.value.message
    assert raised.value.message.endswith(".")


def test_an_unknown_key_is_answered_with_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(PluginError) as raised:
        read(tmp_path, HEAD + TOOL + 'comand = "ls"')
    assert raised.value.hint == "Did you mean 'command'?"


def test_the_settings_of_a_python_plugin_are_declared_in_its_manifest(tmp_path: Path) -> None:
    text = HEAD + 'module = "m"\nconfig.site = { type = "string" }\nconfig.limit = { type = "integer", default = 3 }\n'
    (tmp_path / "plugin.toml").write_text(text)
    manifest = read_manifest(tmp_path / "plugin.toml")
    assert manifest.config == {"site": {"type": "string"}, "limit": {"type": "integer", "default": 3}}


def test_an_mcp_server_is_named_by_its_command(tmp_path: Path) -> None:
    (tmp_path / "plugin.toml").write_text(HEAD + 'mcp = ["node", "/plugin/server.js", "--flag"]\n')
    assert read_manifest(tmp_path / "plugin.toml").mcp == ("node", "/plugin/server.js", "--flag")


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ('"node server.js"', '`mcp` is a list of words, as in ["node", "--flag"]'),
        ("[]", "a list of words, its program first"),
        ('["node", 1]', "a list of words, its program first"),
        ('["./server"]', "a program is a name or an absolute path"),
        ('["node", "a\\u0007"]', "printable"),
    ],
)
def test_a_command_that_is_none_is_refused(tmp_path: Path, words: str, wrong: str) -> None:
    with pytest.raises(PluginError) as raised:
        read(tmp_path, HEAD + f"mcp = {words}")
    assert wrong in raised.value.message
    assert raised.value.message.startswith("plugin.toml:")


def test_a_missing_manifest_says_which_folder(tmp_path: Path) -> None:
    with pytest.raises(PluginError) as raised:
        read_manifest(tmp_path / "plugin.toml")
    assert raised.value.code == "manifest_missing"
    assert str(tmp_path) in raised.value.message


def test_a_manifest_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "plugin.toml")
    with pytest.raises(PluginError, match="not a regular file"):
        read_manifest(tmp_path / "plugin.toml")


def test_control_and_direction_characters_of_a_description_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "plugin.toml").write_text(GOOD.replace("Today's weather.", "Safe\\u202e\\u001b[2J tool."))
    (tool,) = read_manifest(tmp_path / "plugin.toml").tools
    assert tool.about == "Safe[2J tool."


@given(st.text(max_size=300))
def test_no_text_makes_the_reader_fail_in_another_way(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    with pytest.raises(PluginError):
        read(folder, (HEAD + "about = " + text).encode("utf-8", "surrogatepass"))
