"""The launcher's script and its report, without a sandbox."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolhost.sandbox.plan import Limits
from toolhost.sandbox.script import call_script, ended

_TIMES = b"0m0.000000s 0m0.000000s\n1m2.500000s 0m0.250000s\n"


@pytest.mark.parametrize(
    ("said", "code", "signal"),
    [
        (b"R0\n", 0, None),
        (b"R+\n0\n", 0, None),
        (b"RKilled\n+\n137\n", None, 9),
        (b"R137\n", 137, None),
        (b"RKilled\n137\n", None, 9),
        (b"RCPU time limit exceeded\n152\n", None, 24),
        (b"RSegmentation fault\n139\n", None, 11),
        (b"RLost connection\n" + b"129\n", None, 1),
    ],
)
def test_a_report_tells_an_exit_from_a_signal(said: bytes, code: int | None, signal: int | None) -> None:
    report = ended(said + _TIMES)
    assert report is not None
    assert (report.code, report.signal, report.refused, report.cpu) == (code, signal, None, 62.75)


@pytest.mark.parametrize("step", ["cwd", "limits"])
def test_a_report_names_the_step_that_failed(step: str) -> None:
    report = ended(b"R!" + step.encode() + b"\n126\n" + _TIMES)
    assert report is not None
    assert report.refused == step


@given(st.binary(max_size=60))
def test_a_report_that_is_cut_or_garbage_is_never_an_error(said: bytes) -> None:
    ended(said)
    ended(b"R" + said)


_words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=40, deadline=None)
@given(st.lists(_words, max_size=5), _words)
def test_words_and_variables_survive_the_shell(words: list[str], value: str) -> None:
    argv = ["/usr/bin/printf", "%s\\0", "first", *words]
    script = call_script(argv, "/", [("VALUE", value)], Limits())
    lines = [line for line in script.split(b"\n") if not line.startswith((b"{ ulimit", b"exec 2>"))]
    alone = b"\n".join(lines).replace(b" 2>&5", b"", 1)  # without the launcher's descriptors
    done = subprocess.run(["/bin/dash", "-s"], input=alone, capture_output=True, check=True, timeout=10)
    assert done.stdout.decode().split("\0")[:-1] == ["first", *words]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_script_that_is_cut_anywhere_runs_nothing(data: st.DataObject) -> None:
    script = call_script(["/bin/echo", "ran"], "/", [("A", "b")], Limits())
    cut = script[: data.draw(st.integers(0, len(script) - 3))]
    done = subprocess.run(["/bin/dash", "-s"], input=cut, capture_output=True, check=False, timeout=10)
    assert b"ran" not in done.stdout
