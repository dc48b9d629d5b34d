"""Arguments as people type them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.calls.arguments import prepare
from toolhost.calls.words import parse_line, parse_words
from toolhost.errors import UsageError
from toolhost.model import Tool

TOOL = Tool(
    name="demo.tool",
    plugin="demo",
    about="",
    input_schema={
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "limit": {"type": "integer", "default": 10, "maximum": 100},
            "deep": {"type": "boolean"},
            "paths": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name"],
        "additionalProperties": False,
    },
)


def test_values_take_the_type_of_the_schema() -> None:
    words = ["name=7", "limit=5", "deep=yes", "paths=a", "paths=b=c"]
    assert parse_words(TOOL, words) == {"name": "7", "limit": 5, "deep": True, "paths": ["a", "b=c"]}


def test_a_json_value_is_taken_as_it_is() -> None:
    assert parse_words(TOOL, ['paths:=["a", "b"]']) == {"paths": ["a", "b"]}


@pytest.mark.parametrize("word", ["name", "=x", "limit=many", "deep=perhaps", "paths:=[", ":=1"])
def test_a_word_that_is_no_argument_says_what_to_write(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_words(TOOL, [word])
    assert caught.value.code == "invalid_arguments"


def test_a_single_value_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_words(TOOL, ["name=a", "name=b"])


def test_a_slash_command_is_split_like_a_shell_would() -> None:
    assert parse_line('/demo.tool name="a b" paths=c') == ("demo.tool", ["name=a b", "paths=c"])


@pytest.mark.parametrize("line", ["/", "", '/demo.tool name="a'])
def test_a_line_that_cannot_be_read_is_refused(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_line(line)
    assert caught.value.code == "invalid_command_line"


@given(value=st.text())
def test_any_text_survives_being_typed(value: str) -> None:
    assert parse_words(TOOL, [f"name={value}"]) == {"name": value}


def test_defaults_are_filled_in() -> None:
    assert prepare(TOOL, {"name": "x"}) == {"name": "x", "limit": 10}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        "name",
        {"name": 1},
        {},
        {"name": "x", "limit": 101},
        {"name": "x", "limit": True},
        {"name": "\ud800"},
        {"name": "x", "paths": "a"},
        {"name": "x", "sandbox": False},
        {"name": "x", "limit": float("nan")},
        {"name": "x", "limit": 10**400},
    ],
)
def test_arguments_that_do_not_match_are_refused_before_anything_else(arguments: object) -> None:
    with pytest.raises(UsageError) as caught:
        prepare(TOOL, arguments)
    assert caught.value.code == "invalid_arguments"
    assert len(caught.value.message) < 500


def test_an_unknown_argument_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        prepare(TOOL, {"name": "x", "limt": 5})
    assert caught.value.hint == "Did you mean 'limit'?"


def test_a_megabyte_of_arguments_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        prepare(TOOL, {"name": "x" * (1 << 20)})
    assert caught.value.code == "arguments_too_large"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=True) | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(arguments=st.dictionaries(st.sampled_from(["name", "limit", "deep", "paths", "other"]), json_values))
def test_whatever_comes_is_accepted_as_json_or_refused_with_a_code(arguments: dict[str, object]) -> None:
    try:
        checked = prepare(TOOL, arguments)
    except UsageError as error:
        assert error.code in {"invalid_arguments", "arguments_too_large"}
    else:
        assert isinstance(checked["name"], str)
        json.dumps(checked, allow_nan=False)
