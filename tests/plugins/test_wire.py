"""Lines from a worker: every line may be a lie, and none may harm the host."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.errors import PluginError
from toolhost.pluginhost.wire import LineSplitter, content_parts, error_code, error_message, read_message, whole_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(st.binary(max_size=20)), st.integers(1, 7))
def test_lines_are_the_same_however_the_bytes_arrive(lines: list[bytes], size: int) -> None:
    stream = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    splitter = LineSplitter(100)
    found = [line for at in range(0, len(stream), size) for line in splitter.feed(stream[at : at + size])]
    assert found == stream.split(b"\n")[:-1]


def test_a_line_that_never_ends_is_refused_before_it_fills_the_memory() -> None:
    splitter = LineSplitter(10)
    assert list(splitter.feed(b"0123456789")) == []
    with pytest.raises(PluginError) as raised:
        list(splitter.feed(b"0"))
    assert raised.value.code == "worker_protocol"


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_but_a_message_is_a_violation_and_nothing_else(line: bytes) -> None:
    with pytest.raises(PluginError) as raised:
        read_message(line)
    assert raised.value.code == "worker_protocol"


@pytest.mark.parametrize(
    "line",
    [
        '{"op": "ready"}',
        '{"op": "ready", "tools": {}}',
        '{"op": "ready", "tools": [], "more": 1}',
        '{"op": ["ready"], "tools": []}',
        '{"op": "result", "id": 1, "content": []}',
        '{"op": "progress", "id": "a", "done": "1", "total": null, "message": ""}',
        '{"op": "progress", "id": "a", "done": NaN, "total": null, "message": ""}',
        '{"op": "progress", "id": "a", "done": 1e999, "total": null, "message": ""}',
        '{"op": "error", "id": "a", "code": "x", "message": "x", "recoverable": 1}',
        "[" * 100_000,
        '{"op": "result", "id": "a", "content": [' + ",".join(["{}"] * 200_000) + "]}",
        '{"op": "result", "id": "a", "content": [' + ",".join(['""'] * 400_000) + "]}",
        "1" * 5_000,
    ],
)
def test_a_message_with_wrong_fields_is_a_violation(line: str) -> None:
    with pytest.raises(PluginError):
        read_message(line.encode())


def test_a_text_may_hold_any_number_of_commas() -> None:
    text = 'a,"b",[c],{' * 70_000
    message = read_message(json.dumps({"op": "log", "id": "a", "level": "info", "text": text}).encode())
    assert message["text"] == text


def test_a_well_formed_message_is_read() -> None:
    assert read_message(b'{"op": "cancelled", "id": "a"}') == {"op": "cancelled", "id": "a"}


@given(st.lists(JSON, max_size=4))
def test_parts_of_unknown_kind_are_a_violation_and_the_rest_can_be_written(content: list[object]) -> None:
    try:
        made, value = content_parts(content)
    except PluginError as error:
        assert error.code == "worker_protocol"
    else:
        json.dumps([made, value], ensure_ascii=False).encode()


def test_a_part_keeps_only_the_fields_the_host_knows() -> None:
    made, value = content_parts(
        [{"type": "text", "text": "a\ud800", "url": "x"}, {"type": "json", "value": [1], "x": 2}]
    )
    assert made == ({"type": "text", "text": "a\ufffd"}, {"type": "json", "value": [1]})
    assert value == [1]


def test_a_value_nested_deeper_than_any_use_is_a_violation() -> None:
    value: object = 1
    for _ in range(200):
        value = [value]
    with pytest.raises(PluginError):
        content_parts([{"type": "json", "value": value}])


@given(st.text())
def test_codes_and_messages_of_a_worker_can_be_shown_anywhere(text: str) -> None:
    assert error_code(text).isidentifier()
    message = error_message(text)
    assert message
    message.encode()
    assert not any(char in message for char in "\x1b\x00\u202e")
    whole_text(text).encode()
