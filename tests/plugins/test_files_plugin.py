"""The tools of the `files` plugin, each really run under its packaged policy, on the files people really have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hosted import Hosted
from pluginbench import POLICIES

LOOKING = ("list", "glob", "read", "search", "stat", "diff", "changes")
CHANGING = ("write", "edit", "patch", "move", "delete", "undo")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "glob": {"pattern": "*"},
    "read": {"path": "a.txt"},
    "search": {"pattern": "x"},
    "stat": {"path": "a.txt"},
    "diff": {"old": "a.txt", "new": "a.txt"},
    "write": {"path": "a.txt", "content": "x"},
    "edit": {"path": "a.txt", "old": "x", "new": "y"},
    "patch": {"diff": "x"},
    "move": {"source": "a.txt", "target": "b.txt"},
    "delete": {"path": "a.txt"},
}


@pytest.mark.works("files.stat")
def test_looking_is_allowed_and_changing_asks(ada) -> None:
    (ada.workspace / "a.txt").write_text("x\n")
    for name in LOOKING:
        assert ada.decided(f"files.{name}", **ARGUMENTS.get(name, {})) == "allow", name
    for name in CHANGING:
        assert ada.decided(f"files.{name}", **ARGUMENTS.get(name, {})) == "ask", name
    assert (ada.workspace / "a.txt").read_text() == "x\n"


def test_no_tool_takes_a_path_out_of_the_workspace(ada) -> None:
    (ada.workspace / "link").symlink_to("/etc/passwd")
    (ada.workspace / "a.txt").write_text("x\n")
    for path in ("/etc/passwd", "../other", "link", "a/../../x"):
        for name in ("list", "read", "stat"):
            assert ada.denied(f"files.{name}", path=path)
        for name in ("glob", "search"):
            assert ada.denied(f"files.{name}", pattern="x", path=path)
        assert ada.denied("files.diff", old="a.txt", new=path)
        assert ada.denied("files.write", path=path, content="x")
        assert ada.denied("files.edit", path=path, old="x", new="y")
        assert ada.denied("files.move", source="a.txt", target=path)
        assert ada.denied("files.move", source=path, target="b.txt")
        assert ada.denied("files.delete", path=path)
        assert ada.fails("files.patch", diff=f"--- {path}\n+++ {path}\n@@ -1 +1 @@\n-root\n+x\n") in (
            "bad_patch", "not_found", "not_a_folder")  # fmt: skip
    assert ada.fails("files.undo") == "no_such_change"


# -- looking -----------------------------------------------------------------------------------------------------------


def test_a_file_is_read_in_ranges_and_says_how_to_go_on(ada) -> None:
    (ada.workspace / "n.txt").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    assert ada.text("files.read", path="n.txt", offset=3, limit=2) == "line 3\nline 4\n\n[more from line 5]"
    assert ada.text("files.read", path="n.txt", offset=-2) == "line 9\nline 10\n"
    assert ada.text("files.read", path="n.txt", offset=9, numbers=True) == "     9  line 9\n    10  line 10\n"
    facts = ada.value("files.read", path="n.txt", limit=4)
    assert facts == {"path": "n.txt", "first_line": 1, "last_line": 4, "more": True}
    assert ada.fails("files.read", path="n.txt", offset=0) == "invalid_arguments"
    assert ada.fails("files.read", path="n.txt", offset=11) == "invalid_arguments"


@pytest.mark.works("files.read", "files.list")
def test_files_of_every_kind_can_be_read_or_say_why_not(ada) -> None:
    here = ada.workspace
    (here / "latin.txt").write_bytes(b"caf\xe9\n")
    (here / "crlf.txt").write_bytes(b"a\r\nb\r\n")
    (here / "bare.txt").write_bytes(b"no end")
    (here / "empty.txt").touch()
    (here / "wide.txt").write_bytes(b"x" * 600_000 + b"\nnext\n")
    (here / "ünï – ☃.txt").write_text("snow\n")
    (here / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (here / "data.bin").write_bytes(b"\0\1")
    (here / "folder").mkdir()
    os.mkfifo(here / "pipe")
    assert ada.text("files.read", path="latin.txt") == "caf\ufffd\n\n[bytes that are no UTF-8 are shown as \ufffd]"
    assert ada.text("files.read", path="crlf.txt") == "a\r\nb\r\n"
    assert ada.text("files.read", path="bare.txt") == "no end"
    assert ada.text("files.read", path="empty.txt") == ""
    assert ada.text("files.read", path="ünï – ☃.txt") == "snow\n"
    shown = ada.call("files.read", path="image.png")
    assert [part["type"] for part in shown["content"]] == ["text", "image"], shown
    wide = ada.text("files.read", path="wide.txt")
    assert wide.endswith("x [line goes on: 580001 more bytes]\nnext\n")
    for path, code in (
        ("data.bin", "not_text"),
        ("folder", "is_a_folder"),
        ("pipe", "not_a_file"),
        ("no", "not_found"),
    ):
        assert ada.fails("files.read", path=path) == code
    listed = {entry["name"]: entry["type"] for entry in ada.value("files.list")}
    assert (listed["folder"], listed["pipe"], listed["ünï – ☃.txt"]) == ("folder", "other", "file")
    (ada.workspace / "two\nlines\x1b[2J").touch()
    for text in (ada.text("files.list"), ada.text("files.glob", pattern="two*")):
        assert "two\\nlines\\x1b[2J" in [line.split("  ")[-1] for line in text.splitlines()]


@pytest.mark.works("files.glob", "files.search")
def test_names_and_contents_are_found_without_what_git_ignores(ada) -> None:
    here = ada.workspace
    for name in ("src/app.py", "src/deep/er/util.pyi", "build/out.py", "src/app.min.py", ".hidden/x.py", "keep.log"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("import os  # TODO: Now\n")
    (here / ".gitignore").write_text("# made\n/build/\n*.min.py\n*.log\n!keep.log\n")
    assert ada.value("files.glob", pattern="*.{py,pyi}") == ["src/app.py", "src/deep/er/util.pyi"]
    assert ada.value("files.glob", pattern="src/*/") == []
    assert ada.value("files.glob", pattern="s*") == ["src/"]
    assert ada.value("files.glob", pattern="**/er/*.py[i]") == ["src/deep/er/util.pyi"]
    assert "build/out.py" in ada.value("files.glob", pattern="*.py", hidden=True)
    assert ada.text("files.glob", pattern="*", limit=1).endswith("more: raise limit, or narrow pattern or path]")
    found = ada.value("files.search", pattern="todo: now", ignore_case=True)
    assert [match["path"] for match in found] == ["keep.log", "src/app.py", "src/deep/er/util.pyi"]
    found = ada.value("files.search", pattern=r"^import \w+", regex=True, names="src/**/*.py")
    assert [match["path"] for match in found] == ["src/app.py"]
    assert len(ada.value("files.search", pattern="os", hidden=True)) == 6
    cut = ada.text("files.search", pattern="os", limit=1)
    assert cut.endswith("[1 line in 1 file, and more: raise limit, or narrow pattern, path or names]")
    assert ada.fails("files.search", pattern="(", regex=True) == "invalid_arguments"
    assert ada.fails("files.glob", pattern="/x") == "invalid_arguments"


def test_a_pattern_of_many_stars_takes_no_more_time_than_another(ada) -> None:
    """A hostile .gitignore, or a pattern that a model made up: trying each way to spread the stars would never end."""
    for name in ("a" * 200, "b.txt", "{x}.txt"):
        (ada.workspace / name).write_text("needle\n")
    stars = "*a" * 50 + "b"
    (ada.workspace / ".gitignore").write_text(f"{stars}\n{'**/' * 200}{stars}\n{'x' * 5000}\n{{x}}.*\n")
    assert ada.value("files.glob", pattern="*") == ["a" * 200, "b.txt"]
    assert len(ada.value("files.search", pattern="(?<=n)eedle", regex=True)) == 2
    assert ada.value("files.glob", pattern=stars, hidden=True) == []
    assert ada.value("files.glob", pattern="{b,{c,?x?}}.txt", hidden=True) == ["b.txt", "{x}.txt"]
    assert ada.value("files.glob", pattern="{" * 400 + "b" + "}" * 400 + ".*") == ["b.txt"]
    for pattern in ("{a,b}" * 100, "x" * 2000):
        assert ada.fails("files.glob", pattern=pattern) == "invalid_arguments"


def test_found_lines_come_with_the_lines_around_them(ada) -> None:
    (ada.workspace / "a.txt").write_text("one\ntwo\nthree\nfour\nfive\nsix\nseven\n")
    assert ada.text("files.search", pattern="^(two|six)$", regex=True, around=1) == (
        "a.txt-1- one\na.txt:2: two\na.txt-3- three\n--\na.txt-5- five\na.txt:6: six\na.txt-7- seven\n"
        "[2 lines in 1 file]"
    )


def test_a_search_finds_the_same_without_ripgrep(ada, bundled_host: Hosted) -> None:
    (ada.workspace / "deep" / "er").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "deep/c.txt", "deep/er/d.txt", "left.out", ".hidden"):
        (ada.workspace / name).write_text("x needle y\n")
    (ada.workspace / ".gitignore").write_text("*.out\n")
    asked = {"pattern": r"(?<=x )needle", "regex": True}  # ripgrep cannot look behind
    plain = {"pattern": "needle"}
    with_it = ada.value("files.search", **plain)
    assert [match["path"] for match in with_it] == ["a.txt", "b.txt", "deep/c.txt", "deep/er/d.txt"]
    assert ada.value("files.search", **asked) == with_it
    assert len(ada.value("files.search", **plain, hidden=True)) == 6
    policy = (POLICIES / "files.toml").read_text()
    bundled_host.write("files", _without_rg(policy))
    try:
        assert bundled_host.ask(do="reload")["problems"] == []
        assert ada.text("files.search", **plain).endswith("[4 lines in 4 of 4 files]")
        assert ada.value("files.search", **plain) == with_it
        assert len(ada.value("files.search", **plain, hidden=True)) == 6
    finally:
        bundled_host.write("files", policy)
        assert bundled_host.ask(do="reload")["problems"] == []


def _without_rg(policy: str) -> str:
    before, _, rest = policy.partition("[commands]")
    return before + rest[rest.index("[paths]") :]


@pytest.mark.works("files.diff")
def test_files_and_folders_are_compared(ada) -> None:
    here = ada.workspace
    for folder, text in (("old", "a\nb\nc\n"), ("new", "a\nB\nc")):
        (here / folder).mkdir()
        (here / folder / "x.txt").write_text(text)
        (here / folder / "same").write_text("same")
        (here / folder / "bin").write_bytes(b"\0" + text.encode())
    (here / "new" / "more").touch()
    shown = ada.text("files.diff", old="old/x.txt", new="new/x.txt")
    assert "-b\n" in shown
    assert "+B\n" in shown
    assert shown.endswith("+c\n\\ No newline at end of file")
    shown = ada.text("files.diff", old="old", new="new")
    assert "only in new: more" in shown
    assert "old/bin and new/bin differ from byte 4 on (7 bytes and 6 bytes; not compared line by line)" in shown
    assert ada.text("files.diff", old="old", new="new", names=True).count("\n") == 2
    assert ada.text("files.diff", old="old/same", new="new/same") == "No difference."


# -- changing ----------------------------------------------------------------------------------------------------------


@pytest.mark.works("files.write", "files.changes", "files.undo")
def test_a_file_is_written_and_each_step_can_be_taken_back(ada) -> None:
    file = ada.workspace / "new" / "deep" / "a.txt"
    assert "undo(change=1)" in ada.text("files.write", path="new/deep/a.txt", content="é\n", folders=True)
    assert "Replaced" in ada.text("files.write", path="new/deep/a.txt", content="two\n")
    assert "Added" in ada.text("files.write", path="new/deep/a.txt", content="three\n", append=True)
    assert file.read_text() == "two\nthree\n"
    assert [made["tool"] for made in ada.value("files.changes")] == ["write", "write", "write"]
    ada.text("files.undo")
    assert file.read_text() == "two\n"
    ada.text("files.undo")
    assert file.read_text() == "é\n"
    ada.text("files.undo")
    assert not (ada.workspace / "new").exists()
    assert ada.fails("files.undo") == "no_such_change"


@pytest.mark.works("files.edit")
def test_an_edit_replaces_one_passage_and_helps_where_it_cannot(ada) -> None:
    file = ada.workspace / "app.py"
    file.write_text("def one():\n    return 1\n\n\ndef two():\n    return 1\n")
    file.chmod(0o755)
    ambiguous = ada.call("files.edit", path="app.py", old="return 1", new="return 2")
    assert ambiguous["error"]["code"] == "text_not_unique"
    assert "2 times, at lines 2, 6" in ambiguous["error"]["message"]
    shown = ada.text("files.edit", path="app.py", old="def two():\n    return 1", new="def two():\n    return 2")
    assert "@@ -4,3 +4,3 @@" in shown
    assert "-    return 1\n+    return 2\n" in shown
    assert file.read_text().endswith("return 2\n")
    assert file.stat().st_mode & 0o777 == 0o755
    missing = ada.call("files.edit", path="app.py", old="def two():\n  return 2", new="x")
    assert missing["error"]["code"] == "text_not_found"
    assert "white space only:\n     5  def two():\n     6      return 2" in missing["error"]["message"]
    missing = ada.call("files.edit", path="app.py", old="two():\n\treturn", new="x")
    assert "white space only:\n     5  def two():\n     6      return 2" in missing["error"]["message"]
    missing = ada.call("files.edit", path="app.py", old="def twoo():", new="x")
    assert "The nearest is:\n     5  def two():" in missing["error"]["message"]
    assert "2 times" in ada.text("files.edit", path="app.py", old="def ", new="async def ", every=True)
    assert ada.fails("files.edit", path="app.py", old="", new="x") == "invalid_arguments"


def test_an_edit_keeps_line_ends_and_bytes_it_does_not_touch(ada) -> None:
    (ada.workspace / "crlf.txt").write_bytes(b"a\r\nb\r\nc")
    ada.text("files.edit", path="crlf.txt", old="a\nb", new="x\ny\nz")
    assert (ada.workspace / "crlf.txt").read_bytes() == b"x\r\ny\r\nz\r\nc"
    (ada.workspace / "latin.txt").write_bytes(b"caf\xe9 one\n")
    ada.text("files.edit", path="latin.txt", old="one", new="two")
    assert (ada.workspace / "latin.txt").read_bytes() == b"caf\xe9 two\n"
    (ada.workspace / "target").write_text("old\n")
    (ada.workspace / "link").symlink_to("target")
    ada.text("files.edit", path="link", old="old", new="new")
    assert (ada.workspace / "link").is_symlink()
    assert (ada.workspace / "target").read_text() == "new\n"


PATCH = """diff --git a/a.txt b/a.txt
--- a/a.txt
+++ b/a.txt
@@ -7,3 +7,4 @@
 3
-4
+four
+4.5
 5
diff --git a/old.txt b/moved/new.txt
similarity index 80%
rename from old.txt
rename to moved/new.txt
--- a/old.txt
+++ b/moved/new.txt
@@ -1 +1 @@
-old
\\ No newline at end of file
+new
--- /dev/null
+++ b/made.txt
@@ -0,0 +1 @@
+made
--- a/gone.txt
+++ /dev/null
@@ -1 +0,0 @@
-gone
"""


@pytest.mark.works("files.patch")
def test_a_patch_applies_to_all_its_files_or_to_none(ada) -> None:
    here = ada.workspace
    (here / "a.txt").write_text("".join(f"{n}\n" for n in range(1, 10)))
    (here / "old.txt").write_text("old")
    assert ada.fails("files.patch", diff=PATCH) == "not_found"  # gone.txt
    assert (here / "old.txt").exists()
    (here / "gone.txt").write_text("gone\n")
    assert "only checked" in ada.text("files.patch", diff=PATCH, check=True)
    assert (here / "gone.txt").exists()
    shown = ada.text("files.patch", diff=PATCH)
    assert "hunk 1 of a.txt applies at line 3, not 7" in shown
    assert (here / "a.txt").read_text() == "1\n2\n3\nfour\n4.5\n5\n6\n7\n8\n9\n"
    assert (here / "moved" / "new.txt").read_text() == "new\n"
    assert (here / "made.txt").read_text() == "made\n"
    assert not (here / "gone.txt").exists()
    refused = ada.call("files.patch", diff=PATCH.partition("diff --git a/old")[0])
    assert refused["error"]["code"] == "patch_does_not_apply"
    assert "line 4 should be '3', and there stands 'four'" in refused["error"]["message"]
    ada.text("files.undo")
    assert (here / "a.txt").read_text() == "".join(f"{n}\n" for n in range(1, 10))
    assert (here / "old.txt").read_text() == "old"
    assert (here / "gone.txt").read_text() == "gone\n"
    assert not (here / "made.txt").exists()
    assert not (here / "moved").exists()


@pytest.mark.parametrize(
    "text",
    [
        "no patch",
        "@@ -1 +1 @@\n-a\n+b\n",
        "--- a/x\n+++ b/x\n@@ what @@\n",
        "--- a/x\n+++ b/x\n",
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\nwrong\n",
        "--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n",
        "--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n",
        "diff --git a/x b/x\nGIT binary patch\n",
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-b\n+c\n",
    ],
)
def test_what_is_no_patch_is_said(ada, text: str) -> None:
    (ada.workspace / "x").write_text("a\n")
    assert ada.fails("files.patch", diff=text) == "bad_patch"
    assert (ada.workspace / "x").read_text() == "a\n"


@pytest.mark.works("files.move", "files.delete")
def test_moved_and_deleted_things_come_back(ada) -> None:
    here = ada.workspace
    (here / "folder").mkdir()
    (here / "folder" / "a.txt").write_text("a\n")
    (here / "b.txt").write_text("b\n")
    ada.text("files.move", source="folder", target="else/where", folders=True)
    assert ada.fails("files.move", source="b.txt", target="else/where/a.txt") == "exists_already"
    ada.text("files.move", source="b.txt", target="else/where/a.txt", replace=True)
    assert (here / "else" / "where" / "a.txt").read_text() == "b\n"
    kept = ada.text("files.delete", path="else")
    assert not (here / "else").exists()
    assert (here / kept.split("kept as ")[1].split(".  ")[0].split(". undo")[0]).is_dir()
    for _ in range(3):
        ada.text("files.undo")
    assert (here / "folder" / "a.txt").read_text() == "a\n"
    assert (here / "b.txt").read_text() == "b\n"
    assert not (here / "else").exists()
    ada.text("files.delete", path="folder", permanent=True)
    assert ada.fails("files.undo") == "no_such_change"
    assert ada.fails("files.delete", path="folder") == "not_found"
    assert ada.fails("files.delete", path=".") == "not_permitted"


def test_an_undo_does_not_overwrite_what_was_changed_since(ada) -> None:
    file = ada.workspace / "a.txt"
    ada.text("files.write", path="a.txt", content="one\n")
    ada.text("files.write", path="a.txt", content="two\n")
    file.write_text("by hand\n")
    assert ada.fails("files.undo") == "changed_since"
    assert file.read_text() == "by hand\n"
    file.write_text("two\n")
    assert ada.fails("files.undo", change=1) == "changed_since"
    ada.text("files.undo")
    assert file.read_text() == "one\n"


def test_what_is_kept_is_out_of_the_way_and_not_believed(ada) -> None:
    here = ada.workspace
    ada.text("files.write", path="a.txt", content="kept words\n")
    ada.text("files.delete", path="a.txt")
    assert ada.value("files.search", pattern="kept words", hidden=True) == []
    assert ada.value("files.glob", pattern="*", hidden=True) == []
    assert [entry["name"] for entry in ada.value("files.list", hidden=True)] == [".toolhost"]
    assert (here / ".toolhost" / ".gitignore").read_text() == "*\n"
    for name in ("write", "delete"):
        arguments = {"content": "x"} if name == "write" else {}
        assert ada.fails(f"files.{name}", path=".toolhost/changes/1/change.json", **arguments) == "not_permitted"
    # What anybody who can write the workspace could put there.
    forged = here / ".toolhost" / "changes" / "9"
    forged.mkdir()
    for step in ('{"did": "moved", "path": "../x", "to": "a.txt"}', '{"did": "run"}', '{"did": "content", "path": ""}'):
        (forged / "change.json").write_text(f'{{"tool": "write", "made": 0, "steps": [{step}]}}')
        assert ada.fails("files.undo", change=9) == "no_such_change"
    # And it can take away what is kept, as it can every other file: an undo says so, and does nothing.
    ada.text("shell.run", script="rm -r .toolhost/changes")
    assert ada.fails("files.undo") == "no_such_change"


def test_a_workspace_whose_bin_cannot_be_used_is_still_written(ada) -> None:
    (ada.workspace / ".toolhost").write_text("a file\n")
    assert "It cannot be undone" in ada.text("files.write", path="a.txt", content="x\n")
    assert ada.fails("files.delete", path="a.txt") == "bin_unusable"
    ada.text("files.delete", path="a.txt", permanent=True)


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("list", {"path": "text"}, "not_a_folder"),
        ("glob", {"path": "text", "pattern": "*"}, "not_a_folder"),
        ("glob", {"pattern": "*", "limit": 0}, "invalid_arguments"),
        ("search", {"pattern": ""}, "invalid_arguments"),
        ("search", {"pattern": "x", "path": "nowhere"}, "not_found"),
        ("diff", {"old": "text", "new": "folder"}, "invalid_arguments"),
        ("write", {"path": "folder", "content": "x"}, "is_a_folder"),
        ("write", {"path": "no/folder/x", "content": "x"}, "not_found"),
        ("write", {"path": "text/x", "content": "x"}, "not_a_folder"),
        ("write", {"path": "closed", "content": "x"}, "not_permitted"),
        ("write", {"path": "pipe", "content": "x"}, "io_error"),
        ("edit", {"path": "binary", "old": "x", "new": "y"}, "not_text"),
        ("edit", {"path": "large", "old": "x", "new": "y"}, "too_large"),
        ("move", {"source": "nowhere", "target": "x"}, "not_found"),
        ("move", {"source": "folder", "target": "folder/x"}, "invalid_arguments"),
    ],
)
def test_what_cannot_be_done_with_a_file_is_said(ada, tool: str, arguments: dict[str, Any], code: str) -> None:
    here: Path = ada.workspace
    (here / "folder").mkdir()
    (here / "text").write_text("x\n")
    (here / "binary").write_bytes(b"\0\1")
    (here / "closed").touch(mode=0o444)
    with (here / "large").open("wb") as file:
        file.truncate(9 << 20)
        file.write(b"x" * 9000)
    os.mkfifo(here / "pipe")
    assert ada.fails(f"files.{tool}", **arguments) == code


def test_what_the_host_protects_stays_as_it_is(ada) -> None:
    (ada.workspace / ".git" / "hooks").mkdir(parents=True)
    assert ada.denied("files.write", path=".git/hooks/pre-commit", content="x") == "path_protected"
    assert ada.fails("files.patch", diff="--- /dev/null\n+++ b/.envrc\n@@ -0,0 +1 @@\n+x\n")
    assert ada.fails("files.delete", path=".git") in ("not_permitted", "io_error")
    assert (ada.workspace / ".git" / "hooks").is_dir()
