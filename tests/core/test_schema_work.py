"""Schemas and arguments that would keep the host busy: found out before anything is checked."""

from __future__ import annotations

from typing import Any

import pytest

from toolhost.calls.arguments import prepare
from toolhost.errors import UsageError
from toolhost.model import Tool
from toolhost.pluginhost.schemas import check_schema

TWICE = {"anyOf": [{"properties": {"c": {"$ref": "#/$defs/n"}}}, {"properties": {"c": {"$ref": "#/$defs/n"}}}]}
TREE = {"type": "object", "properties": {"left": {"$ref": "#/$defs/n"}, "right": {"$ref": "#/$defs/n"}}}


def tool(schema: dict[str, Any]) -> Tool:
    return Tool(name="a.b", plugin="a", about="", input_schema=schema)


def of(part: dict[str, Any], **definitions: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": part}, "$defs": definitions}


def nested(key: str, levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {key: value}
    return value


@pytest.mark.parametrize("word", ["allOf", "anyOf", "oneOf"])
def test_a_schema_with_more_work_than_can_be_bounded_is_refused(word: str) -> None:
    parts = {f"a{n}": {word: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)}
    assert "more than 20000 parts" in str(check_schema(of({"$ref": "#/$defs/a0"}, **parts, a40={"type": "null"})))
    chain = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(500)}
    assert "lead on to each other" in str(check_schema(of({"$ref": "#/$defs/a0"}, **chain, a500={})))
    assert "not in it" in str(check_schema(of({"$ref": "#/$defs/gone"})))
    assert "`$id` within it" in str(check_schema(of({"$id": "https://example.org/", "$ref": "#/$defs/n"}, n={})))


def test_recursive_schemas_of_everyday_life_are_accepted() -> None:
    assert check_schema({"$ref": "#"}) is None
    tree = of({"$ref": "#/$defs/n"}, n=TREE)
    assert check_schema(tree) is None
    assert prepare(tool(tree), {"x": nested("left", 300)}) == {"x": nested("left", 300)}
    rows = of({"type": "array", "items": {"type": "array", "items": {"type": "integer"}}})
    assert prepare(tool(rows), {"x": [list(range(100))] * 100})


@pytest.mark.parametrize(
    ("schema", "value", "why"),
    [
        (of({"items": {"type": "null"}}), [0] * 300_000, "do not fit"),
        (of({"items": {"anyOf": [{"type": "null"}] * 3000}}), [0] * 300_000, "too many values"),
        (of({"anyOf": [{"type": "null"}] * 3000}), "a" * 900_000, "do not fit"),
        (of({"$ref": "#/$defs/n"}, n=TWICE), nested("c", 40), "too many values"),
    ],
    ids=[
        "an error for each value",
        "many values and many parts",
        "a large value in every error",
        "doubled by each level",
    ],
)
def test_arguments_that_would_keep_the_host_busy_are_refused_at_once(
    schema: dict[str, Any], value: object, why: str
) -> None:
    assert check_schema(schema) is None
    with pytest.raises(UsageError) as raised:
        prepare(tool(schema), {"x": value})
    assert raised.value.code == "invalid_arguments"
    assert why in raised.value.message
