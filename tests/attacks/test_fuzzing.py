"""Paths and arguments that nobody thought of."""

from __future__ import annotations

import json
import os
from pathlib import Path

from driver import Driver, own
from hosted import Hosted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

usual = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

ODD = ("~", "%2e%2e", "..%2f", "\u2025", "\uff0e\uff0e", "..\u200b", "a" * 255, "-x", "$HOME", "*", "")
NAMES = ("..", ".", "a", "out", "up", "loop", "proc", "self", "root", "1", "cwd", "canary", "etc", "passwd", "fd", "0")
PARTS = st.sampled_from((*NAMES, *ODD, "workspace", "tmp"))
STARTS = st.sampled_from(["", "/", "//", "./", "../", "/workspace/"])
PATHS = st.builds(lambda start, parts: start + "/".join(parts), STARTS, st.lists(PARTS, max_size=8))
# What a program can be given: any bytes but NUL, as Python writes them.
WORDS = st.binary(max_size=60).map(lambda data: os.fsdecode(data.replace(b"\0", b"")))


@usual
@given(paths=st.lists(st.one_of(PATHS, st.text(max_size=30)), min_size=1, max_size=4))
def test_no_path_reads_what_lies_outside(host: Hosted, space: Path, paths: list[str]) -> None:
    secret = space / "secret"
    if not secret.exists():
        secret.mkdir()
        (secret / "canary").write_text("CANARY")
        own(space)
    for name, target in (
        ("out", secret),
        ("up", f"../../../../..{secret}/canary"),
        ("loop", "loop"),
        ("proc", "/proc/self/root"),
    ):
        if not (host.workspace / name).is_symlink():
            (host.workspace / name).symlink_to(target)
    paths = [*paths, *(f"{path}{secret}/canary" for path in paths)]
    for path in paths:
        result = host.run("cat", path)
        assert "CANARY" not in json.dumps(result)
        assert "root:x:0" not in json.dumps(result)
        assert "Traceback" not in json.dumps(result)


@usual
@given(words=st.lists(WORDS, max_size=8))
def test_every_word_reaches_the_program_as_it_is(box: Driver, words: list[str]) -> None:
    said = box.ask(programs=["printf"], arguments=["%s\\0", *words])
    assert said["stdout"].split("\0")[:-1] == (words or [""])


@usual
@given(
    names=st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,12}", fullmatch=True).filter(
            lambda name: (
                name not in {"IFS", "OPTIND", "PPID", "ENV", "PS4", "LINENO", "PWD", "OLDPWD", "HOME", "PATH"}
                and not name.startswith(("LD_", "GLIBC", "MALLOC", "PYTHON"))
            )
        ),
        WORDS,
        max_size=5,
    )
)
def test_every_variable_reaches_the_program_as_it_is_and_no_other(box: Driver, names: dict[str, str]) -> None:
    said = box.ask(programs=["env"], arguments=["-0"], env=names)
    found = dict(word.partition("=")[::2] for word in said["stdout"].split("\0")[:-1])
    assert found == {"HOME": "/tmp", "PATH": "/usr/bin:/bin", **names}
