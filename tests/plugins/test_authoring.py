"""Writing tools: what a signature and a docstring become, and what the face offers."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import pathlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolhost
from toolhost import Completed, Piece, ReadPath, Response, ToolContext, ToolError, ToolOutput, WritePath, tool
from toolhost.authoring import tool_options
from toolhost.worker.channel import encode
from toolhost.worker.convert import arguments_for, parts
from toolhost.worker.declared import DeclaredTool
from toolhost.worker.declared import _declare as declare  # the worker's own door: `register`
from toolhost.worker.schema import describe


class Unit(enum.Enum):
    C = "c"
    F = "f"


@dataclasses.dataclass
class Place:
    name: str
    zip: int | None = None


@tool
async def full(
    ctx: ToolContext,
    path: ReadPath,
    target: WritePath,
    count: int,
    ratio: float = 0.5,
    deep: bool = False,
    names: list[str] = [],  # noqa: B006
    unit: Unit = Unit.C,
    mode: Literal["a", "b"] = "a",
    limit: int | None = None,
    place: Place | None = None,
    paths: list[ReadPath] | None = None,
) -> list[tuple[str, int]]:
    """Do everything
    at once.

    More that is not shown.

    Args:
        path: Where to read,
            in the workspace.
        count (int): How often.
        deep: Whether: deep.

    Returns:
        Nothing.
    """
    return []


def test_the_face_is_small_and_sorted() -> None:
    assert toolhost.__all__ == sorted(toolhost.__all__)
    assert set(toolhost.__all__) == {
        "Completed",
        "Errand",
        "FilePatch",
        "KeptChange",
        "Piece",
        "ReadPath",
        "Response",
        "Stream",
        "ToolContext",
        "ToolError",
        "ToolOutput",
        "Toolbox",
        "WritePath",
        "apply_patch",
        "hookimpl",
        "kept_numbers",
        "parse_patch",
        "read_kept_change",
        "tool",
    }
    for name in toolhost.__all__:
        assert getattr(toolhost, name) is not None
    with pytest.raises(AttributeError):
        _ = toolhost.nothing


def test_a_signature_becomes_a_schema() -> None:
    described = describe(declare(full, None))
    assert described["name"] == "full"
    assert described["about"] == "Do everything at once."
    schema = described["input_schema"]
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["path", "target", "count"]
    properties = schema["properties"]
    assert list(properties) == [name for name in full.__annotations__ if name not in ("ctx", "return")]
    assert properties["path"]["format"] == "read-path"
    assert properties["target"]["format"] == "write-path"
    assert properties["path"]["description"] == "Where to read, in the workspace."
    assert properties["count"] == {"type": "integer", "description": "How often."}
    assert properties["ratio"] == {"type": "number", "default": 0.5}
    assert properties["deep"] == {"type": "boolean", "default": False, "description": "Whether: deep."}
    assert properties["names"] == {"type": "array", "items": {"type": "string"}, "default": []}
    assert properties["unit"]["default"] == "c"
    assert properties["mode"] == {"type": "string", "enum": ["a", "b"], "default": "a"}
    # Optional: absent is None, so null is not a value of its own.
    assert properties["limit"] == {"type": "integer"}
    assert properties["paths"]["items"]["format"] == "read-path"
    assert described["output_schema"]["type"] == "array"


def test_a_marked_function_is_still_the_function() -> None:
    @tool(name="other", about="Another.")
    def original(x: int) -> int:
        """Not shown."""
        return x + 1

    assert original(1) == 2
    assert (tool_options(original).name, tool_options(original).about) == ("other", "Another.")
    declared = declare(original, None)
    assert (declared.name, declared.about) == ("other", "Another.")
    assert declare(original, "third").name == "third"


@pytest.mark.parametrize("result", [str, None, ToolOutput, Any])
def test_texts_and_outputs_have_no_output_schema(result: object) -> None:
    def f() -> None:
        """F."""

    f.__annotations__["return"] = result
    assert describe(declare(f, None))["output_schema"] is None


def test_arguments_become_what_the_signature_says() -> None:
    declared = declare(full, None)
    given = {
        "path": "a",
        "ratio": 1,
        "unit": "f",
        "place": {"name": "Oslo"},
        "paths": ["x"],
        "limit": 3,
        "mode": "b",
    }
    made = arguments_for(declared, given)
    assert type(made["path"]) is ReadPath
    assert type(made["ratio"]) is float
    assert made["unit"] is Unit.F
    assert made["place"] == Place("Oslo")
    assert made["limit"] == 3
    assert pathlib.Path(made["path"]) == pathlib.Path("a")
    with pytest.raises(ToolError, match="unit") as raised:
        arguments_for(declared, {"unit": "k"})
    assert raised.value.code == "invalid_arguments"


@pytest.mark.parametrize(
    ("result", "content"),
    [
        (None, []),
        ("", [{"type": "text", "text": ""}]),
        ("x", [{"type": "text", "text": "x"}]),
        (0, [{"type": "json", "value": 0}]),
        ([], [{"type": "json", "value": []}]),
        ((1, 2), [{"type": "json", "value": [1, 2]}]),
        ({1: Unit.C}, [{"type": "json", "value": {"1": "c"}}]),
        (Place("Oslo"), [{"type": "json", "value": {"name": "Oslo", "zip": None}}]),
        (pathlib.Path("a"), [{"type": "json", "value": "a"}]),
        (
            ToolOutput(text="t", data={"a": {1}}),
            [{"type": "text", "text": "t"}, {"type": "json", "value": {"a": [1]}}],
        ),
        (ToolOutput(), []),
    ],
)
def test_results_become_parts(result: object, content: list[object]) -> None:
    assert parts(result) == content


@pytest.mark.parametrize("result", [b"x", object(), {(1, 2): 3}, ToolOutput(text=1), int])  # type: ignore[arg-type]
def test_what_json_cannot_express_is_refused(result: object) -> None:
    with pytest.raises(ToolError) as raised:
        parts(result)
    assert raised.value.code == "unserialisable_result"


def test_a_context_without_a_host_takes_everything_and_does_nothing() -> None:
    context = ToolContext("t")
    context.log("x")
    context.progress(1, 2, "x")
    context.check()
    sent: list[object] = []
    context = ToolContext("t", send=sent.append, is_cancelled=lambda: True)
    context.log("line", level="WARNING")
    context.progress(0.5)
    assert sent == [
        {"op": "log", "level": "WARNING", "text": "line"},
        {"op": "progress", "done": 0.5, "total": None, "message": ""},
    ]
    with pytest.raises(asyncio.CancelledError):
        context.check()


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_message_is_always_one_line_of_utf_8(value: object) -> None:
    line = encode({"op": "x", "value": value})
    assert line.count(b"\n") == 1
    line.decode()


def test_a_declared_tool_says_how_it_is_called() -> None:
    def sync(*, context: ToolContext) -> None:
        """Sync."""

    cases: list[tuple[Callable[..., Any], bool, str | None]] = [(full, True, "ctx"), (sync, False, "context")]
    for function, is_async, context in cases:
        declared: DeclaredTool = declare(function, None)
        assert (declared.is_async, declared.context) == (is_async, context)


def _untyped(x):  # type: ignore[no-untyped-def]
    """Untyped."""


def _starred(*x: str) -> None:
    """Starred."""


def _unknown(x: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Unknown."""


def _strange(x: object()) -> None:  # type: ignore[valid-type]
    """Strange."""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_untyped, "'x' of the tool _untyped has no type"),
        (_starred, "takes *x"),
        (_unknown, "Nowhere"),
        (_strange, "_strange"),
        ("text", "register() takes a function, not str"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_explained(function: Any, message: str) -> None:
    with pytest.raises(ToolError) as raised:
        describe(declare(function, None))
    assert raised.value.code == "invalid_tool"
    assert message in raised.value.message


class _Told:
    """Answers errands in a test of an author's."""

    def __init__(self, **answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def begin(
        self, kind: str, wanted: Mapping[str, Any], on_piece: Callable[[Piece], None] | None
    ) -> Future[Mapping[str, Any]]:
        self.asked.append((kind, wanted))
        future: Future[Mapping[str, Any]] = Future()
        if on_piece is not None:
            on_piece(Piece(stream="stdout", data=b"one"))
        future.set_result(self.answers[kind])
        return future


def test_a_tool_that_runs_commands_can_be_tested_without_a_host() -> None:
    told = _Told(run={"exit_code": 2, "stderr_bytes": b"a\nb\n"}, fetch={"body": b"\xe9", "headers": LATIN})
    context = ToolContext("t", errands=told)

    async def use() -> tuple[Completed, Response, list[str]]:
        made = context.stream("x")
        return await context.run("git", "log", stdin="é"), await context.fetch("u"), [each.text async for each in made]

    ran, fetched, pieces = asyncio.run(use())
    assert (ran.ok, fetched.ok, fetched.text, pieces) == (False, True, "é", ["one"])
    assert told.asked[0] == ("run", {"argv": ["git", "log"], "stdin": "é".encode(), "cwd": "", "timeout": None})
    assert context.run("x").wait().exit_code == 2
    assert [each.text for each in context.stream("x")] == ["one"]
    with pytest.raises(ToolError, match="It said: b"):
        ran.check()
    with pytest.raises(ToolError) as raised:
        ToolContext("t").run("x").wait()
    assert raised.value.code == "no_host"


LATIN = {"content-type": 'text/plain; charset="latin-1"'}
