"""Command tools: how a template and arguments become an argument vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.errors import UsageError
from toolhost.model import CommandTemplate, Tool
from toolhost.pluginhost.command import expand


def tool(template: str, **inputs: Mapping[str, Any]) -> Tool:
    return Tool(
        name="p.t",
        plugin="p",
        about="A tool.",
        input_schema={"type": "object", "properties": inputs, "required": [], "additionalProperties": False},
        command=CommandTemplate(text=template),
    )


STRING = {"type": "string"}
LIST = {"type": "array", "items": STRING}
FLAG = {"type": "boolean"}


@pytest.mark.parametrize(
    ("made", "arguments", "argv"),
    [
        (tool("sh -c {script}", script=STRING), {"script": "a; b 'c d' $(e)"}, ("sh", "-c", "a; b 'c d' $(e)")),
        (tool("ls {paths...}", paths=LIST), {"paths": ["a b", "*", ""]}, ("ls", "a b", "*", "")),
        (tool("ls {paths...}", paths=LIST), {"paths": []}, ("ls",)),
        (tool("log [-n {count}]", count={"type": "integer"}), {}, ("log",)),
        (tool("log [-n {count}]", count={"type": "integer"}), {"count": 0}, ("log", "-n", "0")),
        (tool("log [-n {count}]", count={"type": "integer", "default": 5}), {}, ("log", "-n", "5")),
        (tool("log [-- {paths...}]", paths=LIST), {"paths": []}, ("log",)),
        (tool("log [-- {paths...}]", paths=LIST), {"paths": ["a", "b"]}, ("log", "--", "a", "b")),
        (tool("ls [--all?all] [-l?long]", all=FLAG, long=FLAG), {"all": True, "long": False}, ("ls", "--all")),
        (tool("ls [-l?long]", long={"type": "boolean", "default": True}), {}, ("ls", "-l")),
        (tool("calc {x}", x={"type": "number"}), {"x": 1.5}, ("calc", "1.5")),
        (tool("echo \\{x\\} what?", y=STRING), {}, ("echo", "{x}", "what?")),
    ],
)
def test_a_template_is_expanded(made: Tool, arguments: dict[str, Any], argv: tuple[str, ...]) -> None:
    assert expand(made, arguments) == argv


@pytest.mark.parametrize("value", ["a\0b", "\ud800", None, True, {"a": 1}, ["a"]])
def test_a_value_that_is_no_word_is_refused(value: object) -> None:
    with pytest.raises(UsageError) as raised:
        expand(tool("echo {x}", x=STRING), {"x": value})
    assert raised.value.code == "invalid_arguments"


def test_a_missing_input_is_named() -> None:
    with pytest.raises(UsageError, match="needs the argument 'x'"):
        expand(tool("echo {x}", x=STRING), {})


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=5))
def test_a_value_is_always_exactly_one_word(values: list[str]) -> None:
    made = tool("run -- {first} [--more {rest...}]", first=STRING, rest=LIST)
    argv = expand(made, {"first": "x", "rest": values})
    assert argv == ("run", "--", "x", *(("--more", *values) if values else ()))
