"""Slots: exactly what each accepts."""

import pytest

from toolhost.policy.slots import MAX_TEXT, parse_slot


@pytest.mark.parametrize(
    ("slot", "value"),
    [
        ("text", ""),
        ("text", "a b\tc\nd"),
        ("text", "$(id); `id` | id && id > f * ~ \\ {a,b}"),
        ("text", "é 漢字 🙂"),
        ("text", "x" * MAX_TEXT),
        ("int", "0"),
        ("int", "-12"),
        ("int:1..9", "9"),
        ("choice:a|b c", "b c"),
        ("ref", "main"),
        ("ref", "feature/x-1_2.y"),
        ("ref", "v1.0"),
        ("ref", "été"),
        ("regex:[a-z]+", "abc"),
        ("regex:(a+)+", "a" * 5000),
    ],
)
def test_a_slot_accepts(slot: str, value: str) -> None:
    assert parse_slot(slot).accepts(value)


@pytest.mark.parametrize(
    ("slot", "value"),
    [
        ("text", "a\0b"),
        ("text", "a\rb"),
        ("text", "a\x1b[2J"),
        ("text", "a\x85b"),
        ("text", "\x7f"),
        ("text", "\udcff"),
        ("text", "x" * (MAX_TEXT + 1)),
        ("text", "é" * MAX_TEXT),
        ("int", ""),
        ("int", "1.0"),
        ("int", "1e3"),
        ("int", "0x10"),
        ("int", " 1"),
        ("int", "1\n"),
        ("int", "--1"),
        ("int", "9" * 40),
        ("int:1..9", "10"),
        ("int:1..9", "0"),
        ("choice:a|b", "c"),
        ("choice:a|b", "a|b"),
        ("ref", ""),
        ("ref", "-x"),
        ("ref", "+main"),
        ("ref", "a:b"),
        ("ref", "a..b"),
        ("ref", "a@{1}"),
        ("ref", "@"),
        ("ref", "a b"),
        ("ref", "a~1"),
        ("ref", "a^"),
        ("ref", "a*"),
        ("ref", "a?"),
        ("ref", "a[b"),
        ("ref", "a\\b"),
        ("ref", ".a"),
        ("ref", "a/.b"),
        ("ref", "a.lock"),
        ("ref", "a.lock/b"),
        ("ref", "a."),
        ("ref", "/a"),
        ("ref", "a/"),
        ("ref", "a//b"),
        ("ref", "a\nb"),
        ("regex:[a-z]+", "abc1"),
        ("regex:[a-z]+", "1abc"),
        ("regex:[a-z]+", "abc\n"),
        ("regex:(?s).*", "a\x1bb"),
        ("regex:(a+)+", "a" * 5000 + "!"),
    ],
)
def test_a_slot_refuses(slot: str, value: str) -> None:
    assert not parse_slot(slot).accepts(value)


def test_a_pattern_that_needs_backtracking_is_refused() -> None:
    with pytest.raises(ValueError, match="RE2"):
        parse_slot(r"regex:(a)\1")
