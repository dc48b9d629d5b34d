"""Text that others wrote, written out: nothing hides in it, and no two texts look alike."""

import html
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolhost.shown import shown, token
from toolhost.web.visible import chip

TRICKY = st.text(
    st.sampled_from("ab \\\"'‹›␛␠U+20E\x1b\n\t\x7f\x85\u202e\u200b\u00a0\u3000\u2028\ufe0f\u034f\u3164\U000e0041\ud800")
)
TEXTS = st.text() | TRICKY
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
IGNORABLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u3164\ufe00\ufe0f\uffa0\U000e0100\U000e01ef"


def plain(markup: str) -> str:
    """What a reader sees of a piece of HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


@given(TEXTS)
@example(IGNORABLE)
def test_what_is_shown_holds_no_character_that_cannot_be_seen(text: str) -> None:
    for seen in (shown(text), token(text), plain(str(chip(text))).replace("\n", "")):
        assert not [char for char in seen if unicodedata.category(char) in HIDDEN or char in IGNORABLE]


@given(TEXTS, TEXTS)
@example("\x1b", "␛")
@example("\u202e", "‹U+202E›")
@example("", '""')
@example("a b", '"a b"')
@example(" a", "␠a")
@example("a\nb", "a␊\nb")
def test_two_texts_never_look_alike(one: str, other: str) -> None:
    if one != other:
        assert shown(one) != shown(other)
        assert token(one) != token(other)
        if one and other:
            assert plain(str(chip(one))) != plain(str(chip(other)))


@given(st.lists(TEXTS), st.lists(TEXTS))
def test_two_commands_never_look_alike_on_one_line(one: list[str], other: list[str]) -> None:
    assert (one == other) == (" ".join(map(token, one)) == " ".join(map(token, other)))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", '""'),
        ("a b", '"a b"'),
        ("--flag=é", "--flag=é"),
        ("\x1b[2J", "␛[2J"),
        ("a\tb\n", "a␉b␊"),
        ("\u202egnp", "‹U+202E›gnp"),
        ("no\u00a0break", "no‹U+00A0›break"),
        ("\U000e0041", "‹U+E0041›"),
        ("\ud800", "‹U+D800›"),
        ("‹U+202E›", "‹U+2039›U+202E‹U+203A›"),
        ('say "x"', '"say \\"x\\""'),
    ],
)
def test_one_argument_is_one_piece(text: str, line: str) -> None:
    assert token(text) == line


def test_a_long_argument_is_folded_in_the_middle_and_whole_when_it_is_opened() -> None:
    text = "begin " + "x" * 5000 + "; rm -rf ." + "y" * 5000 + " end"
    summary, _, whole = str(chip(text)).partition("</summary>")
    assert text in plain(whole)
    assert "rm -rf" not in summary
    assert f"‹+{len(text) - 1200} · sha256:" in plain(summary)
    other = text.replace("rm -rf .", "ls -la /")
    assert plain(summary) != plain(str(chip(other)).partition("</summary>")[0])
