"""Patterns of hidden paths: masked when a call begins, quarantined when it made them."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path

import pytest
from driver import Driver, own, readable, writable
from hypothesis import given
from hypothesis import strategies as st

from toolhost.sandbox import PlanRefused, globs
from toolhost.sandbox.globs import hides, matching

ENV = ["**/.env"]


@pytest.mark.parametrize(
    ("pattern", "path", "hidden"),
    [
        ("**/.env", ".env", True),
        ("**/.env", "a/b/.env", True),
        ("**/.env", "a/.env/b", True),  # in a folder that matches
        ("**/.env", "a/.envrc", False),
        ("**/.env", "a/x.env", False),
        ("*.pem", "key.pem", True),
        ("*.pem", "a/key.pem", False),
        ("secrets/*", "secrets/x", True),
        ("secrets/*", "secrets", False),
        ("secrets/**", "secrets/a/b", True),
        ("secrets/**", "secrets", False),
        ("**", "x", True),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "b/z", False),
        ("**/a/**/z", "q/a/z", True),
        ("**/*.key", "a/.key", True),
        ("id_[re]*", "id_rsa", True),
        ("id_[re]*", "id_dsa", False),
        ("?", "a", True),
        ("?", "ab", False),
        ("*.PEM", "key.pem", False),
        ("**/.env", "a\n/.env", True),
    ],
)
def test_a_pattern_matches(pattern: str, path: str, hidden: bool) -> None:
    assert hides((pattern,), path.split("/")) is hidden


NAME = st.text("ab.", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))


@given(st.lists(NAME, min_size=1, max_size=5), st.sampled_from(["*", "a*", "?b", "[ab]", "*.*"]))
def test_a_pattern_for_any_depth_is_a_pattern_for_each_name(parts: list[str], pattern: str) -> None:
    assert hides((f"**/{pattern}",), parts) == any(fnmatch.fnmatchcase(name, pattern) for name in parts)
    assert hides((pattern,), parts) == fnmatch.fnmatchcase(parts[0], pattern)


def found(folder: Path, *patterns: str) -> list[str]:
    fd = os.open(folder, os.O_PATH)
    try:
        return sorted(matching(fd, patterns))
    finally:
        os.close(fd)


def test_matches_are_found_without_following_a_link(work: Path, space: Path) -> None:
    (work / "a").mkdir()
    (work / "a" / ".env").touch()
    (work / ".env").symlink_to(space)
    (work / "out").symlink_to(space)
    (space / "elsewhere").mkdir()
    (space / "elsewhere" / ".env").touch()
    assert found(work, "**/.env") == [".env", "a/.env"]


def test_more_matches_than_can_be_masked_refuse_the_call(work: Path) -> None:
    for number in range(globs.MOST_MATCHES + 1):
        (work / f"{number}.pem").touch()
    with pytest.raises(PlanRefused) as refused:
        found(work, "*.pem")
    assert refused.value.code == "too_many_hidden"


def test_more_files_than_can_be_searched_refuse_the_call(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globs, "MOST_ENTRIES", 10)
    for number in range(11):
        (work / f"{number}").touch()
    with pytest.raises(PlanRefused) as refused:
        found(work, "*.pem")
    assert refused.value.code == "too_many_hidden"


def test_what_matches_is_not_there_inside(box: Driver, work: Path) -> None:
    (work / "a" / "b").mkdir(parents=True)
    for place in (work, work / "a" / "b"):
        (place / ".env").write_text("CANARY")
    (work / "a" / "plain").write_text("plain")
    own(work)
    script = "cat .env a/b/.env a/plain; rm -f a/b/.env; mv a aa; echo new > a/b/.env; ls -A a/b"
    for root in (writable(work, hidden_globs=ENV), readable(work, "/workspace", hidden_globs=ENV)):
        said = box.sh(script, "cat", "rm", "mv", "ls", cwd="/workspace", roots=[root])
        assert "CANARY" not in said["stdout"] + said["stderr"]
        assert "plain" in said["stdout"]
        assert said["violations"] == []
    assert (work / "a" / "b" / ".env").read_text() == "CANARY"


def test_what_a_call_makes_is_quarantined_and_reported(box: Driver, work: Path, state: Path) -> None:
    script = (
        "mkdir -p a/b; echo x > a/b/.env; echo y > .env; ln -s /etc/passwd a/.env;"
        "mkdir c c/.env; echo z > c/.env/f; echo k > kept"
    )
    said = box.sh(script, "mkdir", "ln", cwd="/workspace", roots=[writable(work, hidden_globs=ENV)])
    assert sorted(said["violations"]) == [
        "/workspace/.env",
        "/workspace/a/.env",
        "/workspace/a/b/.env",
        "/workspace/c/.env",
    ]
    assert sorted(path.name for path in work.rglob("*")) == ["a", "b", "c", "kept"]
    assert len(list((state / "quarantine").iterdir())) >= 4


def test_what_was_there_before_is_neither_moved_nor_reported(box: Driver, work: Path) -> None:
    (work / ".env").write_text("CANARY")
    own(work)
    said = box.sh("true", "true", cwd="/workspace", roots=[writable(work, hidden_globs=ENV)])
    assert said["violations"] == []
    assert (work / ".env").read_text() == "CANARY"


def test_what_a_cancelled_or_killed_call_made_is_quarantined(box: Driver, work: Path) -> None:
    one = {"programs": ["sh", "sleep"], "arguments": ["-c", "echo x > .env; echo made; sleep 60"], "cwd": "/workspace"}
    one["roots"] = [writable(work, hidden_globs=ENV)]
    assert box.ask(**one, cancel_when="made") == {"cancelled": True}
    assert not (work / ".env").exists()
    said = box.ask(**one, limits={"wall": 0.5})
    assert (said["status"], said["violations"]) == ("timeout", ["/workspace/.env"])
    assert not (work / ".env").exists()


def test_a_call_that_is_cancelled_at_its_very_end_has_ended_when_it_says_so(box: Driver, work: Path) -> None:
    for number in range(1000):
        (work / str(number)).mkdir()
    own(work)
    script = "echo x > 999/.env; echo made"  # so short that what it says is read at its end
    one = {"programs": ["sh"], "arguments": ["-c", script], "cwd": "/workspace"}
    one["roots"] = [writable(work, hidden_globs=ENV)]
    for _ in range(10):
        assert box.ask(**one, cancel_when="made") == {"cancelled": True}
        assert not (work / "999" / ".env").exists()


def test_what_a_worker_made_is_quarantined_at_its_end(box: Driver, work: Path) -> None:
    said = box.ask(
        do="worker", kind="worker", programs=["sh", "cat"], arguments=["-c", "echo x > .env; echo made; cat"],
        cwd="/workspace", roots=[writable(work, hidden_globs=ENV)], lines=[""],
    )  # fmt: skip
    assert said["said"] == ["made"]
    assert said["violations"] == ["/workspace/.env"]
    assert not (work / ".env").exists()


def test_a_name_that_would_rewrite_a_line_is_reported_escaped(box: Driver, work: Path) -> None:
    said = box.python("open('/workspace/\\x1b[2J\\n.pem', 'w')", roots=[writable(work, hidden_globs=["*.pem"])])
    assert said["violations"] == ["/workspace/\\x1b[2J\\x0a.pem"]


def test_a_folder_that_grew_too_large_to_search_is_reported(box: Driver, work: Path) -> None:
    code = "import os\nfor n in range(300): open(f'/workspace/{n}.pem', 'w')"
    root = writable(work, hidden_globs=["*.pem"])
    said = box.python(code, roots=[root])
    assert "More than 256 paths match" in said["violations"][0]
    assert box.sh("echo ran", roots=[root])["error"]["code"] == "too_many_hidden"
