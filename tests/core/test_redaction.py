"""Redaction: no secret comes through, in any of its usual forms and however a stream is cut; the rest does."""

import base64
import json
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.redaction import MARK, Redaction

SECRET = "s3cr3t/+ =\"'é-token"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSjAgEA\n-----END KEY-----\n"


def forms(secret: str) -> list[str]:
    data = secret.encode()
    return [
        secret,
        data.hex(),
        data.hex().upper(),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    ]


@pytest.mark.parametrize("form", forms(SECRET))
def test_a_secret_is_found_in_the_forms_in_which_programs_show_it(form: str) -> None:
    assert Redaction([SECRET.encode()]).text(f"<{form}>") == "<[redacted]>"


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "Bearer "])
def test_a_secret_is_found_within_base64(before: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(f"{before}{SECRET}!".encode())
        told = Redaction([SECRET.encode()]).data(encoded)
        assert MARK in told
        assert encoded[len(before) * 2 + 4 : -6] not in told


def test_every_longer_line_of_a_secret_is_one() -> None:
    redaction = Redaction([PEM.encode()])
    assert redaction.text(f"x {PEM.splitlines()[1]} y") == "x [redacted] y"
    assert redaction.text(PEM) == "[redacted]\n"


def test_secrets_that_overlap_leave_nothing_of_each_other() -> None:
    assert Redaction([b"abcdefgh", b"efghijkl"]).data(b"<abcdefghijkl>") == b"<[redacted]>"


def test_values_lose_secrets_in_keys_numbers_and_depth() -> None:
    redaction = Redaction([b"12345678", b"hunter2hunter2"])
    value = {"hunter2hunter2": [1, {"a": 12345678, "b": True, "c": None}], "d": ("x hunter2hunter2",)}
    told = {"[redacted]": [1, {"a": "[redacted]", "b": True, "c": None}], "d": ("x [redacted]",)}
    assert redaction.value(value) == told


def test_output_that_was_cut_off_loses_the_beginning_of_a_secret() -> None:
    redaction = Redaction([b"hunter2hunter2"])
    assert redaction.data(b"so hunter2hu", cut=True) == b"so [redacted]"
    assert redaction.data(b"so hunter2hu") == b"so hunter2hu"


def test_a_stream_without_secrets_is_passed_on_at_once() -> None:
    assert Redaction().stream().feed(b"50%\n") == b"50%\n"
    assert Redaction([b"hunter2hunter2"]).stream().feed(b"50%\n") == b"50%\n"


def test_a_line_is_not_held_back_once_it_can_be_no_secret() -> None:
    stream = Redaction([SECRET.encode()]).stream()
    assert stream.feed(f"{SECRET}\n".encode()) == MARK + b"\n"
    assert stream.feed(SECRET[:12].encode()) == b""
    assert stream.feed(b"!\n") == f"{SECRET[:12]}!\n".encode()


@given(
    secrets=st.lists(st.binary(min_size=8, max_size=20), min_size=1, max_size=3),
    around=st.lists(st.binary(max_size=12), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_a_stream_says_the_same_however_it_is_cut(secrets: list[bytes], around: list[bytes], cuts: list[int]) -> None:
    redaction = Redaction(secrets)
    data = b"".join(piece + secrets[number % len(secrets)] for number, piece in enumerate(around))
    whole = redaction.data(data)
    stream = redaction.stream()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    told = b"".join(stream.feed(data[start:end]) for start, end in pairwise(edges))
    assert told + stream.end() == whole
